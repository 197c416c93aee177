"""A figure for every experiment, made of Datasets as the experiments leave them, with and without results."""

import xml.etree.ElementTree

import numpy as np
import pytest
import xarray as xr

from hornlib.errors import ResultsError
from hornlib.mechanism.experiments import EXPERIMENTS
from hornlib.report.mechanism_figures import DRAWINGS, draw_experiment, plot_experiment

LABELS = ["horn_cnn", "cnn <wide> & $x$"]
SIZES = {"contender": 2, "seed": 3, "pair": 2, "bound": 2, "order": 4, "timesteps": 3, "frequency": 5}
SIZES |= {"layer": 2, "training_step": 4, "readout_norm": 2, "comparison": 3}
OUTCOMES = {"steps_to_target": ("contender", "seed")}
RATIO = {"ratio": ("pair",), "ratio_bound": ("pair", "bound")}
FINAL = {"final_difference": ("pair",), "final_difference_bound": ("pair", "bound")}
ALONE = {
    "scale": {name: ("contender", "readout_norm", "seed") for name in ("logit_deviation", "gradient_norm")},
    "effective_rate": {
        "relative_update": ("contender", "seed", "training_step", "layer"),
        "gain": ("contender", "seed"),
    },
    "tangent_kernel": {
        "eigenvalue": ("contender", "seed", "order"),
        "alignment": ("contender", "seed"),
        "shape_time": ("contender", "seed"),
    },
    "linear_probe": {
        "probe_accuracy": ("contender", "seed"),
        "probe_accuracy_over_time": ("contender", "seed", "timesteps"),
        "lead": ("pair",),
        "lead_bound": ("pair", "bound"),
    },
    "frozen_recurrence": RATIO | FINAL,
    "heterogeneity": RATIO | FINAL,
    "resonance": {
        "input_power": ("contender", "frequency"),
        "resonance_frequency": ("contender",),
        **OUTCOMES,
    },
}
TRAINED = {
    "scale": OUTCOMES,
    "effective_rate": OUTCOMES
    | {"ratio": ("pair", "comparison"), "ratio_bound": ("pair", "comparison", "bound")},
    "tangent_kernel": OUTCOMES,
}


def dataset(experiment, variables):
    rng = np.random.default_rng(0)
    found = {
        name: (dims, rng.uniform(0.1, 1, [SIZES[dim] for dim in dims]), {"units": "1", "long_name": name})
        for name, dims in variables.items()
    }
    axes = {
        "contender": LABELS,
        "arm": ("contender", LABELS),
        "learning_rate": ("contender", [0.01, 0.01]),
        "own_readout_norm": ("contender", ["batch", "none"]),
        "readout_norm": ["none", "batch"],
        "pair": ["horn_cnn over cnn <wide> & $x$", "one over another with a label that is far too long"],
        "comparison": ["same_rate", "rescaled_rate", "own_best_rate"],
        "timesteps": [1, 2, 4],
        "order": [1, 2, 3, 4],
        "training_step": [1, 2, 3, 4],
        "frequency": np.linspace(0, 0.5, 5),
    }
    used = {dim for dims in variables.values() for dim in dims} | {"arm", "learning_rate", "own_readout_norm"}
    kept = {name: values for name, values in axes.items() if name in used}
    attributes = {"experiment": experiment, "sweep": "arms", "num_seeds": 3, "sentence": "Found."}
    return xr.Dataset(found, kept, attributes)


CASES = [(name, variables) for name, variables in ALONE.items()]
CASES += [(name, ALONE[name] | variables) for name, variables in TRAINED.items()]


def test_every_experiment_has_a_drawing():
    assert DRAWINGS.keys() == EXPERIMENTS.keys() == ALONE.keys()


@pytest.mark.parametrize(("experiment", "variables"), CASES)
def test_a_figure_is_written_as_svg_and_png_and_says_n(experiment, variables, tmp_path):
    paths = plot_experiment(dataset(experiment, variables), tmp_path)
    assert [path.name for path in paths] == [f"mechanism-{experiment}.{kind}" for kind in ("svg", "png")]
    svg = paths[0].read_text()
    assert "n = 3 seeds" in svg and "&lt;wide&gt; &amp; $x$" in svg
    assert paths[1].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("label", ["$a^$", "$5 & $6_", r"\$x$", "[t=4] <b>"])
@pytest.mark.parametrize(("experiment", "variables"), CASES)
def test_a_label_is_drawn_as_it_is_written(experiment, variables, label, tmp_path, monkeypatch):
    ds = dataset(experiment, variables)
    names = {
        name: (ds[name].dims, [f"{label} {index}" for index in range(ds.sizes[name])])
        for name in ("contender", "pair")
        if name in ds.dims
    }
    names["arm"] = (
        ("contender", [f"{label} {index}" for index in range(2)]) if "contender" in ds.dims else label
    )
    svg = plot_experiment(ds.assign_coords(names), tmp_path)[0]
    words = [element.text or "" for element in xml.etree.ElementTree.parse(svg).iter()]
    assert any(f"{label} 1" in text for text in words)


def test_the_same_dataset_gives_the_same_file(tmp_path):
    ds = dataset("heterogeneity", ALONE["heterogeneity"])
    first, second = (plot_experiment(ds, tmp_path / name)[0].read_bytes() for name in ("one", "two"))
    assert first == second


def test_numbers_that_are_not_known_leave_gaps(tmp_path):
    ds = dataset("heterogeneity", ALONE["heterogeneity"])
    ds["ratio_bound"][0] = np.nan
    ds["ratio"][:] = np.nan
    assert len(plot_experiment(ds, tmp_path)) == 2


def test_an_unknown_experiment_is_refused():
    with pytest.raises(ResultsError, match="no figure of the experiment 'magic'; valid: scale"):
        draw_experiment(dataset("scale", ALONE["scale"]).assign_attrs(experiment="magic"))
