"""A results folder with a sweep of six arms on two datasets, in scenes from a plain yes to nothing but NaN."""

import json

import numpy as np
import pytest
import xarray as xr

from hornlib import __version__

ARMS = {
    "horn": ("horn_cnn", 9000.0),
    "cnn": ("cnn", 9100.0),
    "cnn_flops": ("cnn", 12000.0),
    "leaky": ("leaky_cnn", 9000.0),
    "mobilenet": ("efficient", 14000.0),
}
"""Arm -> model and number of parameters."""

DATASETS = ("digits", "fashion_mnist")
AXES = ("step", "samples", "training_flops", "seconds")
TARGETS = (0.8, 0.9, 0.95, 0.99)
STEPS = np.array([1, 2, 3, 5, 8, 12, 18, 27, 40, 60, 90, 135, 200])
SETTINGS = {"faster_than": ["cnn", "cnn_flops"], "oscillation_controls": ["leaky"]}

VERDICTS = {
    "yes": ("yes", "horn is faster: it needs 0.7 times the examples of cnn and of cnn_flops.", 0.7),
    "no": ("no", "horn is slower: it needs 1.5 times the examples of cnn.", 1.5),
    "mixed": ("mixed", "horn is faster on digits, and slower on fashion_mnist.", 0.8),
    "few seeds": ("not enough data", "Three seeds are not enough to conclude anything.", 0.8),
    "not reached": ("not measured", "No run reached the target.", np.nan),
    "diverged": ("not measured", "Every run diverged.", np.nan),
    "one arm": ("not measured", "There is no rival to compare with.", np.nan),
    "nan": ("", "", np.nan),
}
"""Scene -> verdict, sentence, ratio of the subject to its rivals."""


def make_results(scene, num_seeds=8, arms=None, random=None):
    """Return what results.nc would hold, as `open_results` reads it."""
    random = random or np.random.default_rng(0)
    names = list(arms or (["horn"] if scene == "one arm" else ARMS))
    cells = [(dataset, arm) for dataset in DATASETS for arm in names]
    dims, shape = ("cell", "seed", "step"), (len(cells), num_seeds, len(STEPS))
    speed = np.array([12.0 if arm == "horn" else 20.0 for _, arm in cells])
    metric = 0.1 + 0.85 * STEPS / (STEPS + speed[:, None, None]) + 0.01 * random.random(shape)
    status, diverged_at = np.full(shape[:2], "complete", object), np.full(shape[:2], np.nan)
    if scene == "diverged":
        status[:], diverged_at[:] = "diverged", 5.0
        metric[..., STEPS >= 5] = np.nan
    if scene == "nan":
        metric[:] = np.nan
    flops = np.where(np.isnan(metric), np.nan, 1e6 * STEPS)
    sizes = [_arm(arm)[1] for _, arm in cells]
    return xr.Dataset(
        {
            "validation_metric": (dims, metric),
            "test_metric": (dims, metric - 0.01),
            "training_flops": (dims, flops),
            "seconds": (dims, flops / 1e8),
            "samples": (("cell", "step"), np.tile(32.0 * STEPS, (len(cells), 1))),
            "diverged_at_step": (dims[:2], diverged_at),
            "status": (dims[:2], status),
            "device": (dims[:2], np.full(shape[:2], "cpu x86", object)),
            "num_parameters": (dims, np.broadcast_to(np.array(sizes)[:, None, None], shape).copy()),
        },
        coords={
            "cell": [f"cell{index}" for index in range(len(cells))],
            "seed": np.arange(num_seeds),
            "step": STEPS,
            "dataset": ("cell", [dataset for dataset, _ in cells], {"kind": "string"}),
            "model": ("cell", [_arm(arm)[0] for _, arm in cells], {"kind": "string"}),
            "metric": ("cell", ["accuracy"] * len(cells)),
            "direction": ("cell", ["maximise"] * len(cells)),
            "chance_level": ("cell", [0.1] * len(cells)),
            "in_thesis": ("cell", np.full(len(cells), True), {"seeds": np.arange(num_seeds)}),
            "arm_thesis": ("cell", [arm for _, arm in cells]),
        },
        attrs={"schema_version": 1, "hornlib_version": __version__, "hornlib_commit": "abc", "mixed_versions": ""},
    )


def _arm(name):
    return ARMS.get(name, ARMS["cnn"])


def make_statistics(scene, num_seeds=8, arms=None, random=None):
    """Return one sweep's group of statistics.nc."""
    random = random or np.random.default_rng(1)
    verdict, sentence, effect = VERDICTS[scene]
    num_seeds = 3 if scene == "few seeds" else num_seeds
    names = list(arms or (["horn"] if scene == "one arm" else ARMS))
    cells = [(dataset, arm) for dataset in DATASETS for arm in names]
    known = np.isfinite(effect)
    times = np.array([2000.0 * (effect if arm == "horn" else 1.0) for _, arm in cells])
    times = times * (0.9 + 0.2 * random.random(len(cells)))
    per_axis = times[:, None, None] * np.array([1 / 32, 1, 3e4, 1e-3]) * np.array(TARGETS)[:, None]
    rivals = np.array([[f"{arm} on {own}" for arm in names] for own, _ in cells], object)
    same = np.array([[arm == own for arm in names] for _, own in cells])
    rivals[same] = ""
    by_rival = {(dataset, arm): per_axis[index] for index, (dataset, arm) in enumerate(cells)}
    ratio = np.stack([np.stack([per_axis[i] / by_rival[d, arm] for arm in names]) for i, (d, _) in enumerate(cells)])
    ratio[same] = np.nan
    points = np.linspace(100, 6400, 30)
    reached = 1 - np.exp(-(points / times[:, None, None]) ** 3) * np.ones((len(cells), len(TARGETS), 1))
    reached = np.broadcast_to(reached[:, :, None, :], (len(cells), len(TARGETS), len(AXES), len(points)))
    final = 0.9 + 0.05 * random.random(len(cells))
    c, r, t, a, b = "contender", "rival", "target", "axis", "bound"
    variables = {
        "restricted_mean": ((c, t, a), per_axis),
        "restricted_mean_bound": ((c, t, a, b), _around(per_axis)),
        "ratio": ((c, r, t, a), ratio),
        "ratio_bound": ((c, r, t, a, b), _around(ratio)),
        "p_value": ((c, r, t, a), np.where(np.isnan(ratio), np.nan, 0.01)),
        "p_holm": ((c, r), np.where(same, np.nan, 0.02)),
        "num_pairs": ((c, r), np.where(same, 0.0, num_seeds)),
        "num_seeds": ((c,), np.full(len(cells), float(num_seeds))),
        "fraction_reached": ((c, t, a, "time_index"), reached),
        "fraction_bound": ((c, t, a, "time_index", b), np.clip(_around(reached), 0, 1)),
        "time_point": ((WORKLOAD, a, "time_index"), np.broadcast_to(points, (len(DATASETS), len(AXES), len(points)))),
        "reached_rate": ((c, t), np.full((len(cells), len(TARGETS)), 0.9)),
        "reached_rate_bound": ((c, t, b), np.tile([0.6, 0.98], (len(cells), len(TARGETS), 1))),
        "divergence_rate": ((c,), np.full(len(cells), 1.0 if scene == "diverged" else 0.0)),
        "divergence_rate_bound": ((c, b), np.tile([0.0, 0.3], (len(cells), 1))),
        "final_metric_mean": ((c,), final),
        "final_metric_bound": ((c, b), _around(final)),
        "area_mean": ((c,), final - 0.2),
        "area_bound": ((c, b), _around(final - 0.2)),
        "log_time_sd": ((c, r), np.where(same, np.nan, 0.2)),
        "seeds_needed": ((c, r, "effect"), np.where(same[..., None], np.nan, [94.0, 27.0, 7.0])),
    }
    costs = {
        "parameters": np.array([_arm(arm)[1] for _, arm in cells]),
        "forward_flops": np.array([10 * _arm(arm)[1] for _, arm in cells]),
        "training_flops": np.array([1e7 * _arm(arm)[1] for _, arm in cells]),
        "seconds": np.full(len(cells), np.nan),
        "peak_memory": np.full(len(cells), np.nan),
    }
    for name, cost in costs.items():
        variables[f"cost_{name}"] = ((c,), cost)
        variables[f"pareto_{name}"] = ((c,), (np.isfinite(cost) & (final > np.median(final))).astype("int8"))
    ds = xr.Dataset(
        {
            name: (dims, values, {"units": "1", "long_name": name.replace("_", " "), "estimator": f"mean for {name}"})
            for name, (dims, values) in variables.items()
        },
        coords={
            c: [f"{arm} on {dataset}" for dataset, arm in cells],
            "arm": (c, [arm for _, arm in cells]),
            "dataset_of": (c, [dataset for dataset, _ in cells]),
            "model": (c, [_arm(arm)[0] for _, arm in cells]),
            "selected_for": (c, [""] * len(cells)),
            "num_parameters": (c, [_arm(arm)[1] for _, arm in cells]),
            "forward_flops": (c, [10 * _arm(arm)[1] for _, arm in cells]),
            r: names,
            "rival_contender": ((c, r), rivals),
            t: list(TARGETS),
            a: list(AXES),
            b: ["low", "high"],
            "effect": [1.1, 1.2, 1.5],
            WORKLOAD: list(DATASETS),
            "claim": ["faster", "because_of_oscillation", "more_efficient"],
        },
    )
    if not known:
        for name, values in ds.data_vars.items():
            if values.dtype.kind == "f" and (scene == "nan" or name not in ("num_seeds", "divergence_rate")):
                ds[name] = xr.full_like(values, np.nan)
    for name, words in (("verdict", verdict), ("verdict_sentence", sentence)):
        ds[name] = ((WORKLOAD, "claim"), np.full((len(DATASETS), 3), words, object))
        ds[f"overall_{name.removeprefix('verdict_')}"] = (("claim",), np.full(3, words, object))
    if scene == "mixed":
        ds["verdict"][1] = "no"
    ds.attrs = {
        "sweep": "thesis",
        "subject": "horn",
        "baseline": "cnn",
        "settings": json.dumps(SETTINGS),
        "answer": sentence,
        "limits": json.dumps(["Seconds were not calibrated.", *([sentence] if sentence else [])]),
    }
    return ds


WORKLOAD = "dataset"
"""The dimension of datasets."""


def _around(values):
    return np.stack([values * 0.9, values * 1.1], axis=-1)


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A function that gives the results folder of a scene."""

    def make(scene, **how):
        results = tmp_path_factory.mktemp("results")
        make_results(scene, **how).to_netcdf(results / "results.nc")
        write_group(make_statistics(scene, **how), results / "statistics.nc", "thesis")
        return results

    return make


def write_group(ds, path, group):
    """Write one sweep's statistics as `hornlib statistics` does."""
    about = {"schema_version": 1, "hornlib_version": __version__, "hornlib_commit": "abc", "made_from": "0" * 8}
    xr.Dataset(attrs=about).to_netcdf(path, engine="netcdf4")
    ds.to_netcdf(path, mode="a", group=group, engine="netcdf4")
