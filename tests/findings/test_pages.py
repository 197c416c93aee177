"""The scripts of the findings make their pages from a sweep's results; what they find is nobody's assertion."""

import json
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from ruamel.yaml import YAML

from hornlib.grid import read_grid
from hornlib.results.gather import gather
from hornlib.results.seal import seal
from hornlib.statistics.write import write_statistics
from hornlib.training.job import TrainOptions
from hornlib.training.train import train_job

REPOSITORY = Path(__file__).resolve().parents[2]
FINDINGS = REPOSITORY / "docs" / "findings"


@pytest.fixture
def swept(tmp_path):
    """Return a function that trains some sweeps of a ready configuration in small, and gives the path of results.nc."""

    def sweep(name, sweeps, shrink):
        yaml = YAML()
        content = yaml.load((REPOSITORY / "config" / f"{name}.yaml").read_text())
        content |= {"results": str(tmp_path / "results"), "seeds": 2, "per_job": 2, "device": "cpu"}
        content["sweeps"] = {key: content["sweeps"][key] for key in sweeps}
        for own in content["sweeps"].values():
            own.pop("seeds", None)
            shrink(own)
        config = tmp_path / "config.yaml"
        yaml.dump(content, config)
        grid = read_grid([config])
        for job in grid.jobs({}):
            options = TrainOptions(2, 1, "cpu", tmp_path / "checkpoints", 300.0)
            train_job(grid.cells[job.cell], job.range, grid.run_path(job), options)
        gather(grid).close()
        return tmp_path / "results" / "results.nc"

    return sweep


def run(script, *arguments):
    """Run a script as `python docs/findings/<script> ...` does."""
    before = sys.argv, list(sys.path)
    try:
        sys.argv, sys.path = [script, *map(str, arguments)], [str(FINDINGS), *sys.path]
        runpy.run_path(str(FINDINGS / script), run_name="__main__")
    finally:
        sys.argv, sys.path = before


def words(figure):
    """Return the texts that are drawn in an SVG of matplotlib, which names each in a comment."""
    return set(re.findall("<!-- (.*?) -->", figure.read_text()))


def rows(text):
    """Return the first entries of all rows of all tables."""
    return [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")]


def test_layer_insertion_has_a_row_for_every_arm_and_keeps_its_head(swept, tmp_path):
    def shrink(sweep):
        sweep["training"]["epochs"] = 8
        for model in sweep["model"]:
            if model.get("structure", {}).get("insert_at"):
                at = model["structure"]["insert_at"]
                model["structure"]["insert_at"] = [2, 4] if isinstance(at, list) else 2

    results = swept("layer_insertion", ["fnn_5", "resnet_3_3_3", "when_fnn_5"], shrink)
    page = tmp_path / "layer_insertion.md"
    run("layer_insertion.py", results, "--out", page)
    text = page.read_text()
    assert {"inserted", "smallest", "random", "reset", "small", "large", "large_virtual", "2", "4"} <= set(
        rows(text)
    )
    assert "inf" not in text
    assert {"training MFLOP", "training loss", "inserted at the largest score", "small"} <= words(
        page.with_suffix(".svg")
    )
    page.write_text(text.replace("# Layer insertion", "# A head\nof my own"))
    run("layer_insertion.py", results, "--out", page)
    assert page.read_text() == text.replace("# Layer insertion", "# A head\nof my own")


@pytest.mark.slow
def test_layer_insertion_on_images_has_a_row_for_every_arm(swept, tmp_path):
    def shrink(sweep):
        sweep["data"] = {"name": "digits", "train_subset": 200, "augmentation": "none"}
        sweep["training"] = {"epochs": 4, "batch_size": 50}
        for model in sweep["model"]:
            structure = model.get("structure", {})
            if structure.get("insert_at"):
                at = {list: [1, 2], str: "1-2-3"}.get(type(structure["insert_at"]), 2)
                structure["insert_at"] = at

    results = swept("layer_insertion_cifar", ["cifar10"], shrink)
    rules = read_grid([tmp_path / "config.yaml"]).sweeps["cifar10"].statistics
    write_statistics(results, tmp_path / "statistics.nc", {"cifar10": rules})
    page = tmp_path / "layer_insertion_cifar.md"
    run("layer_insertion_cifar.py", results, "--statistics", tmp_path / "statistics.nc", "--out", page)
    text = page.read_text()
    named = {
        "small",
        "large from scratch",
        "up to three, by threshold",
        "one by threshold, asked after epoch 2",
    }
    assert named | {"at the smallest score", "inserted before the first step"} <= set(rows(text))
    assert "These tables have 12 p-values" in text and "inf" not in text and "\n> Does inserted learn" in text
    assert {"training GFLOP", "test accuracy, %", "at random"} <= words(page.with_suffix(".svg"))


def test_time_variable_has_a_row_for_every_arm(swept, tmp_path):
    def shrink(sweep):
        sweep["data"]["train_subset"] = 200
        for key in ("steps", "epochs"):
            if key in sweep["training"]:
                sweep["training"][key] = {"steps": 12, "epochs": 2}[key]

    results = swept("time_variable", ["digits", "regressions"], shrink)
    page = tmp_path / "time_variable.md"
    run("time_variable.py", results, "--out", page)
    found = set(rows(page.read_text()))
    assert {"fixed", "learned", "simplex", "densenet_learned", "fractional_learned", "peaks", "sine"} <= found
    assert {"training steps", "validation accuracy", "learned, T = 1"} <= words(page.with_suffix(".svg"))


def test_verdicts_tell_the_ratios_of_every_claims_subject(swept, tmp_path):
    def shrink(sweep):
        del sweep["tuning"]
        sweep |= {"seeds": 7, "data": {"name": "digits", "presentation": "rows"}}
        sweep["training"] = {"steps": 60, "learning_rate": 1e-2}
        for model in sweep["model"]:
            for key, value in model.items():
                if isinstance(value, dict) and "tune" in value:
                    model[key] = value["tune"]["default"]

    results = swept("sequences", ["rows"], shrink)
    rules = read_grid([tmp_path / "config.yaml"]).sweeps["rows"].statistics
    write_statistics(results, tmp_path / "statistics.nc", {"rows": rules})
    page, table = tmp_path / "sequences.md", tmp_path / "sequences.csv"
    run("verdicts.py", tmp_path / "statistics.nc", "rows", "--out", page, "--csv", table)
    told = pd.read_csv(table)
    samples = told[(told["table"] == "ratio") & (told["axis"] == "samples") & (told["rival"] == "gru")]
    assert set(samples["subject"]) == {"horn", "heterogeneous"}
    for subject, ratio in zip(samples["subject"], samples["ratio"], strict=True):
        start = f"| {subject} | digits | default |"
        assert f" {ratio:.2f} [" in next(
            line for line in page.read_text().splitlines() if line.startswith(start)
        )
    assert "nan" not in page.read_text()
    assert {"horn : rival", "heterogeneous : rival", "gru"} <= words(page.with_suffix(".svg"))


def test_a_table_has_a_row_for_every_arm_and_keeps_its_head(swept, tmp_path):
    def shrink(sweep):
        sweep["data"] = {"name": "digits", "train_subset": 200}
        sweep["training"] = {"steps": 6, "batch_size": 20, "evaluation_examples": 20}
        tanh = {
            "name": "cnn",
            "arm": "tanh_cnn",
            "channels": 2,
            "activation": "tanh",
            "activation_gain": [0.5, 1],
        }
        sweep["model"] = [{"name": "cnn", "channels": 2}, tanh]

    results = swept("mnist", ["mnist"], shrink)
    page = tmp_path / "pilot.md"
    page.write_text("# A pilot\n\n<!-- below: made by docs/findings/table.py -->\n\nof earlier runs\n")
    run("table.py", results, "mnist", "--level", 0.05, "--out", page)
    text = page.read_text()
    assert text.startswith("# A pilot\n") and "of earlier runs" not in text and "steps to 5 %" in text
    arms = [row for row in rows(text) if row != "arm"]
    assert arms == ["cnn", "tanh_cnn, activation gain 0.5", "tanh_cnn, activation gain 1"]


def test_the_published_grid_of_time_steps_is_told_to_its_last_epoch(swept, tmp_path, capsys):
    def shrink(sweep):
        sweep["data"] = {"name": "digits", "validation": 0, "train_subset": 200}
        sweep["training"] = {"epochs": 5, "evaluate_at_epochs": "2-5", "batch_size": 10, "learning_rate": 0.2}
        sweep["statistics"] = {"claims": {}}  # those of the file name arms of other sweeps

    results = swept("time_variable", ["published_long"], shrink)
    with xr.open_dataset(results) as trained:  # digits stand in for MNIST, which a fresh clone lacks
        renamed = trained.load().assign_coords(
            dataset=("cell", np.full(trained.sizes["cell"], "mnist", object))
        )
    renamed.to_netcdf(results)
    seal(results)
    page = tmp_path / "time_variable_published.md"
    run("time_variable_published.py", results, "--out", page)
    assert "without results: published\n" in capsys.readouterr().out
    text = page.read_text()
    assert "T = 1, to epoch 5" in text and "of 8 values lie within" in text
    fixed, learned = (
        next(line for line in text.splitlines() if line.startswith(f"| mnist | {arm} | 2 |"))
        for arm in ("fixed", "learned")
    )
    difference = next(line for line in text.splitlines() if line.startswith("| mnist | ResNet | 1 | 2 |"))
    means = [float(line.split("|")[5].split("±")[0]) for line in (fixed, learned)]
    told = float(difference.split("|")[6].split("[")[0])
    assert told == pytest.approx(100 * (means[1] - means[0]), abs=0.11)  # both means are rounded
    assert {"epoch", "MNIST", "learned"} <= words(page.with_suffix(".svg"))

    # A run that diverges after epoch 2 counts as chance at epoch 5, and as itself before.
    late = renamed.copy(deep=True)
    cell, at_end = (
        int(np.flatnonzero(late["arm_published_long"] == "fixed")[0]),
        np.flatnonzero(late["step"] > 2 * 20),
    )
    late["diverged_at_step"][cell, 0] = late["step"].values[at_end[0]]
    late["status"][cell, 0] = "diverged"
    late["test_metric"][cell, 0, at_end] = late["final_test_metric"][cell, 0] = np.nan
    late.to_netcdf(results)
    seal(results)
    run("time_variable_published.py", results, "--out", page)
    told = next(line for line in page.read_text().splitlines() if line.startswith("| mnist | fixed | 2 |"))
    assert told.split("|")[4] == fixed.split("|")[4]
    remaining = float(renamed["final_test_metric"][cell, 1])
    assert float(told.split("|")[5].split("±")[0]) == pytest.approx((0.1 + remaining) / 2, abs=0.001)


@pytest.mark.slow
def test_sparse_has_a_row_for_every_arm_and_names_what_is_missing(swept, tmp_path, capsys):
    def shrink(sweep):
        sweep["data"] = {"name": "digits"}
        sweep["training"] = {"epochs": 4, "milestones": "2", "batch_size": 20}
        for model in sweep["model"]:
            if isinstance(model.get("structure", {}).get("update_every"), list):
                model["structure"]["update_every"] = [30, 100]

    results = swept("sparse", ["mnist_density_2", "itop"], shrink)
    page = tmp_path / "sparse.md"
    run("sparse_networks.py", tmp_path / "nowhere.nc", results, "--out", page)
    assert "nowhere.nc does not exist" in capsys.readouterr().out
    text = page.read_text()
    arms = {"dense", "small_dense", "static", "set", "rigl", "gmp", "snfs"}
    assert arms | {"rigl update_every=30", "set update_every=100"} <= set(rows(text))
    assert "98.69" in text and "no verdict, n = 2" in text
    assert re.search(r"rewiring by gradient needs \d+\.\d\d times the FLOPs", text)
    assert {"MNIST, density .02", "training GFLOP", "rigl", "small_dense"} <= words(page.with_suffix(".svg"))


def shrunk_growth(sweep):
    """Shorten a sweep of networks that grow or are pruned; those of images become digits."""
    if sweep["data"]["name"] != "teacher_student":
        sweep["data"] = {"name": "digits", "train_subset": 200}
    training = sweep["training"]
    for key in ("epochs", "steps", "evaluate_at_epochs", "batch_size"):
        training.pop(key, None)
    training |= {"steps": 60, "batch_size": 25}
    for model in sweep["model"]:
        if "training" in model:  # of another length than the others
            model["training"] = {"steps": 40 + model["training"]["epochs"]}
        structure = model.get("structure", {})
        for key in ("start_step", "every_steps"):
            if key in structure:
                structure[key] = 10
        if "insert_at" in structure:
            structure["insert_at"] = "2-4"
        if isinstance(structure.get("rule"), list):
            structure |= {"rule": ["gradmax", "gaussian"], "place": ["all", "random"]}
        if structure.get("when") == "plateau":
            structure["patience"] = 3
        if structure.get("when") == "activation_rank":
            structure["batches"] = 3  # as many examples as the widest layer has units
        if structure.get("every_share") == 0.016:
            structure["every_share"] = 0.02


@pytest.mark.slow
def test_growth_has_a_row_for_every_arm_and_names_what_is_missing(swept, tmp_path, capsys):
    results = swept("growth", ["teacher_student", "digits_factorial", "mnist"], shrunk_growth)
    page = tmp_path / "growth.md"
    run("growth.py", results, tmp_path / "grow_and_prune" / "results.nc", "--out", page)
    assert "without results: fashion_mnist" in capsys.readouterr().out
    text = page.read_text()
    arms = {
        "gradmax",
        "gaussian",
        "uniform",
        "large_stopped",
        "round_robin",
        "plateau",
        "small",
        "large",
        "deep",
    }
    assert arms <= set(rows(text)) and {"when", "place x rule"} <= set(rows(text))
    assert "This sweep has no results yet." in text and "| after 100 |" in text


@pytest.mark.slow
def test_growth_with_pruning_has_a_row_for_every_arm(swept, tmp_path):
    results = swept("grow_and_prune", ["mnist"], shrunk_growth)
    page = tmp_path / "grow_and_prune.md"
    run("grow_and_prune.py", results, "--out", page)
    arms = {"grow", "prune", "grow_then_prune", "prune_then_grow", "alternate", "exchange", "never_grown"}
    assert arms | {"equal_flops", "scratch_b", "training FLOPs"} <= set(rows(page.read_text()))
    assert {"parameters", "training FLOPs", "exchange"} <= words(page.with_suffix(".svg"))


@pytest.mark.slow
def test_architecture_cost_has_a_row_for_every_way(swept, tmp_path):
    def shrink(sweep):
        sweep["data"] = {"name": "digits", "train_subset": 200}
        sweep["training"] |= {"epochs": 4, "batch_size": 25, "evaluate_at_epochs": "1-2-3-4"}
        for model in sweep["model"]:
            if isinstance(model["hidden_nodes"], list):
                model["hidden_nodes"] = model["hidden_nodes"][:4]
            if model.get("structure", {}).get("name") == "growth":
                model["structure"]["every_share"] = 0.04

    results = swept("architecture_cost", ["digits"], shrink)
    page = tmp_path / "architecture_cost.md"
    run("architecture_cost.py", results, "--out", page)
    ways = {"the large network as it is", "growth (GradMax)", "beta-LASSO", "random search, 4 profiles"}
    assert ways | {"successive halving, 4 profiles, eta 2", "4"} <= set(rows(page.read_text()))
    assert {"Digits", "beta-LASSO", "random search, 4 profiles"} <= words(page.with_suffix(".svg"))


def script(name):
    """Return the functions of a script, which is not run."""
    before = list(sys.path)
    try:
        sys.path = [str(FINDINGS), *sys.path]
        return runpy.run_path(str(FINDINGS / name))
    finally:
        sys.path = before


def test_a_tuned_rate_that_is_the_largest_tried_is_marked_and_the_mark_is_explained():
    cells, seeds, steps = 2, 2, 3
    curves = np.ones((cells, seeds, steps))
    words = {
        "arm": ["fixed", "fixed"],
        "selected_for": ["time_to_target", "final_metric"],
        "at_edge": ["learning_rate", ""],
        "direction": ["maximise"] * cells,
    }
    ds = xr.Dataset(
        {name: (("cell", "seed", "step"), curves) for name in ("validation_metric", "test_metric")}
        | {"status": (("cell", "seed"), np.full((cells, seeds), "complete", object))}
        | {"diverged_at_step": (("cell", "seed"), np.full((cells, seeds), np.nan))}
        | {"samples": (("cell", "step"), np.array([[1.0, 2, 3]] * cells))}
        | {"learning_rate": ("cell", [3.77, 0.28]), "chance_level": ("cell", [0.1, 0.1])}
        | {name: ("cell", column) for name, column in words.items()},
        {"step": [1, 2, 3]},
    )
    lines = list(script("time_variable.py")["tuned"](ds))
    assert [line.split("|")[3].strip() for line in lines if line.startswith("| fixed")] == ["3.77 †", "0.28"]
    assert any("† The chosen value is the smallest or largest that was tried" in line for line in lines)
    assert script("tables.py")["edge_mark"](xr.Dataset(), "learning_rate") == ""


def test_influence_marks_cells_that_are_best_at_the_smallest_or_largest_rate():
    edge = "digits, final test metric: 3 of 27 cells are best at the smallest or largest learning_rate: widen it."
    ds = xr.Dataset(attrs={"limits": json.dumps(["Something else.", edge])})
    edges = script("influence.py")["edges"]
    (line,) = edges(ds, "digits", "final_metric")
    assert line.startswith(
        "**† 3 of 27 cells are best at the smallest or largest learning_rate**: their best"
    )
    assert not list(edges(ds, "digits", "log_time")) and not list(edges(ds, "mnist", "final_metric"))


def test_networks_without_weights_stand_beside_published_ones(swept, tmp_path):
    def shrink(sweep):
        sweep["data"] = {"name": "digits"}
        sweep["training"] = {"steps": 6, "batch_size": 50}
        for model in sweep["model"]:
            model |= (
                {"num_individuals": 12, "gradient_steps": 3}
                if model["name"] == "wann"
                else {"training": {"steps": 6}}
            )

    results, page = swept("wann", ["digits", "mnist_16"], shrink), tmp_path / "wann.md"
    run("wann.py", results, "--out", page)
    text = page.read_text()
    outcomes = {
        "shared weight untuned, mean over six",
        "ensemble over the six",
        "weights trained by gradient",
    }
    assert outcomes | {"wann", "small_mlp", "linear regression, 650 weights"} <= set(rows(text))
    assert "82.0 ± 18.7" in text and "23,592,960" in text and "nan" not in text
    assert text.count("| at most 3,000: reached |") == 1  # a goal of MNIST only
    size_goal = script("wann.py")["size_goal"]
    assert size_goal("mnist_16", 3001) == "at most 3,000: not reached" and size_goal("digits", 3001) == "-"
    assert {"evaluations", "connections, median", "MNIST, 16x16 pixels, tuned"} <= words(
        page.with_suffix(".svg")
    )
