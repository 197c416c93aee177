"""Software and hardware: limits where the compared runs were trained by different versions, devices or threads."""

from collections.abc import Iterator

import numpy as np
import xarray as xr

__all__ = ["differences_of_software"]

TRAINED_BY = {
    "hornlib_version": "versions of hornlib",
    "hornlib_commit": "commits of hornlib",
    "torch_version": "versions of torch",
    "device": "devices",
    "threads": "numbers of CPU threads",
}
"""Variable of results.nc (.., seed) -> what it counts in a sentence."""

MOST_VALUES, MOST_ARMS = 5, 3
"""A sentence names so many values, and so many arms of each value."""


def differences_of_software(ds: xr.Dataset) -> Iterator[str]:
    """Yield a sentence for each of `TRAINED_BY` that differs among the runs of a sweep.

    Args:
        ds: from `contenders` (contender, seed, step). A variable of `TRAINED_BY` that it lacks is not compared.
    """
    is_trained = ds["status"].isin(["complete", "diverged"])
    for name, kinds in TRAINED_BY.items():
        if name not in ds:
            continue
        values = ds[name].broadcast_like(ds["status"]).transpose(*ds["status"].dims).values
        arms = ds["arm"].broadcast_like(ds["status"]).transpose(*ds["status"].dims).values
        arms_of_values: dict[str, list[str]] = {}
        for value, arm in zip(values[is_trained.values], arms[is_trained.values], strict=True):
            arms_of_values.setdefault(_word(value), []).append(str(arm))
        if len(arms_of_values) > 1:
            yield (
                f"The runs were trained with different {kinds}: {_counted(arms_of_values)}. A difference between "
                "arms may come from this difference."
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
