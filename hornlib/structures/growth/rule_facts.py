"""What is known of the rules of growth and of activations before any training; free of torch."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from hornlib.parameters import ModelParameters

__all__ = [
    "FLAT_AT_ZERO",
    "NONZERO_AT_ZERO",
    "RULE_FACTS",
    "SLOPES_AT_ZERO",
    "RuleFacts",
    "slope_at_zero",
]


class RuleFacts(NamedTuple):
    """What a rule's new units are like.

    Attributes:
        zero_side: which weights of new units are 0 at first; None if neither are.
        keeps_function: whether the network computes the same as before, in training mode and in evaluation mode. A rule
            with incoming weights of 0 keeps it if the activation maps 0 to 0 and no norm acts on the units.
        adapts_rates: whether weights have learning rates by the stage of growth at which they came.
        assumes_zero: whether the units are computed for an activation that maps 0 to 0.
    """

    zero_side: Literal["incoming", "outgoing"] | None
    keeps_function: bool
    adapts_rates: bool = False
    assumes_zero: bool = False


RULE_FACTS: Mapping[str, RuleFacts] = {
    "gradmax": RuleFacts("incoming", True),
    "gradmax_search": RuleFacts("incoming", True),
    "gradmax_search_incoming": RuleFacts("outgoing", True),
    "firefly": RuleFacts(None, False),
    "uniform": RuleFacts("incoming", True),
    "gaussian": RuleFacts("incoming", True),
    "zero_outgoing": RuleFacts("outgoing", True),
    "net2net": RuleFacts(None, True),
    "nest": RuleFacts(None, False, assumes_zero=True),
    "tiny": RuleFacts(None, False, assumes_zero=True),
    "variance_transfer": RuleFacts(None, False, adapts_rates=True),
}
"""Rule -> its facts. net2net and a group norm with several channels in a group do not keep the function together."""

FLAT_AT_ZERO = ("relu",)
"""Activations of slope 0 at 0: a unit with incoming weights of 0 never receives a gradient."""

SLOPES_AT_ZERO: Mapping[str, float] = {
    "relu": 0.0,
    "relu_one": 1.0,
    "tanh": 1.0,
    "gelu": 0.5,
    "silu": 0.5,
    "softplus": 0.5,
    "sigmoid": 0.25,
    "leaky_relu": 0.01,
    "selu": 1.0507009873554805 * 1.6732632423543772,
    "srelu": 1.0,
}
"""Activation -> |f'(0)| as torch computes it. srelu starts with this slope. The slope of all_relu is a field of the
model."""

NONZERO_AT_ZERO = ("sigmoid", "softplus")
"""Activations that do not map 0 to 0: a unit with incoming weights of 0 changes the function."""


def slope_at_zero(model: ModelParameters) -> float:
    """Return |f'(0)| of the activation of a model's units."""
    activation = getattr(model, "activation", "")
    if activation == "all_relu":
        return float(getattr(model, "all_relu_slope", 0.0))
    return SLOPES_AT_ZERO[activation]
