"""A tuned sweep through the workflow: trials, choices, fresh runs, results.nc; and what makes it train anew."""

import json

import xarray as xr

CONFIG = """
seeds: 2
per_job: 2
statistics: {baseline: cnn}
defaults:
  data: {name: digits, train_subset: 128}
  training: {steps: 8, batch_size: 32}
sweeps:
  tuned:
    model:
      - {name: mlp, hidden_nodes: 8}
      - {name: cnn, channels: 2-4}
    training: {learning_rate: {tune: {low: 1e-3, high: 1e-1, scale: log}}}
    tuning: {trials: 2, seeds: 2}
"""


def test_a_tuned_sweep_selects_trains_and_gathers_and_a_touched_trial_retrains_nothing(project):
    project.configure(CONFIG)
    done = project.snakemake("results/results.nc")
    assert done.returncode == 0, done.stderr
    results = project.folder / "results"
    with xr.open_dataset(results / "results.nc") as file:
        ds = file.load()
    assert ds.sizes["cell"] == 6 and ds.sizes["trial"] == 2
    wanted = ds["selected_for"].values.tolist()
    assert sorted(set(wanted)) == ["", "final_metric", "time_to_target"]
    for name, rate, objective in zip(ds["cell"].values, ds["learning_rate"].values, wanted, strict=True):
        expected = 1e-3
        if objective:
            choice = json.loads((results / "selected" / f"{name}.json").read_text())
            expected = choice["selection"]["chosen"]["training.learning_rate"]
        assert rate == expected
    assert (ds["status"] == "complete").all()
    assert ds["tuning_samples"].notnull().sum() == 4

    runs = project.runs()
    for path in (results / "tuning").iterdir():
        path.touch()
    again = project.snakemake("results/results.nc")
    assert again.returncode == 0, again.stderr
    assert project.runs() == runs
