"""Panels of the figures on fast early learning: dots, intervals, curves and spectra, each drawn into given axes."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from hornlib.report.series import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "comparisons",
    "dots_by_contender",
    "forest",
    "input_spectrum",
    "over_timesteps",
    "plain",
    "relation",
    "spectra",
    "steps_against_rate",
    "steps_against_resonance",
    "updates",
]

LINES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))

GREY = "0.55"
FAINT = 0.45


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


def plain(name: str) -> str:
    """Return a label of the configuration for matplotlib, which would read a pair of `$` as a formula."""
    return name.replace("$", r"\$")


def _name_rows(axes: "Axes", names: Sequence[str]) -> None:
    axes.set_yticks(
        range(len(names)), ["\n".join(textwrap.wrap(plain(name), 34)) for name in names], fontsize=7
    )
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="y", color="0.92", linewidth=0.6)


def dots_by_contender(axes: "Axes", values: xr.DataArray, hue: str | None = None) -> None:
    """Draw one row for each contender, with a dot for every seed and a bar at the geometric mean.

    Args:
        axes: the axes to draw into.
        values: positive numbers, (contender, seed), or (contender, hue, seed) with `hue`.
        hue: dimension that splits each row by colour; None: `values` has no such dimension.
    """
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


def relation(axes: "Axes", ds: xr.Dataset, x: xr.DataArray, label: str) -> None:
    """Draw the steps to the target against a quantity, with one point for each contender.

    A point is the geometric mean over seeds in both directions.

    Args:
        axes: the axes to draw into.
        ds: `steps_to_target` (contender, seed), in training steps.
        x: the quantity, (contender, seed), positive.
        label: label of the x axis.
    """
    centres = [_geometric_mean(values, "seed").values for values in (x, ds["steps_to_target"])]
    for row, name in enumerate(ds["contender"].values.tolist()):
        at = float(centres[0][row]), float(centres[1][row])
        axes.scatter(
            *at, color=_colour(row), marker="os^Dv"[row // len(COLOURS) % 5], s=30, label=plain(name)
        )
    _make_log(axes, "xy")
    axes.set_xlabel(label)
    axes.set_ylabel(_label(ds["steps_to_target"]))
    axes.legend(fontsize=6, frameon=False)


def forest(axes: "Axes", ds: xr.Dataset, name: str, null: float) -> None:
    """Draw one row for each pair, with the estimate and its interval.

    Args:
        axes: the axes to draw into.
        ds: the variables `name` (pair) and `<name>_bound` (pair, bound). NaN bounds are not drawn.
        name: variable of the estimates.
        null: value without an effect, where a dashed line is drawn: 1 for a ratio, 0 for a difference.
    """
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


def comparisons(axes: "Axes", ds: xr.Dataset) -> None:
    """Draw one row for each pair, with an interval for each way of pairing learning rates.

    Args:
        axes: the axes to draw into.
        ds: `ratio` (pair, comparison), steps of the subject over those of the rival, and `ratio_bound` (pair,
            comparison, bound).
    """
    names = ds["pair"].values.tolist()
    for place, comparison in enumerate(ds["comparison"].values.tolist()):
        at_comparison = ds.sel(comparison=comparison)
        rows = np.arange(len(names)) + 0.22 * (place - 1)
        word = comparison.replace("_", " ")
        _intervals(
            axes,
            rows,
            at_comparison["ratio"].values,
            at_comparison["ratio_bound"].values,
            _colour(place),
            word,
        )
    axes.axvline(1, color=GREY, linestyle="--", linewidth=0.9)
    _name_rows(axes, names)
    _make_log(axes, "x")
    axes.set_xlabel(_label(ds["ratio"]))
    axes.legend(fontsize=7, frameon=False)


def _arms(ds: xr.Dataset) -> list[str]:
    return list(dict.fromkeys(ds["arm"].values.tolist()))


def updates(axes: "Axes", ds: xr.Dataset) -> None:
    """Draw the relative updates of each arm at its middle learning rate, over training steps.

    Args:
        axes: the axes to draw into.
        ds: `relative_update` (contender, seed, training_step, layer), and `arm` and `learning_rate` (contender). The
            curve is the geometric mean over seeds and layers.
    """
    means = _geometric_mean(ds["relative_update"], "seed", "layer")
    for index, arm in enumerate(_arms(ds)):
        members = np.flatnonzero(ds["arm"] == arm)
        row = members[ds["learning_rate"].values[members].argsort()[len(members) // 2]]
        label = f"{plain(arm)}, rate {float(ds['learning_rate'][row]):g}"
        line = LINES[index % len(LINES)]
        axes.plot(ds["training_step"], means[row], color=_colour(index), linestyle=line, label=label)
    _make_log(axes, "y")
    axes.set_xlabel(_label(ds["training_step"]))
    axes.set_ylabel(_label(ds["relative_update"]))
    axes.legend(fontsize=7, frameon=False)


def steps_against_rate(axes: "Axes", ds: xr.Dataset) -> None:
    """Draw the steps to the target against learning rate times gain.

    All arms lie on one curve if the gain explains their differences.

    Args:
        axes: the axes to draw into.
        ds: `steps_to_target` and `gain` (contender, seed), and `arm` and `learning_rate` (contender).
    """
    gain = _geometric_mean(ds["gain"], "seed").values
    steps = _geometric_mean(ds["steps_to_target"], "seed").values
    for index, arm in enumerate(_arms(ds)):
        members = np.flatnonzero(ds["arm"] == arm)
        members = members[ds["learning_rate"].values[members].argsort()]
        rates = ds["learning_rate"].values[members] * gain[members]
        axes.plot(
            rates,
            steps[members],
            "o",
            linestyle=LINES[index % len(LINES)],
            color=_colour(index),
            label=plain(arm),
        )
    _make_log(axes, "xy")
    axes.set_xlabel("learning rate x gain before the read-out")
    axes.set_ylabel(_label(ds["steps_to_target"]))
    axes.legend(fontsize=7, frameon=False)


def spectra(axes: "Axes", ds: xr.Dataset) -> None:
    """Draw the eigenvalues of every contender, divided by its largest eigenvalue.

    Args:
        axes: the axes to draw into.
        ds: `eigenvalue` (contender, seed, order), descending along `order`. The curve is the median over seeds.
    """
    shares = (ds["eigenvalue"] / ds["eigenvalue"].max("order")).median("seed")
    for index, name in enumerate(ds["contender"].values.tolist()):
        line = LINES[index // len(COLOURS) % len(LINES)]
        axes.plot(
            ds["order"],
            shares[index],
            color=_colour(index),
            linestyle=line,
            label=plain(name),
            linewidth=1.2,
        )
    _make_log(axes, "xy")
    axes.set_xlabel(_label(ds["order"]))
    axes.set_ylabel("eigenvalue over the largest")
    axes.legend(fontsize=6, frameon=False)


def over_timesteps(axes: "Axes", ds: xr.Dataset) -> None:
    """Draw the accuracy of the linear probe over timesteps; a model without timesteps gets a dotted horizontal line.

    Args:
        axes: the axes to draw into.
        ds: `probe_accuracy_over_time` (contender, seed, timesteps), NaN where it was not measured, and
            `probe_accuracy` (contender, seed) at the contender's own timesteps. Both are shares from 0 to 1.
    """
    means = ds["probe_accuracy_over_time"].mean("seed")
    last = ds["probe_accuracy"].mean("seed").values
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
                label=plain(name),
            )
        else:
            axes.axhline(last[index], color=colour, linestyle=":", linewidth=1.2, label=plain(name))
    axes.set_xscale("log", base=2)
    axes.set_xlabel(_label(ds["timesteps"]))
    axes.set_ylabel(_label(ds["probe_accuracy_over_time"]))
    axes.legend(fontsize=6, frameon=False)


def input_spectrum(axes: "Axes", ds: xr.Dataset) -> None:
    """Draw the input spectrum of each arm, and below it the resonance frequencies of the arm's cells.

    Args:
        axes: the axes to draw into.
        ds: `input_power` (contender, frequency), `arm` (contender), and `resonance_frequency` (contender) in cycles
            per step.
    """
    for index, arm in enumerate(_arms(ds)):
        members = np.flatnonzero(ds["arm"] == arm)
        axes.plot(ds["frequency"], ds["input_power"][members[0]], color=_colour(index), label=plain(arm))
        resonance = ds["resonance_frequency"].values[members]
        height = np.full(len(members), -0.02 * (index + 1))
        axes.scatter(resonance, height, marker="|", s=40, color=_colour(index), clip_on=False)
    axes.set_yscale("symlog", linthresh=0.05)
    axes.set_xlabel("frequency (cycles a step)")
    axes.set_ylabel(_label(ds["input_power"]))
    axes.legend(fontsize=7, frameon=False)


def steps_against_resonance(axes: "Axes", ds: xr.Dataset) -> None:
    """Draw the steps to the target against the resonance frequency, with one line for each arm.

    Args:
        axes: the axes to draw into.
        ds: `steps_to_target` (contender, seed), `arm` (contender), and `resonance_frequency` (contender) in cycles
            per step.
    """
    for index, arm in enumerate(_arms(ds)):
        members = np.flatnonzero(ds["arm"] == arm)
        members = members[ds["resonance_frequency"].values[members].argsort()]
        steps, x = ds["steps_to_target"].values[members], ds["resonance_frequency"].values[members]
        axes.scatter(np.repeat(x, steps.shape[1]), steps.ravel(), s=8, alpha=FAINT, color=_colour(index))
        axes.plot(x, np.exp(np.log(steps).mean(1)), color=_colour(index), label=plain(arm))
    _make_log(axes, "xy")
    axes.set_xlabel(_label(ds["resonance_frequency"]) + " (cycles a step)")
    axes.set_ylabel(_label(ds["steps_to_target"]))
    axes.legend(fontsize=7, frameon=False)
