"""Tables of all contenders, one a dataset: size, speed, final metric, and share of runs that diverged."""

from collections.abc import Callable

import numpy as np
import xarray as xr

from hornlib.report.blocks import Block, Missing, Section
from hornlib.report.evidence import ReportEvidence, SweepEvidence
from hornlib.report.sections.by_sweep import by_headline
from hornlib.report.series import datasets, datasets_of
from hornlib.report.tables import Number, table
from hornlib.report.wording import bounded, counted_range, percentage, slug

__all__ = ["contenders"]

COLUMNS = {
    "num_parameters": "parameters",
    "largest_num_parameters": "largest parameters",
    "forward_flops": "forward FLOPs",
    "first_forward_flops": "forward FLOPs before training",
    "num_seeds": "n",
    "reached_rate": "reached target",
    "restricted_mean": "restricted mean samples",
    "final_metric_mean": "final test metric",
    "area_mean": "area under the curve",
    "divergence_rate": "diverged",
}
"""Variable -> heading; an entry shows the interval where the variable has one."""

BESIDE = {"largest_num_parameters": "num_parameters", "first_forward_flops": "forward_flops"}
"""Columns of networks that change while they train -> the column beside; left out where both are equal."""

SHARES = ("reached_rate", "divergence_rate")


def contenders(evidence: ReportEvidence) -> Section:
    """Return the section with the numbers of every contender."""
    summary = "Every cell with its size, speed and final metric."
    return by_headline(evidence, "contenders", "All contenders", _blocks, summary)


def _blocks(ds: xr.Dataset, sweep: SweepEvidence) -> list[Block]:
    if "axis" in ds.dims:
        ds = ds.sel(axis="samples")
    if not ds.sizes.get("contender"):
        return [Missing("The sweep has no contender.")]
    return [_table(ds, dataset, sweep) for dataset in datasets(ds)]


def _table(ds: xr.Dataset, dataset: str, sweep: SweepEvidence) -> Block:
    ds = ds.isel(contender=np.flatnonzero(datasets_of(ds) == dataset))
    names = [name for name in COLUMNS if name in ds.variables and _differs(ds, name)]
    columns = [[str(label) for label in ds["contender"].values], [str(model) for model in ds["model"].values]]
    rows = list(zip(*columns, *(_column(ds, name) for name in names), strict=True))
    order = names.index("restricted_mean") + 2 if "restricted_mean" in names else 0
    rows.sort(key=lambda row: (row[order] != row[order], row[order]))
    caption = (
        f"{dataset}: every contender, the fastest first. Target {sweep.settings.target:g}; in brackets intervals, "
        f"which the section “Estimators and limits” explains. {_of_changing(names)}"
        f"n = {counted_range(ds['num_seeds'].values) if 'num_seeds' in ds else '0'} seeds."
    )
    headings = ["contender", "model", *(COLUMNS[name] for name in names)]
    return table(slug(sweep.name, dataset, "contenders"), caption, headings, rows)


def _differs(ds: xr.Dataset, name: str) -> bool:
    """Return whether a column differs from the one beside it."""
    if name not in BESIDE:
        return True
    values, beside = (ds[which].values.astype(float) for which in (name, BESIDE[name]))
    return not np.array_equal(values, beside, equal_nan=True)


def _of_changing(names: list[str]) -> str:
    """Return a sentence on parameters and FLOPs of networks that change; "" for networks that do not."""
    if not set(BESIDE) & set(names):
        return ""
    return "Parameters and forward FLOPs: of the last evaluation, the median over complete runs. "


def _column(ds: xr.Dataset, name: str) -> list[float]:
    values = ds[name].values.astype(float)
    bound = f"{name.removesuffix('_mean')}_bound" if name != "restricted_mean" else "restricted_mean_bound"
    if bound not in ds:
        return [float(value) for value in values]
    bounds = ds[bound].transpose("contender", "bound").values
    shown: Callable[[float, float, float], str] = _share if name in SHARES else bounded
    return [Number(value, shown(value, low, high)) for value, (low, high) in zip(values, bounds, strict=True)]


def _share(value: float, low: float, high: float) -> str:
    return f"{percentage(value)} [{percentage(low)}, {percentage(high)}]"
