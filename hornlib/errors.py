"""Errors that a person caused and can mend; the command line prints them without a traceback."""

import difflib
from collections.abc import Iterable

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "HornlibError",
    "ResourceError",
    "ResultsError",
    "nearest",
]


class HornlibError(Exception):
    """Base of every error whose message says what was got, what is valid and what to change."""


class ConfigError(HornlibError):
    """A mistake in config.yaml or in a specification."""


class DataError(HornlibError):
    """A dataset whose files are missing, unreadable, or those of another dataset."""


class ResourceError(HornlibError):
    """The machine lacks something that a job needs."""


class ResultsError(HornlibError):
    """A run file or results file that is missing, damaged, foreign or stale."""


class CheckpointError(HornlibError):
    """A checkpoint that cannot be trusted."""


def nearest(word: object, valid: Iterable[str]) -> str:
    """Return ' (did you mean ...?)' for the closest valid spelling, or nothing when none is close.

    Args:
        word: what was given.
        valid: the valid spellings.
    """
    matches = difflib.get_close_matches(str(word), list(valid), n=1, cutoff=0.5)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
