"""What is known of the rules of growth and of activations before any training; free of torch."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

__all__ = ["FLAT_AT_ZERO", "NONZERO_AT_ZERO", "RULE_FACTS", "RuleFacts"]


class RuleFacts(NamedTuple):
    """What a rule's new units are like.

    Attributes:
        zero_side: which weights of new units are 0 at first; None if neither are.
        keeps_function: whether the network computes the same as before, in training mode and in evaluation mode. A rule
            with incoming weights of 0 keeps it if the activation maps 0 to 0 and no norm acts on the units.
        adapts_rates: whether weights have learning rates by the stage of growth at which they came.
    """

    zero_side: Literal["incoming", "outgoing"] | None
    keeps_function: bool
    adapts_rates: bool = False


RULE_FACTS: Mapping[str, RuleFacts] = {
    "gradmax": RuleFacts("incoming", True),
    "gradmax_search": RuleFacts("incoming", True),
    "gradmax_search_incoming": RuleFacts("outgoing", True),
    "firefly": RuleFacts(None, False),
    "uniform": RuleFacts("incoming", True),
    "gaussian": RuleFacts("incoming", True),
    "zero_outgoing": RuleFacts("outgoing", True),
    "net2net": RuleFacts(None, True),
    "nest": RuleFacts(None, False),
    "tiny": RuleFacts(None, False),
    "variance_transfer": RuleFacts(None, False, adapts_rates=True),
}
"""Rule -> its facts. net2net and a group norm with several channels in a group do not keep the function together."""

FLAT_AT_ZERO = ("relu",)
"""Activations of slope 0 at 0: a unit with incoming weights of 0 never receives a gradient."""

NONZERO_AT_ZERO = ("sigmoid", "softplus")
"""Activations that do not map 0 to 0: a unit with incoming weights of 0 changes the function."""
