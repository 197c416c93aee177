"""Software and hardware: limits where the compared runs were trained by different versions, devices or routes."""

from collections.abc import Iterator

import numpy as np
import xarray as xr

from hornlib.grid.routes import kinds_of
from hornlib.statistics.contenders import groups_of

__all__ = ["differences_of_software"]

TRAINED_BY = {
    "hornlib_version": "versions of hornlib",
    "hornlib_commit": "commits of hornlib",
    "torch_version": "versions of torch",
    "device": "devices",
    "cpu_model": "models of the CPU",
    "threads": "numbers of CPU threads",
    "kernel": "routes of their recurrences",
}
"""Variable of results.nc (.., seed) -> what it counts in a sentence."""

NO_ROUTE = "none"
"""The route of a model without recurrence, which differs from no other."""

SAME = (
    "All routes give the same numbers to rounding. Only seconds by the clocks of the jobs are not comparable."
)
"""What follows from a difference of routes."""

MOST_VALUES, MOST_ARMS = 5, 3
"""A sentence names so many values, and so many arms of each value."""


def differences_of_software(ds: xr.Dataset) -> Iterator[str]:
    """Yield a sentence for each of `TRAINED_BY` that differs among the runs of a sweep.

    Args:
        ds: from `contenders` (contender, seed, step). A variable of `TRAINED_BY` that it lacks is not compared.
    """
    is_trained = ds["status"].isin(["complete", "diverged"])
    arms = _of_runs(ds, "arm")
    differing = set()
    for name, kinds in TRAINED_BY.items():
        if name not in ds or (name == "hornlib_commit" and "hornlib_version" in differing):
            continue  # a version names its commit
        words = np.array([_word(value) for value in _of_runs(ds, name).flat], object)
        if name == "kernel":  # the reason of a loop is no difference between two loops
            words = np.array([kinds_of(word) for word in words], object)
        words = words.reshape(is_trained.shape)
        is_compared = is_trained.values & (words != NO_ROUTE)
        arms_of_values: dict[str, list[str]] = {}
        for word, arm in zip(words[is_compared], arms[is_compared], strict=True):
            arms_of_values.setdefault(word, []).append(str(arm))
        if len(arms_of_values) > 1:
            differing.add(name)
            consequence = SAME if name == "kernel" else _consequence(ds, words, is_compared)
            yield f"The runs were trained with different {kinds}: {_counted(arms_of_values)}. {consequence}"


def _of_runs(ds: xr.Dataset, name: str) -> np.ndarray:
    """Return the values of a variable, one for every run, (contender, seed)."""
    return ds[name].broadcast_like(ds["status"]).transpose(*ds["status"].dims).values


def _consequence(ds: xr.Dataset, words: np.ndarray, is_compared: np.ndarray) -> str:
    """Return whether contenders that may be compared have different values at the same seed, in a sentence.

    Args:
        ds: from `contenders`.
        words: values in words, (contender, seed).
        is_compared: whether there is a run, and it has such a value, (contender, seed).
    """
    conditions = (ds[name].values for name in ("dataset", "presentation", "selected_for"))
    if any(
        len(set(words[group, seed][is_compared[group, seed]])) > 1
        for group in groups_of(zip(*conditions, strict=True))
        for seed in range(words.shape[1])
    ):
        return "A difference between arms may come from this difference."
    return (
        "Runs that are compared seed by seed were trained alike, so that no difference between arms comes from this "
        "difference."
    )


def _word(value: object) -> str:
    """Return a value as a sentence names it: 4 for 4.0, "unknown" for a run that recorded none."""
    if isinstance(value, float | np.floating):
        return "unknown" if np.isnan(value) else f"{value:g}"
    return str(value) or "unknown"


def _counted(arms_of_values: dict[str, list[str]]) -> str:
    """Return the values with their numbers of runs and their arms, the most frequent value first."""
    ordered = sorted(arms_of_values.items(), key=lambda pair: (-len(pair[1]), pair[0]))
    parts = []
    for value, arms in ordered[:MOST_VALUES]:
        names = list(dict.fromkeys(arms))
        more = f" and {len(names) - MOST_ARMS} more arms" if len(names) > MOST_ARMS else ""
        runs = "1 run" if len(arms) == 1 else f"{len(arms):,} runs"
        parts.append(f"{value} ({runs} of {', '.join(names[:MOST_ARMS])}{more})")
    if len(ordered) > MOST_VALUES:
        parts.append(f"and {len(ordered) - MOST_VALUES} more")
    return ", ".join(parts)
