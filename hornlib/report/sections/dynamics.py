"""Dynamics inside: what probes recorded of the states over time steps, and of the network running on."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.grid.jobs import parse_run_name
from hornlib.report.blocks import Block, Chart, Missing, Paragraph, Section, Swatch
from hornlib.report.charts.lines import Line, lines_chart, thinned
from hornlib.report.charts.style import Scale
from hornlib.report.evidence import Evidence, SweepEvidence
from hornlib.report.sections.by_sweep import by_headline
from hornlib.report.series import datasets, drawn, series_of, swatches
from hornlib.report.wording import counted_range, slug
from hornlib.results.dynamics_file import open_dynamics

__all__ = ["dynamics"]


class View(NamedTuple):
    """What is drawn of a probe: a variable over one dimension, which is what else of it stays fixed.

    Attributes:
        variable: of a dynamics file.
        over: timestep, run_on_time, frequency, or probe_step.
        scale: of that axis.
        title: what it shows.
    """

    variable: str
    over: str
    scale: Scale
    title: str


VIEWS = (
    View("state_rms", "timestep", "linear", "Size of the states"),
    View("saturation", "timestep", "linear", "Saturated units"),
    View("participation_ratio", "timestep", "linear", "Directions in use"),
    View("state_gradient_norm", "timestep", "linear", "Gradient by time step"),
    View("recurrence_spectral_radius", "probe_step", "symlog", "Spectral radius over training"),
    View("lyapunov_exponent", "probe_step", "symlog", "Lyapunov exponent over training"),
    View("phase_coherence", "run_on_time", "linear", "Phase coherence, running on"),
    View("state_power", "frequency", "linear", "Spectrum of the states, running on"),
)


def dynamics(evidence: Evidence) -> Section:
    """Return the section on dynamics."""
    if not evidence.dynamics:
        missing = Missing("No probe recorded the states of these networks.", "snakemake --cores 2")
        return Section("dynamics", "Dynamics", [missing])
    return by_headline(
        evidence, "dynamics", "Dynamics", lambda ds, sweep: _blocks(ds, sweep, evidence.dynamics)
    )


def _blocks(ds: xr.Dataset, sweep: SweepEvidence, files: Sequence[Path]) -> list[Block]:
    probed = {job.cell for path in files if (job := parse_run_name(path.name))}
    legend = swatches(series_of(ds))
    blocks: list[Block] = []
    for dataset in datasets(ds):
        chosen = {str(series_of(ds)[i]): str(ds["cell_name"].values[i]) for i in drawn(ds, dataset)}
        found = {
            series: _last_layer(open_dynamics(files[0].parent, [cell]).isel(cell=0))
            for series, cell in chosen.items()
            if cell in probed
        }
        known = {series: probe for series, probe in found.items() if probe is not None}
        charts = [_chart(view, known, legend, dataset, sweep.name) for view in VIEWS]
        blocks += [chart for chart in charts if chart is not None]
    return blocks or [Paragraph(f"No probe saw the fastest cell of any arm of the sweep {sweep.name}.")]


def _last_layer(probe: xr.Dataset) -> xr.Dataset | None:
    """Return the last layer that has time steps, or the last of all; None where nothing was seen."""
    if not probe.sizes.get("layer"):
        return None
    with_time = np.flatnonzero(probe["layer_kind"].values != "feed_forward")
    return probe.isel(layer=int(with_time[-1]) if len(with_time) else -1)


def _chart(
    view: View, probes: dict[str, xr.Dataset], legend: list[Swatch], dataset: str, sweep: str
) -> Chart | None:
    known = {
        series: values
        for series, probe in probes.items()
        if view.variable in probe and (values := _at_last(view, probe)).sizes[view.over] > 1
    }
    lines = [thinned(_line(view.over, series, values)) for series, values in known.items()]
    if not lines:
        return None
    probe = next(probe for probe in probes.values() if view.variable in probe)
    titles = tuple(str(probe[name].attrs.get("long_name", name)) for name in (view.over, view.variable))
    counts = counted_range([probe.sizes["seed"] for probe in probes.values()])
    when = "" if view.over == "probe_step" else f" At the last probe, step {int(probe['probe_step'][-1])}."
    return Chart(
        slug(sweep, dataset, "dynamics", view.variable),
        f"{view.title}, {dataset}",
        f"Median over seeds of the last layer with time steps, band: quartiles; n = {counts} seeds, of each arm the "
        f"cell with the smallest restricted mean.{when}",
        f"{titles[1]} on {dataset}. "
        + "; ".join(f"{line.series} ends at {line.y[-1]:.3g}" for line in lines)
        + ".",
        lines_chart(lines, legend, (titles[0], titles[1]), scale=view.scale),
        [swatch for swatch in legend if any(swatch.label == line.series for line in lines)],
    )


def _at_last(view: View, probe: xr.Dataset) -> xr.DataArray:
    """Return what is drawn, of the last probe unless it is drawn over probes; where any seed has it."""
    values = probe[view.variable]
    if view.over != "probe_step":
        values = values.isel(probe_step=-1)
    return values.dropna(view.over, how="all").transpose("seed", view.over)


def _line(over: str, series: str, values: xr.DataArray) -> Line:
    low, middle, high = values.quantile([0.25, 0.5, 0.75], "seed", skipna=True).values
    return Line(series, values[over].values.astype(float), middle, low, high)
