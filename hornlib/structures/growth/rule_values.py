"""Rules, triggers and places of growth: the fields of each, and their published values; free of torch."""

from collections.abc import Mapping

from hornlib.parameters import Value

__all__ = ["LOOKING_RULES", "PLACE_VALUES", "RULE_VALUES", "WHEN_VALUES"]

_SCALED: Mapping[str, Value] = {"scale": 0.5, "scale_by": "mean_norm"}
_SEARCHED: Mapping[str, Value] = {**_SCALED, "search_steps": 100, "search_rate": 1e-3}

RULE_VALUES: Mapping[str, Mapping[str, Value]] = {
    "gradmax": _SCALED,
    "gradmax_search": _SEARCHED,
    "gradmax_search_incoming": _SEARCHED,
    "firefly": _SEARCHED,
    "uniform": _SCALED,
    "gaussian": _SCALED,
    "zero_outgoing": _SCALED,
    "net2net": {"copy_noise": 0.0},
    "nest": _SCALED,
    "tiny": {},
    "variance_transfer": {},
}
"""Rule -> its fields and their published values. A field that a rule's row lacks means nothing to the rule."""

LOOKING_RULES = ("gradmax", "gradmax_search", "gradmax_search_incoming", "firefly", "nest", "tiny")
"""Rules that look at batches."""

_LOOKS: Mapping[str, Value] = {"start_share": 0.0, "every_share": 0.05}

WHEN_VALUES: Mapping[str, Mapping[str, Value]] = {
    "schedule": {"start_share": 0.128, "every_share": 0.032},
    "plateau": {"start_share": 0.0, "patience": 5, "least_improvement": 0.01},
    "activation_rank": {**_LOOKS, "rank_share": 0.97, "rank_threshold": 0.01},
    "weight_rank": {**_LOOKS, "rank_share": 0.99, "rank_threshold": 0.01},
    "singular_value": {**_LOOKS, "gradient_ratio": 1.0},
}
"""Trigger -> its fields and their published values.

schedule: Evci et al. 2022, 12 events from step 10,000 of 78,125 on, every 2,500. activation_rank and weight_rank:
Maile et al. 2022, who try rank_share .9, .97 and .99.
"""

PLACE_VALUES: Mapping[str, Mapping[str, Value]] = {
    "all": {},
    "round_robin": {},
    "largest_singular_value": {},
    "random": {},
    "layer": {"position": 0},
}
"""Place -> its fields."""
