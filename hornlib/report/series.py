"""Series of the report's charts: which contender stands for an arm, and how each series is drawn."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from hornlib.report.blocks import Swatch
from hornlib.statistics.contenders import selection_words

__all__ = [
    "COLOURS",
    "datasets",
    "datasets_of",
    "drawn",
    "named_swatches",
    "series_name",
    "series_of",
    "swatches",
]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito (2008), told apart by the colour-blind; without their yellow, which is too faint for a line."""

DASHES: tuple[tuple[int, ...], ...] = ((), (7, 3), (2, 2), (9, 3, 2, 3))
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")


def series_name(arm: str, selected_for: str) -> str:
    """Return the name of the cells of an arm that were selected for one purpose.

    Args:
        arm: label of the arm.
        selected_for: time_to_target, final_metric, or "" for cells that were not tuned.
    """
    word = selection_words(selected_for)
    return f"{arm}, {word}" if word else arm


def series_of(ds: xr.Dataset) -> np.ndarray:
    """Return the series of every contender of the statistics, or of every cell of the results.

    Args:
        ds: `arm` and, for a tuned sweep, `selected_for`, both (contender) or (cell).

    Returns:
        Names of the series as text, (contender) or (cell).
    """
    arms = ds["arm"].values.astype(str)
    selections = (
        ds["selected_for"].values.astype(str) if "selected_for" in ds.coords else np.full(arms.shape, "")
    )
    return np.array([series_name(*pair) for pair in zip(arms, selections, strict=True)], object)


def swatches(names: Iterable[str]) -> list[Swatch]:
    """Return how each series is drawn; the first seven differ in colour, the first 28 in colour or dashes."""
    return [
        Swatch(
            name,
            COLOURS[index % len(COLOURS)],
            DASHES[(index + 2 * (index // len(COLOURS))) % len(DASHES)],
            SHAPES[index % len(SHAPES)],
        )
        for index, name in enumerate(dict.fromkeys(names))
    ]


def named_swatches(legend: Sequence[Swatch], labels: Mapping[str, str]) -> list[Swatch]:
    """Return a legend that names the cell which stands for each series, in the colours of the whole sweep.

    Args:
        legend: the swatches of all series of the sweep.
        labels: series -> label of the cell that is drawn. Series without a cell are left out.
    """
    return [replace(swatch, label=labels[swatch.label]) for swatch in legend if swatch.label in labels]


def datasets_of(ds: xr.Dataset) -> np.ndarray:
    """Return the dataset of every contender as text, (contender).

    Args:
        ds: statistics of a sweep, with `contender_dataset` (contender).
    """
    return ds["contender_dataset"].values.astype(object)


def datasets(ds: xr.Dataset) -> list[str]:
    """Return the labels of the dimension `dataset` of a sweep's statistics (dataset, ..), in their order."""
    return [str(name) for name in ds["dataset"].values]


def drawn(ds: xr.Dataset, dataset: str) -> list[int]:
    """Return the positions of the contenders that are drawn: of each series, the one that learns fastest.

    Args:
        ds: statistics at one target, (contender, axis, ..). `restricted_mean` of `samples` says who learns fastest.
        dataset: label of the dataset.
    """
    places = np.flatnonzero(datasets_of(ds) == dataset).tolist()
    names, times = series_of(ds), _times(ds)
    best: dict[str, int] = {}
    for index in places:
        rival = best.setdefault(names[index], index)
        if times[index] < times[rival] or np.isnan(times[rival]):
            best[names[index]] = index
    return list(best.values())


def _times(ds: xr.Dataset) -> np.ndarray:
    """Return the restricted mean of samples of every contender, NaN where it is not known."""
    if "restricted_mean" not in ds or "samples" not in ds["axis"].values:
        return np.full(ds.sizes["contender"], np.nan)
    return ds["restricted_mean"].sel(axis="samples").values
