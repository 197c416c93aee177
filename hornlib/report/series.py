"""Series of the report's charts: which contenders are drawn in full, and how each is told apart."""

from collections.abc import Iterable

import numpy as np
import xarray as xr

from hornlib.report.blocks import Swatch
from hornlib.report.learning_curves import COLOURS
from hornlib.statistics.contenders import SELECTED_FOR

__all__ = ["datasets", "datasets_of", "drawn", "series_name", "series_of", "swatches"]

DASHES: tuple[tuple[int, ...], ...] = ((), (7, 3), (2, 2), (9, 3, 2, 3))
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")


def series_name(arm: str, selected_for: str) -> str:
    """Return what the cells of an arm with one kind of choice are called."""
    word = SELECTED_FOR.get(selected_for, f"selected for {selected_for}")
    return f"{arm}, {word}" if word else arm


def series_of(ds: xr.Dataset) -> np.ndarray:
    """Return the series of every contender, or of every cell of a sweep's results, as an array of text."""
    arms = ds["arm"].values.astype(str)
    chosen = ds["selected_for"].values.astype(str) if "selected_for" in ds.coords else np.full(arms.shape, "")
    return np.array([series_name(*pair) for pair in zip(arms, chosen, strict=True)], object)


def swatches(names: Iterable[str]) -> list[Swatch]:
    """Return how each series is drawn; the first seven differ in colour, and all in more than colour."""
    return [
        Swatch(
            name,
            COLOURS[index % len(COLOURS)],
            DASHES[(index + index // len(COLOURS)) % len(DASHES)],
            SHAPES[(index + index // len(COLOURS)) % len(SHAPES)],
        )
        for index, name in enumerate(dict.fromkeys(names))
    ]


def datasets_of(ds: xr.Dataset) -> np.ndarray:
    """Return the dataset of every contender, as an array of text."""
    return ds["contender_dataset"].values.astype(object)


def datasets(ds: xr.Dataset) -> list[str]:
    """Return the datasets of a sweep's statistics, in their order."""
    return [str(name) for name in ds["dataset"].values]


def drawn(ds: xr.Dataset, dataset: str) -> list[int]:
    """Return the places of the contenders that are drawn in full: of each series, the fastest one.

    Args:
        ds: statistics at one target.
        dataset: the dataset.
    """
    here = np.flatnonzero(datasets_of(ds) == dataset).tolist()
    names, times = series_of(ds), _times(ds)
    best: dict[str, int] = {}
    for index in here:
        rival = best.setdefault(names[index], index)
        if times[index] < times[rival] or np.isnan(times[rival]):
            best[names[index]] = index
    return list(best.values())


def _times(ds: xr.Dataset) -> np.ndarray:
    """Return the restricted mean of samples of every contender, NaN where it is not known."""
    if "restricted_mean" not in ds or "samples" not in ds["axis"].values:
        return np.full(ds.sizes["contender"], np.nan)
    return ds["restricted_mean"].sel(axis="samples").values
