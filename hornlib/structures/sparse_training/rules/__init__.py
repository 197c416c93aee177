"""The rules of rewiring: which connections an update drops, and where it grows others."""

from hornlib.structures.sparse_training.rules.chts import chts
from hornlib.structures.sparse_training.rules.dsr import dsr
from hornlib.structures.sparse_training.rules.exchange import ExchangeRule
from hornlib.structures.sparse_training.rules.granet import granet
from hornlib.structures.sparse_training.rules.look import Look, Rewiring, Rule
from hornlib.structures.sparse_training.rules.rigl import grown_by_score, rigl
from hornlib.structures.sparse_training.rules.set import evolved, sparse_evolution
from hornlib.structures.sparse_training.rules.snfs import snfs
from hornlib.structures.sparse_training.rules.srigl import srigl

__all__ = ["EXCHANGES", "RULES", "Look", "Rewiring", "Rule"]

RULES: dict[str, Rule] = {
    "set": sparse_evolution,
    "rigl": rigl,
    "snfs": snfs,
    "dsr": dsr,
    "granet": granet,
    "srigl": srigl,
    "chts": chts,
}
"""Rule -> its function. static has none, since it never rewires."""

EXCHANGES: dict[str, ExchangeRule] = {"set": evolved, "rigl": grown_by_score}
"""Rules that need no dense masks -> their exchange in one weight of one lane."""
