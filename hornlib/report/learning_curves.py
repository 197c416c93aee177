"""Learning curves of a sweep, drawn against steps, samples, training FLOPs and seconds."""

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import xarray as xr

from hornlib.report.curves import Curve, Panel, panels
from hornlib.results.opening import open_results, select_sweep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["AXES", "draw", "plot_sweep"]

AXES = {
    "steps": ("step", "training steps"),
    "samples": ("samples", "training examples seen"),
    "flops": ("training_flops", "training FLOPs"),
    "seconds": ("seconds", "seconds, a lane's share of its job's clock (not calibrated)"),
}
"""Part of the file's name -> variable, and label of the axis."""

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito (2008), told apart by the colour-blind; without their yellow, too faint for a line."""

LINES = ("-", "--", "-.", ":", (0, (6, 1, 1, 1, 1, 1)))
MARKERS = ("", "o", "s", "^", "D", "v")

CHANCE: dict[str, Any] = {"color": "0.5", "linewidth": 0.8, "linestyle": (0, (1, 2))}

DETAILED = 16
"""Most cells of a panel that are all drawn in full; of more, each arm's best is, and the others are faint."""

PANELS_A_ROW = 3

SHADE = 0.6
"""How far the lightest of an arm's cells is mixed with white."""


def plot_sweep(results: xr.Dataset | str | Path, sweep: str, folder: str | Path) -> list[Path]:
    """Draw a sweep's learning curves, one figure an axis, each as SVG and PNG.

    Args:
        results: results.nc or partial.nc, open or by its path.
        sweep: the sweep.
        folder: where `<sweep>-steps.svg`, `-samples`, `-flops` and `-seconds` go; it is made.

    Returns:
        The files written.

    Raises:
        ResultsError: there is no such file or sweep.
    """
    import matplotlib

    ds = results if isinstance(results, xr.Dataset) else open_results(results)
    ds = select_sweep(ds, sweep).load()
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    # A fixed salt and no date, so that the same results give the same file; text stays text, to be searched.
    with matplotlib.rc_context({"svg.hashsalt": "hornlib", "svg.fonttype": "none", "font.size": 9}):
        for axis in AXES:
            figure = draw(ds, sweep, axis)
            for kind, metadata in (("png", {}), ("svg", {"Date": None})):
                written.append(folder / f"{sweep}-{axis}.{kind}")
                figure.savefig(written[-1], metadata=metadata, dpi=150)
                figure.set_layout_engine("none")  # it is settled, and takes longer than the drawing
    return written


def draw(ds: xr.Dataset, sweep: str, axis: str) -> "Figure":
    """Return the figure of a sweep that `select_sweep` gave, against one of `AXES`."""
    from matplotlib.figure import Figure

    variable, label = AXES[axis]
    drawn = panels(ds, variable)
    detailed = max(len(panel.curves) for panel in drawn) <= DETAILED
    styles = _styles(drawn) if detailed else _arm_styles(drawn)
    columns = min(PANELS_A_ROW, len(drawn))
    rows = -(-len(drawn) // columns)
    told = 0.0 if detailed else 0.12 * len(styles)
    figure = Figure(figsize=(4.2 * columns + 3.0, (3.3 + told) * rows + 0.9), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).flatten().tolist()
    for axes, panel in zip(grid, drawn, strict=False):
        _draw_panel(axes, panel, styles, detailed)
        axes.set_xlabel(label)
    for axes in grid[len(drawn) :]:
        axes.remove()
    _add_legend(figure, styles)
    figure.suptitle(f"{sweep}: learning curves against {label.split(',')[0]}")
    figure.supxlabel(_caption(drawn, ds, axis, detailed), fontsize=7.5, x=0.01, ha="left")
    return figure


class _Style(NamedTuple):
    """How a curve is drawn; matplotlib's own keywords."""

    color: str
    linestyle: str | tuple[int, tuple[int, ...]]
    marker: str


Key = tuple[str, tuple[tuple[str, str | float | int], ...]]
"""What a legend's entry stands for: an arm, and what tells the cell from the arm's others."""


def _key(curve: Curve) -> Key:
    return curve.arm, tuple(curve.axes.items())


def _arm_styles(drawn: Sequence[Panel]) -> dict[Key, _Style]:
    """Return one style an arm: its colour; arms beyond the seventh also have a marker."""
    arms = dict.fromkeys(curve.arm for panel in drawn for curve in panel.curves)
    return {
        (arm, ()): _Style(COLOURS[index % len(COLOURS)], "-", MARKERS[index // len(COLOURS) % len(MARKERS)])
        for index, arm in enumerate(arms)
    }


def _styles(drawn: Sequence[Panel]) -> dict[Key, _Style]:
    """Return a style a cell: the arm's colour, lighter along its longest axis, the line by the other axes."""
    from matplotlib.colors import to_hex, to_rgb

    styles = {}
    for (arm, _), style in _arm_styles(drawn).items():
        own = [curve for panel in drawn for curve in panel.curves if curve.arm == arm]
        names = dict.fromkeys(name for curve in own for name in curve.axes)
        values = {
            name: sorted({curve.axes[name] for curve in own if name in curve.axes}, key=_order)
            for name in names
        }
        longest = max(values, key=lambda name: len(values[name]), default=None)
        lines: dict[Key, int] = {}
        for curve in sorted(own, key=lambda curve: [_order(value) for value in curve.axes.values()]):
            rest = arm, tuple(item for item in curve.axes.items() if item[0] != longest)
            line = LINES[lines.setdefault(rest, len(lines)) % len(LINES)]
            white = 0.0
            if longest in curve.axes:
                place = values[longest].index(curve.axes[longest])
                white = SHADE * (1 - place / max(1, len(values[longest]) - 1))
            red, green, blue = (white + (1 - white) * channel for channel in to_rgb(style.color))
            styles[_key(curve)] = style._replace(color=to_hex((red, green, blue)), linestyle=line)
    return styles


def _order(value: str | float | int) -> tuple[bool, str | float | int]:
    """Return a key that sorts numbers by value, and text after them."""
    return isinstance(value, str), value


def _draw_panel(axes: "Axes", panel: Panel, styles: dict[Key, _Style], detailed: bool) -> None:
    for curve in panel.curves:
        if detailed:
            _draw_curve(axes, curve, styles[_key(curve)])
        else:
            axes.plot(curve.x, curve.median, color=styles[curve.arm, ()].color, linewidth=0.5, alpha=0.25)
    if not detailed:
        for arm in dict.fromkeys(curve.arm for curve in panel.curves):
            _draw_curve(axes, panel.best(arm), styles[arm, ()])
        _tell_bests(axes, panel)
    axes.axhline(panel.chance, **CHANCE)
    _set_log_axis(axes)
    axes.set_ylabel(panel.label)
    axes.set_title(panel.title)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)


def _set_log_axis(axes: "Axes") -> None:
    """Make x logarithmic, with labels that do not run into each other where it spans little."""
    from matplotlib import ticker

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    if high < 4 * low:
        axes.xaxis.set_major_locator(ticker.MaxNLocator(5))
        axes.xaxis.set_major_formatter(ticker.FormatStrFormatter("%.3g"))
    elif high < 100 * low:
        axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(ticker.LogFormatterSciNotation(labelOnlyBase=False))
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())


def _draw_curve(axes: "Axes", curve: Curve, style: _Style) -> None:
    axes.fill_between(curve.x, curve.low, curve.high, color=style.color, alpha=0.12, linewidth=0)
    axes.plot(curve.x, curve.median, **style._asdict(), linewidth=1.6, markersize=3.5, markevery=4)


def _add_legend(figure: "Figure", styles: dict[Key, _Style]) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], **style._asdict(), linewidth=1.6, markersize=3.5, label=_told(*key, width=42))
        for key, style in styles.items()
    ]
    handles.append(Line2D([], [], **CHANCE, label="chance"))
    figure.legend(handles=handles, loc="outside right upper", fontsize=8, frameon=False, handlelength=3)


def _tell_bests(axes: "Axes", panel: Panel) -> None:
    """Write below a panel which cell of each arm is drawn in bold."""
    lines = []
    for arm in dict.fromkeys(curve.arm for curve in panel.curves):
        own = [curve for curve in panel.curves if curve.arm == arm]
        if len(own) > 1:
            lines.append(_told(f"{arm}, best of {len(own)}", tuple(panel.best(arm).axes.items()), width=90))
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "xytext": (0, -34)}
    axes.annotate("\n".join(lines), (0, 0), **place, fontsize=6.5, va="top", ha="left", color="0.3")


def _told(arm: str, axes: tuple[tuple[str, str | float | int], ...], width: int) -> str:
    """Return an arm's label with what tells the cell from the arm's others, in lines of at most `width`."""
    words = ", ".join(f"{name.replace('_', ' ')} {_value(value)}" for name, value in axes)
    return "\n".join(textwrap.wrap(f"{arm}: {words}" if words else arm, width, subsequent_indent="   "))


def _value(value: str | float | int) -> str:
    return value if isinstance(value, str) else "none" if value != value else f"{value:g}"


def _caption(drawn: Sequence[Panel], ds: xr.Dataset, axis: str, detailed: bool) -> str:
    curves = [curve for panel in drawn for curve in panel.curves]
    counts = sorted({curve.num_seeds for curve in curves})
    runs, diverged = sum(curve.num_seeds for curve in curves), sum(curve.num_diverged for curve in curves)
    missing = sum(panel.num_missing for panel in drawn)
    seeds = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
    lines = [f"Line: median over seeds; band: quartiles; n = {seeds} seeds a cell, {len(curves)} cells."]
    if not detailed:
        lines.append(
            "Bold: each arm's cell with the best last median, chosen on these very curves; faint: its others."
        )
    if diverged:
        lines.append(f"{diverged} of {runs} runs diverged; from there on they count as chance.")
    if missing:
        lines.append(f"{missing} runs are missing.")
    if axis == "seconds":
        devices = sorted(set(ds["device"].values.flat) - {""})
        lines.append(
            f"Trained on: {', '.join(devices)}." + (" Do not compare devices." if len(devices) > 1 else "")
        )
    return "\n".join(lines)
