"""Kept weights in the workflow: one more output of the job, and what starts from them waits for them."""

import pytest

pytestmark = pytest.mark.slow

SWEEP = """
results: results
seeds: 2
probes: off
keep_weights: last
defaults:
  data: {name: digits, train_subset: 100}
  model: {name: mlp, hidden_nodes: 8}
  training: {steps: 20, batch_size: 20}
sweeps:
  first:
    model:
      - {arm: dense, name: mlp, hidden_nodes: 8}
      - {arm: sparse, name: mlp, hidden_nodes: 8, structure: {name: sparse_training, density: 0.5}}
"""
FINE_TUNED = """  second:
    model:
      - {arm: fine, name: mlp, hidden_nodes: 8, training: {start_from: first.dense, learning_rate: 1e-4}}
      - arm: fine_sparse
        name: mlp
        hidden_nodes: 8
        structure: {name: sparse_training, density: 0.5, start: kept}
        training: {start_from: first.sparse, learning_rate: 1e-4}
"""


def files(project, folder):
    """Return the names of a folder's files of jobs, without their endings."""
    return {path.stem for path in (project.folder / "results" / folder).glob("*seeds*")}


def test_arms_that_are_added_later_start_from_weights_and_train_nothing_else(project):
    project.configure(SWEEP)
    run = project.snakemake("first")
    assert run.returncode == 0, run.stderr
    assert files(project, "weights") == files(project, "runs") and len(files(project, "runs")) == 2
    before = project.runs()
    project.configure(SWEEP + FINE_TUNED)
    run = project.snakemake()
    assert run.returncode == 0, run.stderr
    assert len(files(project, "weights")) == len(files(project, "runs")) == 4
    assert project.runs().items() >= before.items()
    assert (project.folder / "results/report.html").exists()
    assert "weights of all runs (keep_weights: last): " in project.hornlib("plan").stdout
    for path in (project.folder / "results/weights").iterdir():  # they have served
        path.unlink()
    assert "train" not in project.planned()


def test_runs_without_weights_are_trained_again_only_where_something_starts_from_them(project):
    project.configure(SWEEP.replace("keep_weights: last", "keep_weights: off"))
    run = project.snakemake("first")
    assert run.returncode == 0, run.stderr
    assert not files(project, "weights")
    project.configure(SWEEP)
    assert "train" not in project.planned("first")
    project.configure(SWEEP + FINE_TUNED)
    assert project.planned("second")["train"] == 4
    run = project.snakemake("second")
    assert run.returncode == 0, run.stderr
    assert files(project, "weights") == files(project, "runs")
