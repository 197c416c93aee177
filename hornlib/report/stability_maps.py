"""Maps of stability as figures: theory, simulation and trained cells in one plane, and the integrators' orders."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from hornlib.report.figures import MATPLOTLIB_STYLE
from hornlib.report.stability_curves import COMPLETE, DIVERGED, draw_orders, draw_outcome
from hornlib.results.analysis_files import STABILITY_FILE
from hornlib.results.netcdf import load_groups

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FIGURES", "draw_stability", "draw_stability_panels", "plot_stability"]

REGIME_COLOURS = {
    "unstable": "#f2f2f2",
    "monotone": "#cfe8f7",
    "oscillatory": "#9ad0ec",
    "sign_flipping": "#f5d59b",
}
"""Light, so that cells stand out; told apart without colour by the lines between them."""

LINE = "#000000"


class _CellPoints(NamedTuple):
    """Points of cells, (cells,): their positions, and the share of their runs that diverged (NaN before training)."""

    x: np.ndarray
    y: np.ndarray
    diverged: np.ndarray


def plot_stability(path: Path, folder: Path) -> list[Path]:
    """Draw the figures of stability.nc, each as SVG and PNG.

    Args:
        path: stability.nc.
        folder: where `stability_maps-plane`, `-heterogeneity`, `-outcome` and `-orders` go; it is made.

    Returns:
        The files written.

    Raises:
        ResultsError: the file is missing, damaged or of another schema version.
    """
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    groups = load_groups(path, STABILITY_FILE)
    written = []
    with matplotlib.rc_context(MATPLOTLIB_STYLE):
        for part in FIGURES:
            figure = draw_stability(groups, part)
            for kind, metadata in (("png", {}), ("svg", {"Date": None})):
                written.append(folder / f"stability_maps-{part}.{kind}")
                figure.savefig(written[-1], metadata=metadata, dpi=150)
    return written


def draw_stability(groups: dict[str, xr.Dataset], part: str) -> "Figure":
    """Return one figure with all of its panels.

    Args:
        groups: groups of stability.nc by name: `cells` (cell, seed), `plane` (integrator, damping_h, omega_h),
            `heterogeneity` (timesteps, heterogeneity) and `orders` (integrator, integration_step).
        part: a key of `FIGURES`.
    """
    return FIGURES[part](groups)


def draw_stability_panels(groups: dict[str, xr.Dataset], part: str) -> "list[Figure]":
    """Return the panels of one figure, each as a figure of its own, so that a narrow page can stack them.

    Args:
        groups: groups of stability.nc by name (dimensions: see `draw_stability`).
        part: a key of `FIGURES`.
    """
    import matplotlib

    with matplotlib.rc_context(MATPLOTLIB_STYLE):
        if part == "plane":
            names = [str(name) for name in groups["plane"]["integrator"].values]
            return [_draw_planes(groups, [name], legend_columns=2) for name in names]
        if part == "heterogeneity":
            return [_draw_shares(groups, [name], legend_columns=2) for name in SHARES]
        return [FIGURES[part](groups)]


def _draw_plane(groups: dict[str, xr.Dataset]) -> "Figure":
    return _draw_planes(
        groups, [str(name) for name in groups["plane"]["integrator"].values], legend_columns=4
    )


def _draw_planes(groups: dict[str, xr.Dataset], integrators: list[str], legend_columns: int) -> "Figure":
    """Draw regimes and border over (omega h, damping h), one panel an integrator, with the cells that use it."""
    from matplotlib.figure import Figure

    plane, cells = groups["plane"], groups["cells"]
    height = 4.4 if len(integrators) > 1 else 5.1  # the legend of a single panel has more rows
    figure = Figure(figsize=(4.1 * len(integrators), height), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(integrators))), integrators, strict=True):
        at_integrator = plane.sel(integrator=name)
        _draw_regimes(axes, at_integrator)
        homogeneous = (cells["integrator"] == name) & (cells["heterogeneity"] == 0)
        _scatter(axes, _cell_points(cells.isel(cell=np.flatnonzero(homogeneous)), "omega_h", "damping_h"))
        axes.set(xlim=(0, 3), ylim=(0, 1.5), xlabel="omega h", title=f"{name}, {_agreement(at_integrator)}")
        axes.title.set_fontsize(8)
    figure.axes[0].set_ylabel("damping h")
    figure.legend(
        handles=_plane_handles(cells),
        loc="outside lower center",
        ncols=legend_columns,
        frameon=False,
        fontsize=8,
    )
    return figure


def _agreement(at_integrator: xr.Dataset) -> str:
    decided, undecided, wrong = (
        int(at_integrator[name]) for name in ("num_decided", "num_undecided", "num_mismatches")
    )
    return f"simulated: {wrong} of {decided:,} points disagree\n({undecided} too near the border to decide)"


def _draw_regimes(axes: "Axes", at_integrator: xr.Dataset) -> None:
    from matplotlib.colors import ListedColormap

    regime = at_integrator["regime"].transpose("damping_h", "omega_h")
    names = regime.attrs["flag_meanings"].split()
    colours = ListedColormap([REGIME_COLOURS[name] for name in names])
    limits: dict[str, Any] = {
        "vmin": -0.5,
        "vmax": len(names) - 0.5,
        "rasterized": True,
        "shading": "nearest",
    }
    axes.pcolormesh(at_integrator["omega_h"], at_integrator["damping_h"], regime, cmap=colours, **limits)
    for name, style in (("border", "-"), ("oscillatory_band", ":")):
        for end in ("low", "high"):
            curve = at_integrator[name].sel(bound=end)
            shown = np.isfinite(curve) & (curve > 0)
            axes.plot(
                curve.where(shown), at_integrator["damping_h"], color=LINE, linestyle=style, linewidth=1.3
            )


def _cell_points(cells: xr.Dataset, x: str, y: str) -> _CellPoints:
    diverged = np.full(cells.sizes["cell"], np.nan)
    if "status" in cells:
        status = cells["status"].transpose("cell", "seed").values
        ended = np.isin(status, ("complete", "diverged")).sum(1)
        np.divide((status == "diverged").sum(1), ended, out=diverged, where=ended > 0)
    return _CellPoints(cells[x].values.astype(float), cells[y].values.astype(float), diverged)


def _scatter(axes: "Axes", points: _CellPoints) -> None:
    """Draw cells: a filled dot where no run diverged, a cross where all runs did, a hollow dot where some did."""
    looks: tuple[tuple[np.ndarray, dict[str, Any]], ...] = (
        (points.diverged == 0, _look("none")),
        (points.diverged == 1, _look("all")),
        ((points.diverged > 0) & (points.diverged < 1), _look("some")),
        (np.isnan(points.diverged), _look("unknown")),
    )
    for chosen, look in looks:
        axes.plot(points.x[chosen], points.y[chosen], **look)


def _look(diverged: str) -> dict[str, Any]:
    looks: dict[str, dict[str, Any]] = {
        "none": {"marker": "o", "color": COMPLETE, "markeredgecolor": "white", "markersize": 6.5},
        "all": {"marker": "X", "color": DIVERGED, "markeredgecolor": "white", "markersize": 8},
        "some": {"marker": "o", "markerfacecolor": "white", "markeredgecolor": DIVERGED, "markersize": 6},
        "unknown": {"marker": "o", "markerfacecolor": "none", "markeredgecolor": LINE, "markersize": 5},
    }
    return {"linestyle": "none", **looks[diverged]}


def _outcome_handles(cells: xr.Dataset) -> list[Any]:
    from matplotlib.lines import Line2D

    if "status" not in cells:
        return [Line2D([], [], **_look("unknown"), label="cell, not yet trained")]
    seeds = cells.sizes["seed"]
    labels = {
        "none": f"cell, no run diverged (up to {seeds} seeds)",
        "some": "some diverged",
        "all": "all diverged",
    }
    return [Line2D([], [], **_look(key), label=label) for key, label in labels.items()]


def _plane_handles(cells: xr.Dataset) -> list[Any]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    regimes = [
        Patch(facecolor=colour, edgecolor="0.6", label=name.replace("_", " "))
        for name, colour in REGIME_COLOURS.items()
    ]
    border = Line2D([], [], color=LINE, label="border of stability, theory")
    band = Line2D([], [], color=LINE, linestyle=":", label="border of oscillation, theory")
    return [*regimes, border, band, *_outcome_handles(cells)]


SHARES = ("unstable_share", "measured_unstable_share")
"""Variables of the maps over heterogeneity: expected from theory, and measured."""


def _draw_heterogeneity(groups: dict[str, xr.Dataset]) -> "Figure":
    return _draw_shares(groups, list(SHARES), legend_columns=4)


def _draw_shares(groups: dict[str, xr.Dataset], names: list[str], legend_columns: int) -> "Figure":
    """Draw the share of unstable nodes over (timesteps, heterogeneity), one panel a variable, with the cells."""
    from matplotlib.figure import Figure

    maps, cells = groups["heterogeneity"], groups["cells"]
    is_alike = np.isclose(cells["num_cycles"], maps.attrs["num_cycles"])
    is_alike &= np.isclose(cells["damping_ratio"], maps.attrs["damping_ratio"])
    is_alike &= (cells["integrator"] == "symplectic_euler").values
    is_alike &= (cells["timesteps"] <= maps["timesteps"].max()).values
    width = 9.0 if len(names) > 1 else 5.0
    figure = Figure(figsize=(width, 4.3), layout="constrained")
    titles = {
        "unstable_share": "expected from theory",
        "measured_unstable_share": f"{maps.attrs['num_drawn']} nodes drawn and simulated at each point",
    }
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(names))), names, strict=True):
        share = maps[name].transpose("heterogeneity", "timesteps")
        image = axes.pcolormesh(
            maps["timesteps"], maps["heterogeneity"], share, cmap="Blues", vmin=0, vmax=1, shading="nearest",
            rasterized=True,
        )  # fmt: skip
        axes.plot(maps["timesteps"], maps["critical_heterogeneity"], color=LINE, linewidth=1.4)
        _scatter(axes, _cell_points(cells.isel(cell=np.flatnonzero(is_alike)), "timesteps", "heterogeneity"))
        axes.set(xscale="log", xlabel="timesteps", title=titles[name], ylim=(-0.06, 2.0))
        axes.title.set_fontsize(9)
        longest = int(maps["timesteps"].max())
        ticks = [timesteps for timesteps in (1, 2, 4, 8, 16, 32) if timesteps <= longest]
        axes.set_xticks(ticks, [str(timesteps) for timesteps in ticks], minor=False)
        axes.minorticks_off()
    figure.axes[0].set_ylabel("heterogeneity")
    figure.colorbar(image, ax=figure.axes, label="share of unstable nodes")
    handles = _outcome_handles(cells)
    figure.legend(
        handles=handles, loc="outside lower center", ncols=legend_columns, frameon=False, fontsize=8
    )
    cycles, ratio = maps.attrs["num_cycles"], maps.attrs["damping_ratio"]
    figure.suptitle(
        f"num_cycles {cycles:g}, damping_ratio {ratio:g}; line: border of the fastest node", fontsize=9
    )
    return figure


FIGURES: dict[str, Callable[[dict[str, xr.Dataset]], "Figure"]] = {
    "plane": _draw_plane,
    "heterogeneity": _draw_heterogeneity,
    "outcome": draw_outcome,
    "orders": draw_orders,
}
"""Part of the file's name -> function that draws it."""
