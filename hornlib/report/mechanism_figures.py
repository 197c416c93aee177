"""Figures of the experiments on fast early learning: from a Dataset of results/mechanism to SVG and PNG."""

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from hornlib.errors import ResultsError
from hornlib.report.figures import MATPLOTLIB_STYLE
from hornlib.report.mechanism_panels import (
    comparisons,
    dots_by_contender,
    forest,
    input_spectrum,
    over_timesteps,
    plain,
    relation,
    spectra,
    steps_against_rate,
    steps_against_resonance,
    updates,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["DRAWINGS", "NOTES", "draw_experiment", "draw_experiment_panels", "plot_experiment"]


def plot_experiment(ds: xr.Dataset, folder: str | Path) -> list[Path]:
    """Write an experiment's figure as `mechanism-<experiment>.svg` and `.png`, and return both paths.

    Args:
        ds: of one experiment (contender, ..), as results/mechanism/<experiment>.nc holds it.
        folder: where figures go; it is made.

    Raises:
        ResultsError: the Dataset is of no known experiment.
    """
    import matplotlib

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(MATPLOTLIB_STYLE):
        figure = draw_experiment(ds)
        written = [folder / f"mechanism-{ds.attrs['experiment']}.{kind}" for kind in ("svg", "png")]
        figure.savefig(written[0], metadata={"Date": None})
        figure.savefig(written[1], dpi=150)
    return written


def draw_experiment(ds: xr.Dataset) -> "Figure":
    """Return the figure of an experiment, with all of its panels.

    Args:
        ds: of one experiment, with the dimensions `contender` and, by experiment, `seed`, `pair`, `bound` and others
            (see the functions of `hornlib.report.mechanism_panels`).

    Raises:
        ResultsError: the Dataset is of no known experiment.
    """
    panels = _panels(ds)
    figure = _draw(ds, panels)
    name = str(ds.attrs["experiment"])
    figure.suptitle(plain(f"{name.replace('_', ' ')}: sweep {ds.attrs.get('sweep', '')}"))
    lines = [*textwrap.wrap(NOTES[name], 62 * len(panels)), f"n = {ds.attrs.get('num_seeds')} seeds."]
    figure.supxlabel("\n".join(lines), fontsize=7.5, x=0.01, ha="left")
    return figure


def draw_experiment_panels(ds: xr.Dataset) -> "list[Figure]":
    """Return the panels of an experiment, each as a figure of its own, so that a narrow page can stack them.

    Args:
        ds: as for `draw_experiment` (contender, ..).

    Raises:
        ResultsError: the Dataset is of no known experiment.
    """
    import matplotlib

    with matplotlib.rc_context(MATPLOTLIB_STYLE):
        return [_draw(ds, [panel]) for panel in _panels(ds)]


def _panels(ds: xr.Dataset) -> "list[PanelDrawing]":
    name = str(ds.attrs.get("experiment", ""))
    if name not in DRAWINGS:
        raise ResultsError(f"there is no figure of the experiment {name!r}; valid: {', '.join(DRAWINGS)}")
    return DRAWINGS[name](ds)


def _draw(ds: xr.Dataset, panels: "Sequence[PanelDrawing]") -> "Figure":
    from matplotlib.figure import Figure

    num_rows = max((ds.sizes.get(dim, 0) for dim in ("contender", "pair")), default=0)
    height = min(3.4 + 0.14 * max(0, num_rows - 6), 9.0)
    figure = Figure(figsize=(4.6 * len(panels), height + 0.5), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        panel(axes)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
    return figure


PanelDrawing = Callable[["Axes"], None]


def _scale(ds: xr.Dataset) -> list[PanelDrawing]:
    def dots(name: str) -> PanelDrawing:
        return lambda axes: dots_by_contender(axes, ds[name], "readout_norm")

    panels = [dots("logit_deviation"), dots("gradient_norm")]
    if "steps_to_target" in ds:
        gradient = ds["gradient_norm"].sel(readout_norm=ds["own_readout_norm"])
        panels += [lambda axes: relation(axes, ds, gradient, "norm of the loss's gradient, own read-out")]
    return panels


def _effective_rate(ds: xr.Dataset) -> list[PanelDrawing]:
    panels: list[PanelDrawing] = [lambda axes: updates(axes, ds)]
    if "ratio" in ds:
        panels += [lambda axes: steps_against_rate(axes, ds), lambda axes: comparisons(axes, ds)]
    return panels


def _tangent_kernel(ds: xr.Dataset) -> list[PanelDrawing]:
    panels: list[PanelDrawing] = [
        lambda axes: spectra(axes, ds),
        lambda axes: dots_by_contender(axes, ds["alignment"]),
    ]
    if "steps_to_target" in ds:
        panels.append(lambda axes: relation(axes, ds, ds["shape_time"], "predicted time, by shape"))
    return panels


def _linear_probe(ds: xr.Dataset) -> list[PanelDrawing]:
    return [lambda axes: over_timesteps(axes, ds), lambda axes: forest(axes, ds, "lead", 0.0)]


def _contrasts(ds: xr.Dataset) -> list[PanelDrawing]:
    return [
        lambda axes: forest(axes, ds, "ratio", 1.0),
        lambda axes: forest(axes, ds, "final_difference", 0.0),
    ]


def _resonance(ds: xr.Dataset) -> list[PanelDrawing]:
    return [lambda axes: input_spectrum(axes, ds), lambda axes: steps_against_resonance(axes, ds)]


DRAWINGS: dict[str, Callable[[xr.Dataset], list[PanelDrawing]]] = {
    "scale": _scale,
    "effective_rate": _effective_rate,
    "tangent_kernel": _tangent_kernel,
    "linear_probe": _linear_probe,
    "frozen_recurrence": _contrasts,
    "resonance": _resonance,
    "heterogeneity": _contrasts,
}

_FOREST = "Interval: two-sided, 95 %, over paired seeds; dashed: no effect."
NOTES = {
    "scale": "Dots: seeds at their first batch; line: geometric mean. Target: 90 % of the gain of cnn, or without "
    "it of the best cell.",
    "effective_rate": f"Lines: geometric means over seeds (and layers). {_FOREST}",
    "tangent_kernel": "Spectra: medians over seeds, by the largest eigenvalue; dots: seeds; line: geometric mean.",
    "linear_probe": f"Lines: means over seeds; a dotted line has no timesteps. {_FOREST}",
    "frozen_recurrence": _FOREST,
    "resonance": "Lines: geometric means over seeds; dots: seeds; ticks below: the cells' resonances.",
    "heterogeneity": _FOREST,
}
