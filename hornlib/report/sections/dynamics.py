"""Dynamics inside: what probes recorded of the states over time steps, and after the input has ended."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.grid.jobs import parse_run_name
from hornlib.report.blocks import Block, Chart, Missing, Paragraph, Section, Swatch
from hornlib.report.charts.lines import Line, lines_chart, thinned
from hornlib.report.charts.style import Scale
from hornlib.report.evidence import ReportEvidence, SweepEvidence
from hornlib.report.sections.by_sweep import by_headline
from hornlib.report.series import datasets, drawn, named_swatches, series_of, swatches
from hornlib.report.wording import counted_range, slug
from hornlib.results.dynamics_file import open_dynamics

__all__ = ["dynamics"]


class ProbeChart(NamedTuple):
    """A chart of what a probe recorded: one variable over one dimension.

    Attributes:
        variable: variable of a dynamics file.
        over: dimension of its horizontal axis: timestep, run_on_time, frequency, or probe_step.
        scale: scale of that axis.
        title: what it shows.
    """

    variable: str
    over: str
    scale: Scale
    title: str


PROBE_CHARTS = (
    ProbeChart("state_rms", "timestep", "linear", "Size of the states"),
    ProbeChart("saturation", "timestep", "linear", "Saturated units"),
    ProbeChart("participation_ratio", "timestep", "linear", "Directions in use"),
    ProbeChart("state_gradient_norm", "timestep", "linear", "Gradient by time step"),
    ProbeChart("recurrence_spectral_radius", "probe_step", "symlog", "Spectral radius over training"),
    ProbeChart("lyapunov_exponent", "probe_step", "symlog", "Lyapunov exponent over training"),
    ProbeChart("phase_coherence", "run_on_time", "linear", "Phase coherence, running on"),
    ProbeChart("state_power", "frequency", "linear", "Spectrum of the states, running on"),
)


SUMMARY = "States of the networks over time steps, as probes recorded them."

READING = (
    "Line: median over seeds, in the last layer with time steps; band: quartiles. Of each arm the cell with the "
    "smallest restricted mean is shown."
)


def dynamics(evidence: ReportEvidence) -> Section:
    """Return the section on dynamics."""
    if not evidence.dynamics:
        files = ", ".join(str(path) for path in evidence.configuration) or "the configuration"
        missing = Missing(
            "No probe recorded the states of these networks.",
            "snakemake --cores 2",
            f"Probes run unless {files} says `probes: off`. They need a model with units over time, such as "
            "`horn_cnn`, `horn` or `rnn` (config.yaml has all three).",
        )
        return Section("dynamics", "Dynamics", [missing], SUMMARY)
    return by_headline(
        evidence, "dynamics", "Dynamics", lambda ds, sweep: _blocks(ds, sweep, evidence.dynamics), SUMMARY
    )


def _blocks(ds: xr.Dataset, sweep: SweepEvidence, files: Sequence[Path]) -> list[Block]:
    probed = {job.cell for path in files if (job := parse_run_name(path.name))}
    blocks: list[Block] = []
    for dataset in datasets(ds):
        chosen = {str(series_of(ds)[i]): str(ds["cell_name"].values[i]) for i in drawn(ds, dataset)}
        labels = {str(series_of(ds)[i]): str(ds["contender"].values[i]) for i in drawn(ds, dataset)}
        opened = {
            series: _last_layer(open_dynamics(files[0].parent, [cell]).isel(cell=0))
            for series, cell in chosen.items()
            if cell in probed
        }
        probes = {labels[series]: probe for series, probe in opened.items() if probe is not None}
        legend = named_swatches(swatches(series_of(ds)), labels)
        charts = [_chart(kind, probes, legend, dataset, sweep.name) for kind in PROBE_CHARTS]
        blocks += [chart for chart in charts if chart is not None]
    if not blocks:
        return [Paragraph(f"No probe recorded the fastest cell of any arm of the sweep {sweep.name}.")]
    return [Paragraph(READING, "note"), *blocks]


def _last_layer(probe: xr.Dataset) -> xr.Dataset | None:
    """Return the last layer with time steps, else the last layer; None where the probe recorded no layer."""
    if not probe.sizes.get("layer"):
        return None
    with_time = np.flatnonzero(probe["layer_kind"].values != "feed_forward")
    return probe.isel(layer=int(with_time[-1]) if len(with_time) else -1)


def _chart(
    kind: ProbeChart, probes: dict[str, xr.Dataset], legend: list[Swatch], dataset: str, sweep: str
) -> Chart | None:
    recorded = {
        label: values
        for label, probe in probes.items()
        if kind.variable in probe and (values := _at_last(kind, probe)).sizes[kind.over] > 1
    }
    lines = [thinned(_line(kind.over, label, values)) for label, values in recorded.items()]
    if not lines:
        return None
    probe = next(probe for probe in probes.values() if kind.variable in probe)
    titles = tuple(str(probe[name].attrs.get("long_name", name)) for name in (kind.over, kind.variable))
    counts = counted_range([probe.sizes["seed"] for probe in probes.values()])
    when = "" if kind.over == "probe_step" else f" At the last probe, step {int(probe['probe_step'][-1])}."
    return Chart(
        slug(sweep, dataset, "dynamics", kind.variable),
        f"{kind.title}, {dataset}",
        f"n = {counts} seeds.{when}",
        f"{titles[1]} on {dataset}. "
        + "; ".join(f"{line.series} ends at {line.y[-1]:.3g}" for line in lines)
        + ".",
        lines_chart(lines, legend, (titles[0], titles[1]), scale=kind.scale),
        [swatch for swatch in legend if any(swatch.label == line.series for line in lines)],
    )


def _at_last(kind: ProbeChart, probe: xr.Dataset) -> xr.DataArray:
    """Return the values that a chart shows, (seed, over): of the last probe, unless it shows all probes."""
    values = probe[kind.variable]
    if kind.over != "probe_step":
        values = values.isel(probe_step=-1)
    # the exponent of a network that remembers nothing is -inf
    has_point = xr.apply_ufunc(np.isfinite, values).any("seed")
    return values.where(has_point).dropna(kind.over, how="all").transpose("seed", kind.over)


def _line(over: str, series: str, values: xr.DataArray) -> Line:
    with np.errstate(invalid="ignore"):  # between two values of -inf
        quartiles = values.quantile([0.25, 0.5, 0.75], "seed", skipna=True).values
    low, middle, high = np.where(np.isfinite(quartiles), quartiles, np.nan)
    return Line(series, values[over].values.astype(float), middle, low, high)
