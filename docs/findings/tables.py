"""What the scripts of the findings share: sweeps in calibrated seconds, spreads, pages with a head of their own."""

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import xarray as xr

from hornlib import open_results
from hornlib.results.calibrated_seconds import best_device

__all__ = ["EDGE_NOTE", "alpha_of", "edge_mark", "final", "in_table", "opened", "spread", "write_below_mark"]

EDGE_NOTE = (
    "† The chosen value is the smallest or largest that was tried: the best value may lie beyond, and the arm may do "
    "better with a wider range."
)
"""Explains the mark of `edge_mark`; belongs below every table that has it."""


def alpha_of(ds: xr.Dataset) -> float:
    """Return the level of tests and intervals: that of one look for a sequential sweep."""
    return float(json.loads(str(ds.attrs["settings"]))["alpha"])


def edge_mark(own: xr.Dataset, parameter: str) -> str:
    """Return a mark where a cell's chosen value of a parameter is the smallest or largest tried, else nothing."""
    edges = str(own["at_edge"].item()) if "at_edge" in own else ""
    return " †" if parameter in edges.split() else ""


def in_table(text: str) -> str:
    """Return a text for the cell of a Markdown table, where a bar, as in |w|, would begin the next cell."""
    return text.replace("|", "\\|")


def opened(results: Path, sweep: str) -> xr.Dataset:
    """Return a sweep, its seconds calibrated, with the device in the attribute `device`; NaN where none was."""
    ds = open_results(results, sweep=sweep).load()
    best = best_device(ds)
    if best is None:
        return ds.assign(seconds=xr.full_like(ds["training_flops"], np.nan)).assign_attrs(device="no device")
    device, seconds = best
    name = str(ds["calibration_device"].values[device])
    return ds.assign(seconds=seconds.broadcast_like(ds["training_flops"])).assign_attrs(device=name)


def final(own: xr.Dataset, variable: str, diverged: float = np.inf) -> np.ndarray:
    """Return a variable at a cell's last evaluation, (seeds,), a run that diverged as `diverged`; NaN if missing."""
    evaluated = np.flatnonzero(own["samples"].notnull())
    if not len(evaluated):
        return np.full(own.sizes["seed"], np.nan)
    values = own[variable].values[:, evaluated[-1]]
    return np.where(own["status"].values == "diverged", diverged, values)


def spread(values: np.ndarray, digits: int = 3) -> str:
    """Write 'median [quartiles]', from order statistics; NaN is left out, infinity is a run that diverged."""
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]  # what a cell has not, be it a depth or a missing run
    if not len(values):
        return "-"
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75], method="nearest")
    return f"{middle:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def write_below_mark(path: Path, title: str, script: str, lines: Iterable[str]) -> None:
    """Write the lines below the mark that names the script; what stands above it is kept.

    Args:
        path: of the page.
        title: of a page that does not exist yet.
        script: that makes the lines.
        lines: Markdown.
    """
    mark = f"<!-- below: made by {script} -->"
    text = path.read_text() if path.exists() else f"# {title}\n\n{mark}\n"
    if mark not in text:
        raise SystemExit(f"{path}: the line {mark!r} is missing; put it where the tables begin")
    path.write_text(text.split(mark)[0] + mark + "\n\n" + "\n".join(lines).rstrip() + "\n")
