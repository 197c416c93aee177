"""Cells of importance.nc that differ in one factor alone, and estimates whose intervals are over runs."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import xarray as xr
from sparse_pairs import Estimate

from hornlib.results.importance_file import importance_sweeps, sweep_of_importance
from hornlib.statistics.estimators.paired_t import paired_t

__all__ = [
    "Effect",
    "drop_rule_of",
    "effects_of",
    "log_ratio",
    "mean_effect",
    "of_rule",
    "over_runs",
    "part_of",
    "rho",
    "statistic",
]

FACTORS = (
    *("dataset", "model", "presentation", "unit", "activation", "normalisation"),
    *("input_scaling", "rule", "update_end", "density"),
)
"""Parameters by which the cells of config/importance.yaml differ."""

FEWEST = 5
"""There is no interval over fewer runs."""

SMALLEST_RATIO = 1e-9
"""A ratio of importances below it counts as this, so that a rule that drops nothing of weight has a logarithm."""

Values = Callable[[xr.Dataset], xr.DataArray]
"""Maps a part of importance.nc to one number for each network, (cell, seed)."""


class Effect(NamedTuple):
    """One comparison of two cells, or one cell whose number is compared with 0.

    Attributes:
        label: what is compared.
        values: one number for each seed, NaN where a run is missing, (seeds,).
    """

    label: str
    values: np.ndarray

    def estimate(self) -> Estimate:
        """Return the mean over runs."""
        return over_runs(self.values)


def part_of(ds: xr.Dataset, sweeps: Sequence[str]) -> xr.Dataset:
    """Return the cells of some sweeps, each once, with the seeds that any of them has, (cell, seed, ...).

    Args:
        ds: from `hornlib.results.importance_file.open_importance`.
        sweeps: names; those that the file lacks are left out.
    """
    present = [name for name in sweeps if name in importance_sweeps(ds)]
    parts = [sweep_of_importance(ds, name) for name in present]
    if not parts:
        return ds.isel(cell=[])
    cells = list(dict.fromkeys(str(cell) for part in parts for cell in part["cell"].values))
    seeds = sorted({int(seed) for part in parts for seed in part["seed"].values})
    return ds.sel(cell=cells, seed=seeds)


def of_rule(ds: xr.Dataset, rule: str) -> xr.Dataset:
    """Return the cells of one rule of sparse training, (cell, seed, ...); a file without other rules has static alone.

    Args:
        ds: from `part_of`.
        rule: static, set, set_stopped (SET without updates in the last part of the training) or rigl.
    """
    number = ds.sizes["cell"]
    rules = ds["rule"].values.astype(str) if "rule" in ds.coords else np.full(number, "static")
    ends = ds["update_end"].values if "update_end" in ds.coords else np.ones(number)
    names = np.where((rules == "set") & (ends < 1), "set_stopped", rules)
    return ds.isel(cell=np.flatnonzero(names == rule))


def drop_rule_of(rule: str) -> str:
    """Return the rule by which cells of `of_rule` drop connections."""
    return rule.removesuffix("_stopped")


def rho(proxy: str, split: str = "held_out") -> Values:
    """Return the function that gives a proxy's pooled rank correlation with importance, (cell, seed).

    Args:
        proxy: its name.
        split: training or held_out.
    """
    return lambda ds: ds["pooled_spearman"].sel(proxy=proxy, split=split, drop=True)


def statistic(name: str, split: str = "held_out", log: bool = False) -> Values:
    """Return the function that gives a pooled statistic of every network, (cell, seed).

    Args:
        name: of a variable (cell, seed, split).
        split: training or held_out.
        log: whether its logarithm is taken, so that differences are log ratios.
    """
    return lambda ds: (np.log if log else lambda values: values)(ds[name].sel(split=split, drop=True))


def effects_of(ds: xr.Dataset, values: Values, factor: str, first: object, second: object) -> list[Effect]:
    """Return the differences first less second of all pairs of cells that are equal in all other factors.

    Args:
        ds: from `part_of`.
        values: what is compared.
        factor: one of FACTORS.
        first, second: its levels.
    """
    numbers = values(ds).transpose("cell", "seed").values
    levels, rest = _levels(ds, factor), [name for name in FACTORS if name != factor]
    keys = list(zip(*(_levels(ds, name) for name in rest), strict=True))
    labels = _labels(ds, rest)
    partners = {key: cell for cell, key in enumerate(keys) if levels[cell] == second}
    return [
        Effect(labels[cell], numbers[cell] - numbers[partners[key]])
        for cell, key in enumerate(keys)
        if levels[cell] == first and key in partners
    ]


def mean_effect(effects: Sequence[Effect]) -> Estimate:
    """Return the mean over pairs of each seed, averaged over seeds, with an interval over seeds."""
    if not effects:
        return Estimate(np.nan, np.nan, np.nan, 0)
    return over_runs(np.array([effect.values for effect in effects]).mean(0))


def over_runs(values: np.ndarray) -> Estimate:
    """Return the mean over runs with Student's interval of 95 %, NaN for fewer than five runs.

    The studentised bootstrap, which serves ratios elsewhere, breaks down here: of five values, of which three are
    nearly equal, it draws samples without spread. Student's interval contains 0 exactly where the t-test of the
    hypotheses does not reject.

    Args:
        values: one number for each run, (seeds,); NaN where a run is missing.

    Raises:
        ValueError: a number is infinite, as the logarithm of an importance of 0 is: no mean over runs would hold.
    """
    values = np.asarray(values, float)
    if np.isinf(values).any():
        raise ValueError(
            f"{np.isinf(values).sum()} of {values.size} runs have an infinite value, so that they have no mean"
        )
    values = values[~np.isnan(values)]
    if not len(values):
        return Estimate(np.nan, np.nan, np.nan, 0)
    low = high = np.nan
    if len(values) >= FEWEST:
        (low,), (high,) = paired_t(values[None]).interval(0.05)
    return Estimate(float(values.mean()), float(low), float(high), len(values))


def log_ratio(ds: xr.Dataset) -> xr.DataArray:
    """Return ln(mean |dL| of what a rule would drop / that of a random choice), with the dimensions of `ds`.

    Args:
        ds: a part of importance.nc for one rule.
    """
    ratio = ds["dropped_importance"] / ds["expected_importance"]
    return np.log(ratio.where(~(ratio < SMALLEST_RATIO), SMALLEST_RATIO))


def _levels(ds: xr.Dataset, name: str) -> list[object]:
    """Return a parameter of every cell, None where a cell has none."""
    if name not in ds.coords:
        return [None] * ds.sizes["cell"]
    return [None if value != value or value == "" else value for value in ds[name].values.tolist()]


def _labels(ds: xr.Dataset, names: Sequence[str]) -> list[str]:
    """Return the levels of every cell of those parameters that differ between cells, "" where none does."""
    columns = [_levels(ds, name) for name in names]
    varying = [column for column in columns if len(set(column)) > 1]
    return [
        " ".join(
            f"{level:g}" if isinstance(level, float) else str(level) for level in levels if level is not None
        )
        for levels in (zip(*varying, strict=True) if varying else [()] * ds.sizes["cell"])
    ]
