"""Results folders in scenes, from a plain yes to nothing but NaN: simulated curves, and the statistics made of them."""

import json
from itertools import product

import numpy as np
import pytest
import xarray as xr

from hornlib import __version__
from hornlib.parameters.statistics import Claim, StatisticsSettings
from hornlib.results.file_kind import SCHEMA_VERSION
from hornlib.results.seal import seal
from hornlib.statistics.write import write_statistics

ARMS = {
    "horn": ("horn_cnn", 9000.0),
    "cnn": ("cnn", 9100.0),
    "cnn_flops": ("cnn", 12000.0),
    "leaky": ("leaky_cnn", 9000.0),
    "mobilenet": ("efficient", 14000.0),
}
"""Arm -> model and number of parameters."""

DATASETS = ("digits", "fashion_mnist")
STEPS = np.array([1, 2, 3, 5, 8, 12, 18, 27, 40, 60, 90, 135, 200])
EVALUATED = ("validation_metric", "test_metric", "validation_loss", "test_loss", "training_loss")

SPEEDS = {
    "yes": (8.0, 8.0),
    "no": (45.0, 45.0),
    "mixed": (8.0, 45.0),
    "few seeds": (8.0, 8.0),
    "one arm": (8.0, 8.0),
    "not reached": (8.0, 8.0),
    "diverged": (8.0, 8.0),
    "nan": (8.0, 8.0),
    "grid": (8.0, 8.0),
}
"""Scene -> steps in which the subject gets half of its gain, on either dataset; its rivals need 20."""

RIVALS = ("cnn", "cnn_flops")

SETTINGS = StatisticsSettings(
    claims={
        "faster": Claim(rivals=RIVALS),
        "because_of_oscillation": Claim(what="its oscillation", rivals=RIVALS, controls=("leaky",)),
        "cheaper": Claim(axes=("training_flops", "seconds"), rivals=RIVALS),
    },
    bootstrap=1000,
)


def make_results(scene, num_seeds=8, arms=None, datasets=DATASETS, timesteps=(4, 8, 16), spreads=(0, 1)):
    """Return what results.nc would hold."""
    num_seeds = 3 if scene == "few seeds" else num_seeds
    names = list(arms or (["horn"] if scene == "one arm" else ARMS))
    levels = list(product(timesteps, spreads)) if scene == "grid" else [(8, 0)]
    cells = [
        (dataset, arm, *level)
        for dataset in datasets
        for arm in names
        for level in (levels if arm == "horn" else [(np.nan, np.nan)])
    ]
    random = np.random.default_rng(7)
    dims, shape = ("cell", "seed", "step"), (len(cells), num_seeds, len(STEPS))
    speed = np.array([_speed(scene, *cell) for cell in cells])[:, None] * np.exp(
        0.15 * random.standard_normal((1, num_seeds)) + 0.05 * random.standard_normal(shape[:2])
    )
    metric = 0.1 + 0.85 * STEPS / (STEPS + speed[..., None])
    status, diverged_at = np.full(shape[:2], "complete", object), np.full(shape[:2], np.nan)
    if scene == "diverged":
        status[:], diverged_at[:] = "diverged", 5.0
        metric[..., STEPS >= 5] = np.nan
    if scene == "not reached":
        metric[:] = 0.1
    if scene == "nan":
        metric[:] = np.nan
    sizes = np.array([ARMS.get(arm, ARMS["cnn"])[1] for _, arm, *_ in cells])
    flops = 1e3 * sizes[:, None, None] * np.where(np.isnan(metric), np.nan, STEPS)
    curves = {name: metric - 0.01 * index for index, name in enumerate(EVALUATED)}
    curves |= {
        "training_flops": flops,
        "seconds": flops / 1e9,
        "num_parameters": np.where(np.isnan(metric), np.nan, sizes[:, None, None]),
    }
    known = {
        "dataset": ([dataset for dataset, *_ in cells], "string"),
        "model": ([ARMS.get(arm, ARMS["cnn"])[0] for _, arm, *_ in cells], "string"),
        "timesteps": (np.array([cell[2] for cell in cells], float), "number"),
        "heterogeneity": (np.array([cell[3] for cell in cells], float), "number"),
        "batch_size": (np.full(len(cells), 32.0), "number"),
        "metric": (["accuracy"] * len(cells), "string"),
        "direction": (["maximise"] * len(cells), "string"),
        "chance_level": (np.full(len(cells), 0.1), "number"),
        "forward_flops": (10 * sizes, "number"),
    }
    return xr.Dataset(
        {name: (dims, values) for name, values in curves.items()}
        | {f"final_{name}": (dims[:2], values[..., -1]) for name, values in curves.items()}
        | {
            "samples": (("cell", "step"), np.tile(32.0 * STEPS, (len(cells), 1))),
            "diverged_at_step": (dims[:2], diverged_at),
            "status": (dims[:2], status),
            "device": (dims[:2], np.full(shape[:2], "cpu x86", object)),
        },
        coords={
            "cell": [f"{cell[0]}-{index:012x}" for index, cell in enumerate(cells)],
            "seed": np.arange(num_seeds),
            "step": STEPS,
            **{name: ("cell", values, {"kind": kind}) for name, (values, kind) in known.items()},
            "in_thesis": ("cell", np.full(len(cells), True), {"seeds": np.arange(num_seeds)}),
            "arm_thesis": ("cell", [arm for _, arm, *_ in cells]),
        },
        attrs={
            "schema_version": SCHEMA_VERSION,
            "hornlib_version": __version__,
            "hornlib_commit": "abc",
            "mixed_versions": json.dumps({"1.0 abc": ["a.nc"], "1.1 def": ["b.nc"]})
            if scene == "mixed"
            else "",
        },
    )


def _speed(scene, dataset, arm, timesteps, spread):
    if arm != "horn":
        return 20.0
    return SPEEDS[scene][dataset != DATASETS[0]] * (1 + 0.2 * (timesteps == 4) + 0.05 * spread)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A function that gives the results folder of a scene, with its statistics."""

    def make(scene, **how):
        results = tmp_path_factory.mktemp("results")
        make_results(scene, **how).to_netcdf(results / "results.nc")
        seal(results / "results.nc")
        write_statistics(results / "results.nc", results / "statistics.nc", {"thesis": SETTINGS})
        return results

    return make
