"""The page on beta-LASSO: its connections against plain definitions, and a small sweep with its weights."""

import re
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from beta_lasso_weights import largest, windows
from ruamel.yaml import YAML

from hornlib.grid import read_grid
from hornlib.models.build import build_network
from hornlib.models.shallow.parameters import ShallowParameters
from hornlib.parameters import Task
from hornlib.results.gather import gather
from hornlib.training.job import TrainOptions
from hornlib.training.train import train_job

REPOSITORY = Path(__file__).resolve().parents[2]
FINDINGS = REPOSITORY / "docs" / "findings"


def test_the_largest_weights_are_as_many_as_asked_and_none_is_smaller_than_another():
    weights = np.random.default_rng(0).standard_normal((5, 2, 3, 3))
    mask = largest(weights, 17)
    assert mask.sum() == 17
    assert np.abs(weights[mask]).min() > np.abs(weights[~mask]).max()
    assert largest(np.ones((2, 3)), 2).sum() == 2


def test_the_windows_are_what_the_weights_of_s_local_multiply():
    """A change of one pixel changes the units whose window has it, and no other."""
    model, task = ShallowParameters(connectivity="local", num_channels=2, kernel_size=5), Task((2, 6, 7), 3)
    network = build_network(model, task, 0)
    masks = windows(model, task)
    pixels = torch.eye(2 * 6 * 7).view(-1, 2, 6, 7)
    with torch.no_grad():
        reads = network.first(pixels) != 0  # (pixels, units)
    assert np.array_equal(masks.reshape(len(masks), -1), reads.T.numpy())


@pytest.fixture
def swept(tmp_path):
    """Train a small version of the sweep on digits with two seeds; return results.nc, whose weights are beside it."""
    yaml = YAML()
    content = yaml.load((REPOSITORY / "config/beta_lasso.yaml").read_text())
    content |= {"results": str(tmp_path / "results"), "seeds": 2, "per_job": 2, "device": "cpu"}
    content["defaults"]["data"] = {"name": "digits", "train_subset": 200}
    content["defaults"]["training"] |= {"epochs": 5, "batch_size": 20, "evaluate_at_epochs": "1-2"}
    for model in content["sweeps"]["cifar10"]["model"]:
        model["num_channels"] = 2
        if "l1" in model.get("training", {}):
            model["training"]["l1"] = 2e-3
    config = tmp_path / "config.yaml"
    yaml.dump(content, config)
    grid = read_grid([config])
    for job in grid.jobs({}):
        options = TrainOptions(2, 1, "cpu", tmp_path / "checkpoints", 300.0, keep_weights="last")
        train_job(grid.cells[job.cell], job.range, grid.run_path(job), options)
    gather(grid).close()
    return tmp_path / "results" / "results.nc"


def run(*arguments):
    """Run the script as `python docs/findings/beta_lasso.py ...` does."""
    before = sys.argv
    try:
        sys.argv = ["beta_lasso.py", *map(str, arguments)]
        runpy.run_path(str(FINDINGS / "beta_lasso.py"), run_name="__main__")
    finally:
        sys.argv = before


@pytest.mark.slow
def test_the_page_has_a_row_for_every_arm_and_is_the_same_without_the_weights(swept, tmp_path):
    page = tmp_path / "beta_lasso.md"
    run(swept, "--out", page)
    text = page.read_text()
    rows = {line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")}
    networks = ("S-CONV", "S-LOCAL", "S-FC")
    assert {
        f"{network}, {optimizer}" for network in networks for optimizer in ("SGD", "beta 1", "beta 50")
    } < rows
    assert "S-FC, SGD: its largest, as many as with beta 50" in rows and "no verdict, n = 2" in text
    assert re.search(r"At least 3 points better than SGD: (not )?reached", text)
    table = pd.read_csv(tmp_path / "beta_lasso" / "weights.csv").set_index(["arm", "seed"])
    sparse, control = (table.loc[(name, 1)] for name in ("s_fc_beta_50", "largest of s_fc_sgd"))
    assert 0 < sparse["connections"] == control["connections"] < table.loc[("s_fc_sgd", 1), "connections"]
    assert table.loc[("s_fc_sgd", 0), "nonzeros"] == table.loc[("s_fc_sgd", 0), "weights"]
    shutil.rmtree(swept.parent / "weights")
    run(swept, "--out", page)
    again = page.read_text()
    assert again == text
    page.write_text(text.replace("# beta-LASSO", "# A head of my own", 1))
    run(swept, "--out", page)
    assert page.read_text().startswith("# A head of my own")
