"""The rules of rewiring: which connections an update drops, and where it grows others."""

from hornlib.structures.sparse_training.rules.dsr import dsr
from hornlib.structures.sparse_training.rules.granet import granet
from hornlib.structures.sparse_training.rules.look import Look, Rewiring, Rule
from hornlib.structures.sparse_training.rules.rigl import rigl
from hornlib.structures.sparse_training.rules.set import sparse_evolution
from hornlib.structures.sparse_training.rules.snfs import snfs

__all__ = ["RULES", "Look", "Rewiring", "Rule"]

RULES: dict[str, Rule] = {
    "set": sparse_evolution,
    "rigl": rigl,
    "snfs": snfs,
    "dsr": dsr,
    "granet": granet,
}
"""Rule -> its function. static has none, since it never rewires."""
