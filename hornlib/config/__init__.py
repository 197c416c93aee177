"""From the text of config.yaml to checked sections, with the line of every key."""

from hornlib.config.reading import (
    FIRST_TUNING_SEED,
    RESERVED_SWEEPS,
    SECTIONS,
    Config,
    merge,
    parse_seeds,
    read_config,
    read_document,
)
from hornlib.config.settings import Settings

__all__ = [
    "FIRST_TUNING_SEED",
    "RESERVED_SWEEPS",
    "SECTIONS",
    "Config",
    "Settings",
    "merge",
    "parse_seeds",
    "read_config",
    "read_document",
]
