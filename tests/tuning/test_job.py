"""A tuning job: every trial is trained as it would be alone, and an interrupted job goes on exactly."""

import numpy as np
import pytest
import torch

from hornlib.data.loading import load, load_with_digest
from hornlib.grid.cell import parse_specification
from hornlib.grid.finalists import finalist_stage
from hornlib.grid.tuned_arms import tuned_arm
from hornlib.parameters.tuning import FinalistParameters, TuneRange, TuningParameters
from hornlib.results.tuning_file import read_trials
from hornlib.training import job
from hornlib.training.chunk import Run, start_lanes
from hornlib.training.interruption import Interrupted
from hornlib.training.job import TrainOptions
from hornlib.training.loop import train_chunk
from hornlib.tuning.job import train_finalists, tune_arm
from hornlib.tuning.trials import trial_cells

RATE = {"training.learning_rate": TuneRange(low=1e-3, high=1e-1, scale="log")}


def arm_of(ranges=RATE, **training):
    cell = parse_specification(
        {
            "data": {"name": "digits", "train_subset": 128},
            "model": {"name": "leaky_cnn", "num_nodes": 2, "num_stages": 2, "timesteps": 4},
            "training": {"steps": 6, "batch_size": 32, "optimizer": "sgd", **training},
        }
    )
    return tuned_arm(cell, ranges, TuningParameters(trials=3, seeds=2))


def options(folder, lanes=4):
    return TrainOptions(lanes, 1, "cpu", folder / "checkpoints", 60)


def test_every_trial_and_seed_is_what_it_is_alone(tmp_path):
    ranges = {**RATE, "model.leak_rate": TuneRange(low=0.2, high=0.8)}
    arm = arm_of(ranges)
    tune_arm(arm, tmp_path / f"{arm.name}.nc", options(tmp_path))
    trials = read_trials(tmp_path / f"{arm.name}.nc")
    assert dict(trials.sizes) == {"trial": 3, "seed": 2, "step": 6}
    assert trials.attrs["data_digest"] == load_with_digest(arm.cell.data, "cpu")[1]
    for trial, cell in enumerate(trial_cells(arm)):
        assert trials["model.leak_rate"][trial] == cell.model.leak_rate
        for seed in arm.all_seeds():
            chunk = start_lanes([Run(cell, seed)], torch.device("cpu"))
            train_chunk(chunk, load(cell.data, "cpu"))
            np.testing.assert_allclose(
                trials["validation_loss"].sel(trial=trial, seed=seed),
                chunk.curves["validation_loss"][0],
                rtol=1e-3,
                atol=1e-5,
            )


def test_trials_that_cannot_share_a_network_train_in_chunks_of_their_own(tmp_path):
    arm = arm_of({**RATE, "training.momentum": TuneRange(low=0.5, high=0.95)})
    tune_arm(arm, tmp_path / f"{arm.name}.nc", options(tmp_path, lanes=64))
    trials = read_trials(tmp_path / f"{arm.name}.nc")
    assert trials.attrs["lanes"] == 2  # the seeds of one trial
    losses = trials["validation_loss"].isel(step=-1)
    assert np.isfinite(losses).all() and len(np.unique(losses)) == 6


def stage_of(arm):
    second = FinalistParameters(trials=2, seeds=3)
    protocol = TuningParameters(trials=arm.trials, seeds=arm.seeds, finalists=second)
    return finalist_stage(arm, arm, protocol, 0.9, 2)


def test_a_finalist_is_its_trial_with_the_fresh_seeds(tmp_path):
    arm = arm_of()
    stage = stage_of(arm)
    train_finalists(stage, [0, 2], tmp_path / f"{stage.name}.nc", options(tmp_path))
    finalists = read_trials(tmp_path / f"{stage.name}.nc")
    assert finalists["trial"].values.tolist() == [0, 2]
    assert finalists["seed"].values.tolist() == [1002, 1003, 1004]
    for trial in (0, 2):
        cell = trial_cells(arm)[trial]
        assert finalists["training.learning_rate"].sel(trial=trial) == cell.training.learning_rate
        chunk = start_lanes([Run(cell, 1003)], torch.device("cpu"))
        train_chunk(chunk, load(cell.data, "cpu"))
        np.testing.assert_allclose(
            finalists["validation_loss"].sel(trial=trial, seed=1003),
            chunk.curves["validation_loss"][0],
            rtol=1e-3,
            atol=1e-5,
        )


def test_a_checkpoint_of_other_finalists_is_set_aside(tmp_path, monkeypatch):
    stage = stage_of(arm_of())
    output = tmp_path / f"{stage.name}.nc"

    def stop(keeper, chunk):
        keeper.stop.signal_name = "SIGTERM"
        after_step(keeper, chunk)

    after_step = job._Keeper.after_step
    monkeypatch.setattr(job._Keeper, "after_step", stop)
    with pytest.raises(Interrupted):
        train_finalists(stage, [0, 2], output, options(tmp_path))
    monkeypatch.setattr(job._Keeper, "after_step", after_step)
    train_finalists(stage, [1, 2], output, options(tmp_path))
    assert read_trials(output)["trial"].values.tolist() == [1, 2]
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1  # the one that was set aside


def test_a_tuning_job_that_is_stopped_goes_on_where_it_was(tmp_path, monkeypatch):
    arm = arm_of()
    undisturbed, disturbed = tmp_path / "a" / f"{arm.name}.nc", tmp_path / "b" / f"{arm.name}.nc"
    tune_arm(arm, undisturbed, options(tmp_path / "a"))
    after_step = job._Keeper.after_step
    for step in (2, 5):

        def stop(keeper, chunk, step=step):
            if chunk.step == step:
                keeper.stop.signal_name = "SIGTERM"
            after_step(keeper, chunk)

        monkeypatch.setattr(job._Keeper, "after_step", stop)
        with pytest.raises(Interrupted):
            tune_arm(arm, disturbed, options(tmp_path / "b"))
        assert not disturbed.exists()
    monkeypatch.setattr(job._Keeper, "after_step", after_step)
    tune_arm(arm, disturbed, options(tmp_path / "b"))
    left, right = read_trials(undisturbed), read_trials(disturbed)
    for name in left.data_vars:
        if name != "seconds":
            np.testing.assert_array_equal(left[name], right[name])
    assert not list((tmp_path / "b" / "checkpoints").iterdir())


def test_a_tuning_file_is_not_trained_again_unless_it_holds_other_trials(tmp_path, monkeypatch, capsys):
    arm = arm_of()
    stage = stage_of(arm)
    files = tmp_path / f"{arm.name}.nc", tmp_path / f"{stage.name}.nc"
    tune_arm(arm, files[0], options(tmp_path))
    train_finalists(stage, [0, 2], files[1], options(tmp_path))

    def refused(*_):
        raise AssertionError("the job is trained")

    monkeypatch.setattr("hornlib.tuning.job.run_assignment", refused)
    tune_arm(arm, files[0], options(tmp_path))
    train_finalists(stage, [0, 2], files[1], options(tmp_path))
    said = capsys.readouterr().err
    assert all(f"{file} is finished" in said for file in files)
    with pytest.raises(AssertionError, match="the job is trained"):
        train_finalists(stage, [0, 1], files[1], options(tmp_path))
    files[0].write_bytes(files[0].read_bytes()[:-100])
    with pytest.raises(AssertionError, match="the job is trained"):
        tune_arm(arm, files[0], options(tmp_path))
