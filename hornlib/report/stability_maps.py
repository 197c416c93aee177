"""Maps of stability as figures: theory, simulation and trained cells together, and the integrators' orders."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from hornlib.errors import ResultsError
from hornlib.report.stability_curves import COMPLETE, DIVERGED, draw_orders, draw_outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["FIGURES", "draw_stability", "plot_stability"]

REGIME_COLOURS = {
    "unstable": "#f2f2f2",
    "monotone": "#cfe8f7",
    "oscillatory": "#9ad0ec",
    "sign_flipping": "#f5d59b",
}
"""Light, so that cells stand out; told apart without colour by the lines between them."""

LINE = "#000000"


class _Cells(NamedTuple):
    """Cells to be drawn: their places, and the share of their runs that diverged (NaN before training)."""

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
        ResultsError: the file is not there, or cannot be read.
    """
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    groups = {name: _open(path, name) for name in ("cells", "plane", "heterogeneity", "orders")}
    written = []
    with matplotlib.rc_context({"svg.hashsalt": "hornlib", "svg.fonttype": "none", "font.size": 9}):
        for part in FIGURES:
            figure = draw_stability(groups, part)
            for kind, metadata in (("png", {}), ("svg", {"Date": None})):
                written.append(folder / f"stability_maps-{part}.{kind}")
                figure.savefig(written[-1], metadata=metadata, dpi=150)
    return written


def draw_stability(groups: dict[str, xr.Dataset], part: str) -> "Figure":
    """Return one figure of `FIGURES`, given the groups of stability.nc."""
    return FIGURES[part](groups)


def _open(path: Path, group: str) -> xr.Dataset:
    try:
        with xr.open_dataset(path, group=group, engine="netcdf4") as ds:
            return ds.load()
    except (OSError, ValueError) as error:
        raise ResultsError(f"{path}: cannot be read ({error}); `hornlib stability` writes it anew") from error


def _draw_plane(groups: dict[str, xr.Dataset]) -> "Figure":
    """Draw regimes and border over (omega h, damping h), one panel an integrator, and the cells that have it."""
    from matplotlib.figure import Figure

    plane, cells = groups["plane"], groups["cells"]
    integrators = [str(name) for name in plane["integrator"].values]
    figure = Figure(figsize=(4.1 * len(integrators), 4.4), layout="constrained")
    for axes, name in zip(np.atleast_1d(figure.subplots(1, len(integrators))), integrators, strict=True):
        own = plane.sel(integrator=name)
        _draw_regimes(axes, own)
        homogeneous = (cells["integrator"] == name) & (cells["heterogeneity"] == 0)
        drawn = _cells(cells.isel(cell=np.flatnonzero(homogeneous)), "omega_h", "damping_h")
        _scatter(axes, drawn)
        axes.set(xlim=(0, 3), ylim=(0, 1.5), xlabel="omega h", title=f"{name}, {_agreement(own)}")
        axes.title.set_fontsize(8)
    figure.axes[0].set_ylabel("damping h")
    figure.legend(
        handles=_plane_handles(cells), loc="outside lower center", ncols=4, frameon=False, fontsize=8
    )
    return figure


def _agreement(own: xr.Dataset) -> str:
    decided, undecided, wrong = (
        int(own[name]) for name in ("num_decided", "num_undecided", "num_mismatches")
    )
    return f"simulated: {wrong} of {decided:,} points disagree\n({undecided} too near the border to decide)"


def _draw_regimes(axes: "Axes", own: xr.Dataset) -> None:
    from matplotlib.colors import ListedColormap

    regime = own["regime"].transpose("damping_h", "omega_h")
    names = regime.attrs["flag_meanings"].split()
    colours = ListedColormap([REGIME_COLOURS[name] for name in names])
    limits: dict[str, Any] = {
        "vmin": -0.5,
        "vmax": len(names) - 0.5,
        "rasterized": True,
        "shading": "nearest",
    }
    axes.pcolormesh(own["omega_h"], own["damping_h"], regime, cmap=colours, **limits)
    for name, style in (("border", "-"), ("oscillatory_band", ":")):
        for end in ("low", "high"):
            curve = own[name].sel(bound=end)
            shown = np.isfinite(curve) & (curve > 0)
            axes.plot(curve.where(shown), own["damping_h"], color=LINE, linestyle=style, linewidth=1.3)


def _cells(cells: xr.Dataset, x: str, y: str) -> _Cells:
    diverged = np.full(cells.sizes["cell"], np.nan)
    if "status" in cells:
        status = cells["status"].transpose("cell", "seed").values
        ended = np.isin(status, ("complete", "diverged")).sum(1)
        np.divide((status == "diverged").sum(1), ended, out=diverged, where=ended > 0)
    return _Cells(cells[x].values.astype(float), cells[y].values.astype(float), diverged)


def _scatter(axes: "Axes", drawn: _Cells) -> None:
    """Draw cells: a filled dot where no run diverged, a cross where all did, a half-filled dot between."""
    looks: tuple[tuple[np.ndarray, dict[str, Any]], ...] = (
        (drawn.diverged == 0, _look("none")),
        (drawn.diverged == 1, _look("all")),
        ((drawn.diverged > 0) & (drawn.diverged < 1), _look("some")),
        (np.isnan(drawn.diverged), _look("unknown")),
    )
    for chosen, look in looks:
        axes.plot(drawn.x[chosen], drawn.y[chosen], **look)


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


def _draw_heterogeneity(groups: dict[str, xr.Dataset]) -> "Figure":
    """Draw the share of unstable nodes over (timesteps, heterogeneity), expected and drawn, and the cells."""
    from matplotlib.figure import Figure

    maps, cells = groups["heterogeneity"], groups["cells"]
    alike = np.isclose(cells["num_cycles"], maps.attrs["num_cycles"])
    alike &= np.isclose(cells["damping_ratio"], maps.attrs["damping_ratio"])
    alike &= (cells["integrator"] == "symplectic_euler").values
    alike &= (cells["timesteps"] <= maps["timesteps"].max()).values
    figure = Figure(figsize=(9.0, 4.3), layout="constrained")
    titles = {
        "unstable_share": "expected from theory",
        "measured_unstable_share": f"{maps.attrs['num_drawn']} nodes drawn and simulated at each point",
    }
    for axes, (name, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        share = maps[name].transpose("heterogeneity", "timesteps")
        image = axes.pcolormesh(
            maps["timesteps"], maps["heterogeneity"], share, cmap="Blues", vmin=0, vmax=1, shading="nearest",
            rasterized=True,
        )  # fmt: skip
        axes.plot(maps["timesteps"], maps["critical_heterogeneity"], color=LINE, linewidth=1.4)
        _scatter(axes, _cells(cells.isel(cell=np.flatnonzero(alike)), "timesteps", "heterogeneity"))
        axes.set(xscale="log", xlabel="timesteps", title=title, ylim=(-0.06, 2.0))
        longest = int(maps["timesteps"].max())
        ticks = [timesteps for timesteps in (1, 2, 4, 8, 16, 32) if timesteps <= longest]
        axes.set_xticks(ticks, [str(timesteps) for timesteps in ticks], minor=False)
        axes.minorticks_off()
    figure.axes[0].set_ylabel("heterogeneity")
    figure.colorbar(image, ax=figure.axes, label="share of unstable nodes")
    handles = _outcome_handles(cells)
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    cycles, ratio = maps.attrs["num_cycles"], maps.attrs["damping_ratio"]
    figure.suptitle(
        f"num_cycles {cycles:g}, damping_ratio {ratio:g}; line: the fastest node's border", fontsize=9
    )
    return figure


FIGURES: dict[str, Callable[[dict[str, xr.Dataset]], "Figure"]] = {
    "plane": _draw_plane,
    "heterogeneity": _draw_heterogeneity,
    "outcome": draw_outcome,
    "orders": draw_orders,
}
"""Part of the file's name -> how it is drawn."""
