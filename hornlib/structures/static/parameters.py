"""Parameters of the static structure: there are none."""

from typing import Literal

from hornlib.parameters import Parameters

__all__ = ["StaticParameters"]


class StaticParameters(Parameters):
    """A network that keeps its shape while it trains."""

    name: Literal["static"] = "static"
    """Which structure this is."""
