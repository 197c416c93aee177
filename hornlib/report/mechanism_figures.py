"""Figures of the experiments on fast early learning: a Dataset of results/mechanism to SVG and PNG."""

import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from hornlib.errors import ResultsError
from hornlib.report.learning_curves import COLOURS, LINES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["DRAWINGS", "draw_experiment", "plot_experiment"]

GREY = "0.55"
FAINT = 0.45


def plot_experiment(ds: xr.Dataset, folder: str | Path) -> list[Path]:
    """Write an experiment's figure as `mechanism-<experiment>.svg` and `.png`, and return both paths.

    Args:
        ds: of one experiment, as results/mechanism/<experiment>.nc holds it.
        folder: where figures go; it is made.

    Raises:
        ResultsError: the Dataset is of no known experiment.
    """
    import matplotlib

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # A fixed salt and no date, so that the same Dataset gives the same file; text stays text, to be searched.
    with matplotlib.rc_context({"svg.hashsalt": "hornlib", "svg.fonttype": "none", "font.size": 9}):
        figure = draw_experiment(ds)
        written = [folder / f"mechanism-{ds.attrs['experiment']}.{kind}" for kind in ("svg", "png")]
        figure.savefig(written[0], metadata={"Date": None})
        figure.savefig(written[1], dpi=150)
    return written


def draw_experiment(ds: xr.Dataset) -> "Figure":
    """Return the figure of an experiment.

    Raises:
        ResultsError: the Dataset is of no known experiment.
    """
    from matplotlib.figure import Figure

    name = str(ds.attrs.get("experiment", ""))
    if name not in DRAWINGS:
        raise ResultsError(f"there is no figure of the experiment {name!r}; valid: {', '.join(DRAWINGS)}")
    panels = DRAWINGS[name](ds)
    rows = max((ds.sizes.get(dim, 0) for dim in ("contender", "pair")), default=0)
    height = min(3.4 + 0.14 * max(0, rows - 6), 9.0)
    figure = Figure(figsize=(4.6 * len(panels), height + 0.5), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        panel(axes)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_axisbelow(True)
    figure.suptitle(f"{name.replace('_', ' ')}: sweep {ds.attrs.get('sweep', '')}")
    told = f"{_NOTES[name]} n = {ds.attrs.get('num_seeds')} seeds."
    figure.supxlabel("\n".join(textwrap.wrap(told, 62 * len(panels))), fontsize=7.5, x=0.01, ha="left")
    return figure


Panel = Callable[["Axes"], None]


def _scale(ds: xr.Dataset) -> list[Panel]:
    def dots(name: str) -> Panel:
        return lambda axes: _dots_by_contender(axes, ds[name], "readout_norm")

    panels = [dots("logit_deviation"), dots("gradient_norm")]
    if "steps_to_target" in ds:
        own = ds["gradient_norm"].sel(readout_norm="none"), ds["gradient_norm"].sel(readout_norm="batch")
        panels += [lambda axes: _relation(axes, ds, own[1], f"{own[1].attrs['long_name']}, normalised")]
    return panels


def _effective_rate(ds: xr.Dataset) -> list[Panel]:
    panels: list[Panel] = [lambda axes: _updates(axes, ds)]
    if "ratio" in ds:
        panels += [lambda axes: _steps_against_rate(axes, ds), lambda axes: _comparisons(axes, ds)]
    return panels


def _tangent_kernel(ds: xr.Dataset) -> list[Panel]:
    panels: list[Panel] = [
        lambda axes: _spectra(axes, ds),
        lambda axes: _dots_by_contender(axes, ds["alignment"]),
    ]
    if "steps_to_target" in ds:
        panels.append(lambda axes: _relation(axes, ds, ds["shape_time"], "predicted time, by shape"))
    return panels


def _linear_probe(ds: xr.Dataset) -> list[Panel]:
    return [lambda axes: _over_timesteps(axes, ds), lambda axes: _forest(axes, ds, "lead", 0.0)]


def _contrasts(ds: xr.Dataset) -> list[Panel]:
    return [
        lambda axes: _forest(axes, ds, "ratio", 1.0),
        lambda axes: _forest(axes, ds, "final_difference", 0.0),
    ]


def _resonance(ds: xr.Dataset) -> list[Panel]:
    return [lambda axes: _input_spectrum(axes, ds), lambda axes: _steps_against_resonance(axes, ds)]


DRAWINGS: dict[str, Callable[[xr.Dataset], list[Panel]]] = {
    "scale": _scale,
    "effective_rate": _effective_rate,
    "tangent_kernel": _tangent_kernel,
    "linear_probe": _linear_probe,
    "frozen_recurrence": _contrasts,
    "resonance": _resonance,
    "heterogeneity": _contrasts,
}

_FOREST = "Interval: two-sided, 95 %, over paired seeds; dashed: no effect."
_NOTES = {
    "scale": "Dots: seeds at their first batch; line: geometric mean. Target: 90 % of the baseline's gain.",
    "effective_rate": f"Lines: geometric means over seeds (and layers). {_FOREST}",
    "tangent_kernel": "Spectra: medians over seeds, by the largest eigenvalue; dots: seeds; line: geometric mean.",
    "linear_probe": f"Lines: means over seeds; a dotted line has no timesteps. {_FOREST}",
    "frozen_recurrence": _FOREST,
    "resonance": "Lines: geometric means over seeds; dots: seeds; ticks below: the cells' resonances.",
    "heterogeneity": _FOREST,
}


def _colour(index: int) -> str:
    return COLOURS[index % len(COLOURS)]


def _geometric_mean(values: xr.DataArray, *dims: str) -> xr.DataArray:
    return xr.apply_ufunc(np.exp, xr.apply_ufunc(np.log, values).mean(dims))


def _label(values: xr.DataArray) -> str:
    return str(values.attrs.get("long_name", values.name))


def _make_log(axes: "Axes", which: str) -> None:
    """Make axes logarithmic, with labels that do not run into each other where they span little."""
    from matplotlib import ticker

    for name in which:
        axis, limits = (axes.xaxis, axes.get_xlim) if name == "x" else (axes.yaxis, axes.get_ylim)
        (axes.set_xscale if name == "x" else axes.set_yscale)("log")
        low, high = limits()
        if high < 100 * low:
            few = high < 4 * low
            axis.set_major_locator(ticker.MaxNLocator(5) if few else ticker.LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(ticker.FormatStrFormatter("%.3g"))
        axis.set_minor_formatter(ticker.NullFormatter())


def _name_rows(axes: "Axes", names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), ["\n".join(textwrap.wrap(name, 34)) for name in names], fontsize=7)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", color="0.92", linewidth=0.6)


def _dots_by_contender(axes: "Axes", values: xr.DataArray, hue: str | None = None) -> None:
    """Draw a row a contender: every seed, and the geometric mean; `hue` splits each row."""
    kinds = values[hue].values.tolist() if hue else [""]
    for place, kind in enumerate(kinds):
        table = (values.sel({hue: kind}) if hue else values).transpose("contender", "seed").values
        rows = np.arange(len(table)) + 0.24 * (place - (len(kinds) - 1) / 2)
        colour = _colour(place)
        axes.scatter(table, np.repeat(rows[:, None], table.shape[1], 1), s=9, color=colour, alpha=FAINT)
        axes.scatter(
            np.exp(np.log(table).mean(1)),
            rows,
            marker="|",
            s=90,
            color=colour,
            label=f"{hue} {kind}".replace("_", " "),
        )
    _name_rows(axes, values["contender"].values.tolist())
    _make_log(axes, "x")
    axes.set_xlabel(_label(values))
    if hue:
        axes.legend(fontsize=7, frameon=False)


def _relation(axes: "Axes", ds: xr.Dataset, x: xr.DataArray, label: str) -> None:
    """Draw steps to the target against a quantity, a point a contender with its number."""
    centres = [_geometric_mean(values, "seed").values for values in (x, ds["steps_to_target"])]
    for row, name in enumerate(ds["contender"].values.tolist()):
        at = float(centres[0][row]), float(centres[1][row])
        axes.scatter(*at, color=_colour(row), marker="os^Dv"[row // len(COLOURS) % 5], s=30, label=name)
    _make_log(axes, "xy")
    axes.set_xlabel(label)
    axes.set_ylabel(_label(ds["steps_to_target"]))
    axes.legend(fontsize=6, frameon=False)


def _forest(axes: "Axes", ds: xr.Dataset, name: str, null: float) -> None:
    """Draw a row a pair: the estimate and its interval."""
    names = ds["pair"].values.tolist()
    _intervals(axes, np.arange(len(names)), ds[name].values, ds[f"{name}_bound"].values, _colour(0))
    axes.axvline(null, color=GREY, linestyle="--", linewidth=0.9)
    _name_rows(axes, names)
    axes.set_xlabel(_label(ds[name]))


def _intervals(
    axes: "Axes", rows: np.ndarray, centre: np.ndarray, bounds: np.ndarray, colour: str, label: str = ""
) -> None:
    for row, (low, high) in zip(rows, bounds, strict=True):
        if np.isfinite([low, high]).all():
            axes.plot([low, high], [row, row], color=colour, linewidth=1.4)
    axes.scatter(centre, rows, color=colour, s=20, zorder=3, label=label or None)


def _comparisons(axes: "Axes", ds: xr.Dataset) -> None:
    names = ds["pair"].values.tolist()
    for place, comparison in enumerate(ds["comparison"].values.tolist()):
        own = ds.sel(comparison=comparison)
        rows = np.arange(len(names)) + 0.22 * (place - 1)
        word = comparison.replace("_", " ")
        _intervals(axes, rows, own["ratio"].values, own["ratio_bound"].values, _colour(place), word)
    axes.axvline(1, color=GREY, linestyle="--", linewidth=0.9)
    _name_rows(axes, names)
    _make_log(axes, "x")
    axes.set_xlabel(_label(ds["ratio"]))
    axes.legend(fontsize=7, frameon=False)


def _arms(ds: xr.Dataset) -> list[str]:
    return list(dict.fromkeys(ds["arm"].values.tolist()))


def _updates(axes: "Axes", ds: xr.Dataset) -> None:
    """Draw each arm's relative updates at its middle learning rate."""
    means = _geometric_mean(ds["relative_update"], "seed", "layer")
    for index, arm in enumerate(_arms(ds)):
        own = np.flatnonzero(ds["arm"] == arm)
        row = own[ds["learning_rate"].values[own].argsort()[len(own) // 2]]
        label = f"{arm}, rate {float(ds['learning_rate'][row]):g}"
        line = LINES[index % len(LINES)]
        axes.plot(ds["training_step"], means[row], color=_colour(index), linestyle=line, label=label)
    _make_log(axes, "y")
    axes.set_xlabel(_label(ds["training_step"]))
    axes.set_ylabel(_label(ds["relative_update"]))
    axes.legend(fontsize=7, frameon=False)


def _steps_against_rate(axes: "Axes", ds: xr.Dataset) -> None:
    """Draw steps to the target against learning rate times gain: one curve if the gain explains the arms."""
    gain = _geometric_mean(ds["gain"], "seed").values
    steps = _geometric_mean(ds["steps_to_target"], "seed").values
    for index, arm in enumerate(_arms(ds)):
        own = np.flatnonzero(ds["arm"] == arm)
        own = own[ds["learning_rate"].values[own].argsort()]
        rates = ds["learning_rate"].values[own] * gain[own]
        axes.plot(
            rates, steps[own], "o", linestyle=LINES[index % len(LINES)], color=_colour(index), label=arm
        )
    _make_log(axes, "xy")
    axes.set_xlabel("learning rate x gain before the read-out")
    axes.set_ylabel(_label(ds["steps_to_target"]))
    axes.legend(fontsize=7, frameon=False)


def _spectra(axes: "Axes", ds: xr.Dataset) -> None:
    shares = (ds["eigenvalue"] / ds["eigenvalue"].max("order")).median("seed")
    for index, name in enumerate(ds["contender"].values.tolist()):
        line = LINES[index // len(COLOURS) % len(LINES)]
        axes.plot(ds["order"], shares[index], color=_colour(index), linestyle=line, label=name, linewidth=1.2)
    _make_log(axes, "xy")
    axes.set_xlabel(_label(ds["order"]))
    axes.set_ylabel("eigenvalue over the largest")
    axes.legend(fontsize=6, frameon=False)


def _over_timesteps(axes: "Axes", ds: xr.Dataset) -> None:
    means = ds["probe_accuracy_over_time"].mean("seed")
    own = ds["probe_accuracy"].mean("seed").values
    for index, name in enumerate(ds["contender"].values.tolist()):
        colour, line = _colour(index), LINES[index // len(COLOURS) % len(LINES)]
        if np.isfinite(means[index]).any():
            axes.plot(
                ds["timesteps"],
                means[index],
                marker="o",
                markersize=3,
                color=colour,
                linestyle=line,
                label=name,
            )
        else:
            axes.axhline(own[index], color=colour, linestyle=":", linewidth=1.2, label=name)
    axes.set_xscale("log", base=2)
    axes.set_xlabel(_label(ds["timesteps"]))
    axes.set_ylabel(_label(ds["probe_accuracy_over_time"]))
    axes.legend(fontsize=6, frameon=False)


def _input_spectrum(axes: "Axes", ds: xr.Dataset) -> None:
    for index, arm in enumerate(_arms(ds)):
        own = np.flatnonzero(ds["arm"] == arm)
        axes.plot(ds["frequency"], ds["input_power"][own[0]], color=_colour(index), label=arm)
        resonance = ds["resonance_frequency"].values[own]
        height = np.full(len(own), -0.02 * (index + 1))
        axes.scatter(resonance, height, marker="|", s=40, color=_colour(index), clip_on=False)
    axes.set_yscale("symlog", linthresh=0.05)
    axes.set_xlabel("frequency (cycles a step)")
    axes.set_ylabel(_label(ds["input_power"]))
    axes.legend(fontsize=7, frameon=False)


def _steps_against_resonance(axes: "Axes", ds: xr.Dataset) -> None:
    for index, arm in enumerate(_arms(ds)):
        own = np.flatnonzero(ds["arm"] == arm)
        own = own[ds["resonance_frequency"].values[own].argsort()]
        steps, x = ds["steps_to_target"].values[own], ds["resonance_frequency"].values[own]
        axes.scatter(np.repeat(x, steps.shape[1]), steps.ravel(), s=8, alpha=FAINT, color=_colour(index))
        axes.plot(x, np.exp(np.log(steps).mean(1)), color=_colour(index), label=arm)
    _make_log(axes, "xy")
    axes.set_xlabel(_label(ds["resonance_frequency"]) + " (cycles a step)")
    axes.set_ylabel(_label(ds["steps_to_target"]))
    axes.legend(fontsize=7, frameon=False)
