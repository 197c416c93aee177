"""Figures of stability: what is drawn is what stability.nc holds, before and after training."""

import re

import numpy as np
import pytest
import xarray as xr

from hornlib.errors import ResultsError
from hornlib.report import stability_maps
from hornlib.report.stability_maps import FIGURES, draw_stability, draw_stability_panels, plot_stability
from hornlib.results.analysis_files import STABILITY_FILE
from hornlib.results.seal import seal

INTEGRATORS = ["symplectic_euler", "explicit_euler", "implicit_damping"]


def plane():
    axis, bound = np.linspace(0.1, 1.4, 6), ["low", "high"]
    over, curve = ("integrator", "damping_h", "omega_h"), ("integrator", "damping_h", "bound")
    regime = np.arange(3 * 36).reshape(3, 6, 6) % 4
    edges = np.stack([np.zeros((3, 6)), np.tile(2 - axis, (3, 1))], axis=2)
    edges[1, 4:] = np.nan
    ds = xr.Dataset(
        {
            "regime": (over, regime.astype(np.int8)),
            "border": (curve, edges),
            "oscillatory_band": (curve, np.where(edges == 0, 0.1, np.inf)),
            **{name: ("integrator", [30, 31, 32]) for name in ("num_decided", "num_undecided")},
            "num_mismatches": ("integrator", [0, 0, 7]),
        },
        coords={"integrator": INTEGRATORS, "damping_h": axis, "omega_h": 2 * axis, "bound": bound},
    )
    ds["regime"].attrs["flag_meanings"] = "unstable monotone oscillatory sign_flipping"
    return ds


def heterogeneity():
    shares = np.linspace(0, 1, 12).reshape(4, 3)
    over = ("timesteps", "heterogeneity")
    return xr.Dataset(
        {
            "unstable_share": (over, shares),
            "measured_unstable_share": (over, shares),
            "critical_heterogeneity": ("timesteps", [-1.0, 0, 0.5, 1]),
        },
        coords={"timesteps": [1, 2, 4, 8], "heterogeneity": [0.0, 1.0, 2.0]},
        attrs={"num_cycles": 1.0, "damping_ratio": 0.1, "num_drawn": 128},
    )


def orders():
    return xr.Dataset(
        {
            "integration_error": (("integrator", "integration_step"), [[0.1, 0.05]] * 3),
            "order": ("integrator", [1.0, 1.1, 0.9]),
            "order_bound": (("integrator", "bound"), [[0.95, 1.05]] * 3),
        },
        coords={"integrator": INTEGRATORS, "integration_step": [0.04, 0.02], "bound": ["low", "high"]},
        attrs={"duration": 10.0, "num_oscillators": 64},
    )


def cells(trained=True):
    words = {
        "integrator": ["symplectic_euler"] * 3 + ["explicit_euler"],
        "model": ["horn", "horn", "horn_cnn", "horn"],
    }
    numbers = {
        "omega_h": [0.5, 2.6, 0.8, 0.3],
        "damping_h": [0.1, 0.2, 0.1, 0.1],
        "timesteps": [64, 64, 8, 64],
        "heterogeneity": [0.0, 0, 1, 0],
        "num_cycles": [1.0] * 4,
        "damping_ratio": [0.1] * 4,
    }
    ds = xr.Dataset(
        {name: ("cell", values) for name, values in (words | numbers).items()},
        coords={"cell": list("abcd"), "seed": [0, 1]},
    )
    ds["worst_growth"] = (("cell", "seed"), [[0.0, 0], [45, 45], [0, 3], [2, 2]])
    if trained:
        status = [["complete"] * 2, ["diverged"] * 2, ["complete", "diverged"], ["complete", "missing"]]
        ds["status"] = (("cell", "seed"), status)
        ds["final_metric"] = (("cell", "seed"), [[0.9, 0.8], [np.nan] * 2, [0.7, np.nan], [0.6, np.nan]])
        ds["chance_level"] = ("cell", [0.1] * 4)
    return ds


@pytest.fixture
def groups():
    return {"cells": cells(), "plane": plane(), "heterogeneity": heterogeneity(), "orders": orders()}


@pytest.fixture
def stability(tmp_path, groups):
    path = tmp_path / "stability.nc"
    xr.Dataset(attrs={"schema_version": STABILITY_FILE.schema_version}).to_netcdf(path)
    for name, group in groups.items():
        group.to_netcdf(path, mode="a", group=name)
    seal(path)
    return path


def points(axes, marker):
    """Where a panel has this marker."""
    return sorted(
        tuple(map(float, place))
        for line in axes.lines
        if line.get_marker() == marker
        for place in line.get_xydata()
    )


def test_every_figure_is_written_as_svg_and_png_and_says_n(stability, tmp_path):
    written = plot_stability(stability, tmp_path / "figures")
    assert len(written) == 2 * len(FIGURES) and all(path.stat().st_size > 5000 for path in written)
    texts = {
        path.stem: " ".join(re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text()))
        for path in written
        if path.suffix == ".svg"
    }
    assert "7 of 32 points disagree" in texts["stability_maps-plane"]
    assert "128 nodes" in texts["stability_maps-heterogeneity"]
    assert "n = 3 runs" in texts["stability_maps-outcome"]
    assert "order 1.100 [0.950, 1.050]" in texts["stability_maps-orders"]
    assert "n = 64 oscillators" in texts["stability_maps-orders"]


def test_the_same_results_give_the_same_file(stability, tmp_path, monkeypatch):
    monkeypatch.setattr(stability_maps, "FIGURES", {"orders": FIGURES["orders"]})
    first, second = (
        [path.read_bytes() for path in plot_stability(stability, tmp_path / name)] for name in "ab"
    )
    assert first == second and len(first) == 2


def test_each_homogeneous_cell_stands_in_the_panel_of_its_integrator_by_how_it_ended(groups):
    symplectic, explicit, implicit = draw_stability(groups, "plane").axes
    assert points(symplectic, "o") == [(0.5, 0.1)] and points(symplectic, "X") == [(2.6, 0.2)]
    assert points(explicit, "o") == [(0.3, 0.1)] and points(implicit, "o") == []


def test_a_heterogeneous_cell_some_of_whose_runs_diverged_is_hollow(groups):
    axes = draw_stability(groups, "heterogeneity").axes[0]
    (hollow,) = [line for line in axes.lines if len(line.get_xdata()) and line.get_marker() == "o"]
    assert hollow.get_xydata().tolist() == [[8, 1]] and hollow.get_markerfacecolor() == "white"


def test_diverged_runs_stand_at_chance_and_missing_ones_nowhere(groups):
    axes = draw_stability(groups, "outcome").axes[0]
    drawn = [
        place for line in axes.lines if line.get_marker() in "os" for place in line.get_xydata().tolist()
    ]
    assert sorted(drawn) == sorted([[0, 0.9], [0, 0.8], [45, 0.1], [45, 0.1], [0, 0.7], [3, 0.1], [2, 0.6]])


def test_each_panel_of_the_maps_is_a_drawing_of_its_own(groups):
    planes, shares = (draw_stability_panels(groups, part) for part in ("plane", "heterogeneity"))
    assert [points(figure.axes[0], "X") for figure in planes] == [[(2.6, 0.2)], [], []]
    assert ["theory" in figure.axes[0].get_title() for figure in shares] == [True, False]


def test_a_file_of_another_schema_version_is_refused(groups, tmp_path):
    xr.Dataset(attrs={"schema_version": STABILITY_FILE.schema_version + 1}).to_netcdf(
        tmp_path / "stability.nc"
    )
    seal(tmp_path / "stability.nc")
    with pytest.raises(ResultsError, match=r"stability\.nc: has schema version \d+"):
        plot_stability(tmp_path / "stability.nc", tmp_path)


def test_predictions_alone_are_drawn_before_training(groups):
    groups["cells"] = cells(trained=False)
    axes = draw_stability(groups, "plane").axes[0]
    assert points(axes, "o") == [(0.5, 0.1), (2.6, 0.2)]
    assert "no run exists yet" in draw_stability(groups, "outcome").axes[0].get_title()


def test_a_sweep_without_oscillators_draws_the_maps_alone(groups):
    groups["cells"] = groups["cells"].isel(cell=slice(0))
    for part in FIGURES:
        assert draw_stability(groups, part).axes


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "stability.nc").write_bytes(b"broken")
    with pytest.raises(ResultsError, match=r"stability\.nc.*hornlib stability"):
        plot_stability(tmp_path / "stability.nc", tmp_path)
