"""The rules of growth: with which weights new units start. Each is one file."""

from hornlib.structures.growth.new_units import Rule
from hornlib.structures.growth.rules.gradmax import gradmax

__all__ = ["RULES"]

RULES: dict[str, Rule] = {
    "gradmax": gradmax,
}
"""Rule -> its function."""
