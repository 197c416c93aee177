"""The rules of sparse training: which fields mean something to each, and their published values; free of torch."""

from collections.abc import Mapping

from hornlib.parameters import Value

__all__ = ["COMPRESSED_RULES", "RULE_VALUES"]

RULE_VALUES: Mapping[str, Mapping[str, Value]] = {
    "static": {"start": None},
    "set": {
        "update_every_epochs": 1,
        "drop_share": 0.3,
        "drop_schedule": "constant",
        "update_end": 1.0,
        "start": None,
    },
    "rigl": {
        "update_every": 100,
        "drop_share": 0.3,
        "drop_schedule": "cosine",
        "update_end": 0.75,
        "restart_at_epoch": None,
        "restart_density": None,
        "start": None,
    },
    "snfs": {
        "update_every_epochs": 1,
        "drop_share": 0.5,
        "drop_schedule": "cosine",
        "update_end": 1.0,
        "start": None,
    },
    "dsr": {
        "update_every": 100,
        "drop_share": 0.02,
        "drop_schedule": "constant",
        "update_end": 1.0,
        "threshold": 1e-3,
        "threshold_tolerance": 0.1,
        "start": None,
    },
    "srigl": {
        "update_every": 100,
        "drop_share": 0.3,
        "drop_schedule": "cosine",
        "update_end": 0.75,
        "min_salient": 0.3,
        "start": "constant_fan_in",
    },
    "chts": {
        "update_every_epochs": 1,
        "drop_share": 0.3,
        "drop_schedule": "constant",
        "update_end": 1.0,
        "start": "correlated",
        "drop_by": "soft_magnitude",
        "cut_off": "dropped",
        "grow_by": "soft_paths",
        "first_exponent": 1.0,
        "last_exponent": 3.0,
    },
    "granet": {
        "update_every": 1000,
        "drop_share": 0.5,
        "drop_schedule": "cosine",
        "update_end": 1.0,
        "initial_density": 0.5,
        "prune_start": 0.0,
        "prune_end": 0.5,
        "start": None,
    },
}
"""Rule -> its fields and their published values. A field that a rule's row lacks means nothing to the rule.

set: Mocanu et al. 2018, with the released settings. rigl: Evci et al. 2020, section 4 and figure 5. snfs: Dettmers and
Zettlemoyer 2019. dsr: Mostafa and Wang 2019; they drop 600 connections, which is 2 % of LeNet-300-100's at density .1.
granet: Liu et al. 2021, with the settings of their CIFAR trainings from density .5. srigl: Lasby et al. 2024, section
4, with the settings of their convolutional networks. chts: Zhang et al. 2025 (arXiv 2501.19107), table 4 and section
3.1, with the released settings of multilayer perceptrons; their delta, .5 to .75, is the exponent delta / (1 - delta).
"""

COMPRESSED_RULES = ("static", "set", "rigl", "srigl", "chts")
"""Rules that keep the number of connections of each layer, equal in all lanes."""
