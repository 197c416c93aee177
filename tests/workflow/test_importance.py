"""Importance in the workflow: a stage after training that retrains nothing, only where it is asked for."""

import pytest

pytestmark = pytest.mark.slow

SWEEP = """
results: results
seeds: 2
probes: off
keep_weights: last
importance: {examples: 40, random_sets: 2}
sweeps:
  small:
    data: {name: digits, train_subset: 100}
    model:
      - {name: mlp, hidden_nodes: 6, normalisation: [none, batch]}
    training: {steps: 20, batch_size: 20}
"""


def test_another_setting_of_importance_measures_anew_and_trains_nothing(project):
    project.configure(SWEEP)
    run = project.snakemake()
    assert run.returncode == 0, run.stderr
    assert len(list((project.folder / "results/importance").glob("*.nc"))) == 2
    assert (project.folder / "results/importance.nc").exists()
    assert "Importance of connections" in (project.folder / "results/report.html").read_text()
    assert project.planned() == {}
    runs = project.runs()
    project.configure(SWEEP.replace("examples: 40", "examples: 50"))
    planned = project.planned()
    assert planned["importance"] == 2 and planned["gather_importance"] == 1
    assert "train" not in planned and "calibrate" not in planned
    run = project.snakemake()
    assert run.returncode == 0, run.stderr
    assert project.runs() == runs and project.planned() == {}


def test_what_the_command_has_measured_is_not_measured_again(project):
    """The findings look at some sweeps before the others are trained: an hour of measuring must not begin anew."""
    project.configure(SWEEP)
    run = project.snakemake("results/results.nc")
    assert run.returncode == 0, run.stderr
    said = project.hornlib("importance")
    assert said.returncode == 0, said.stderr
    planned = project.planned()
    assert "importance" not in planned
    project.configure(SWEEP.replace("examples: 40", "examples: 50"))
    assert project.planned()["importance"] == 2


def test_without_importance_nothing_is_measured(project):
    project.configure(SWEEP.replace("importance: {examples: 40, random_sets: 2}", "importance: off"))
    assert not {"importance", "gather_importance"} & set(project.planned())
