"""Weights that are kept are those that the last evaluation judged, of every run that completed, whole or not at all."""

import errno
import os
import shutil

import numpy as np
import pytest
import torch

from hornlib.data.loading import load
from hornlib.errors import ResultsError
from hornlib.grid.cell import parse_specification
from hornlib.grid.jobs import Range
from hornlib.results.run_file import read_run_file
from hornlib.training import job
from hornlib.training.checkpoint import load_checkpoint, save_checkpoint
from hornlib.training.chunk import start_lanes
from hornlib.training.job import TrainOptions
from hornlib.training.kept_weights import (
    KIND,
    dense_run,
    network_of,
    read_weights,
    read_weights_file,
    weights_path,
)
from hornlib.training.loop import train_chunk
from hornlib.training.tensor_file import packed
from hornlib.training.train import train_job
from hornlib.training.trainers import TRAINERS

CPU = torch.device("cpu")
SEEDS = Range(3, 5)

SPARSE = {"name": "sparse_training", "rule": "set", "density": 0.3, "update_every": 5}
CASES = {
    "batch norm": ({"name": "mlp", "hidden_nodes": "6-5", "normalisation": "batch"}, {}),
    "oscillators": (
        {"name": "horn_cnn", "num_nodes": 4, "num_stages": 2, "timesteps": 3, "heterogeneity": 1.0},
        {},
    ),
    "dropout": ({"name": "mlp", "hidden_nodes": "8", "dropout": 0.3}, {}),
    "masks": ({"name": "mlp", "hidden_nodes": "8-8"}, SPARSE),
    "stored connections": ({"name": "mlp", "hidden_nodes": "8-8"}, {**SPARSE, "storage": "compressed"}),
    "growth": (
        {"name": "mlp", "hidden_nodes": "4-4", "activation": "relu_one", "readout_norm": "none"},
        {
            "name": "growth",
            "rule": "gradmax",
            "when": "singular_value",
            "place": "random",
            "start_step": 5,
            "every_steps": 5,
            "final_factor": 3,
        },
    ),
}


def cell_of(model, structure=None, **training):
    return parse_specification(
        {
            "data": {"name": "digits", "train_subset": 100},
            "model": model,
            "structure": structure or {"name": "static"},
            "training": {"steps": 30, "batch_size": 16, "learning_rate": 0.01, **training},
        }
    )


def output_of(folder, cell):
    return folder / "runs" / f"{cell.name}.seeds-{SEEDS.first}-{SEEDS.last}.nc"


def options_of(folder, **others):
    return TrainOptions(2, 1, "cpu", folder / "checkpoints", 60.0, keep_weights="last", **others)


def trained(folder, cell, **others):
    """Return the run file of three seeds, which train two at a time."""
    output = output_of(folder, cell)
    train_job(cell, SEEDS, output, options_of(folder, **others))
    return output


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    cell = cell_of(*CASES["batch norm"])
    return cell, trained(tmp_path_factory.mktemp("finished"), cell)


@pytest.fixture
def copied(finished, tmp_path):
    cell, output = finished
    shutil.copytree(output.parents[1], tmp_path / "copy")
    return cell, tmp_path / "copy" / "runs" / output.name


@pytest.mark.parametrize("name", CASES)
def test_a_kept_network_scores_as_the_last_evaluation_says(tmp_path, name):
    cell = cell_of(*CASES[name])
    output = trained(tmp_path, cell)
    recorded, test = read_run_file(output, cell).variables, load(cell.data, CPU).test
    runs = read_weights(weights_path(output), cell)
    assert [run.seed for run in runs] == list(SEEDS.seeds())
    for index, run in enumerate(runs):
        with torch.no_grad():
            logits = network_of(run, cell.task())(test.inputs)
        loss = torch.nn.functional.cross_entropy(logits, test.targets)
        assert float(loss) == pytest.approx(recorded["test_loss"][index, -1], rel=1e-5)
        accuracy = (logits.argmax(1) == test.targets).double().mean()
        assert float(accuracy) == pytest.approx(recorded["test_metric"][index, -1])
        assert run.training_flops == recorded["training_flops"][index, -1]
        weights = [tensor.numel() for tensor in run.parameters.values()]
        masked = sum(int((~mask).sum()) for mask in run.masks.values())
        assert sum(weights) - masked == recorded["num_parameters"][index, -1]


def test_every_grown_run_has_the_model_that_its_own_events_made(tmp_path):
    cell = cell_of(*CASES["growth"])
    output = trained(tmp_path, cell)
    runs, run_file = read_weights(weights_path(output), cell), read_run_file(output, cell).variables
    models = [run.model for run in runs]
    assert len(set(models)) > 1  # the choice of layers is drawn, so that shapes differ
    for index, model in enumerate(models):
        grown = run_file["event_number"][run_file["event_seed"] == runs[index].seed].sum()
        assert sum(model.units()) == sum(cell.model.units()) + grown


def test_masked_weights_are_0_and_masks_have_the_planned_number(tmp_path):
    cell = cell_of(*CASES["masks"])
    expected = cell.structure.connections(cell.model, cell.task())
    for run in read_weights(weights_path(trained(tmp_path, cell)), cell):
        assert {name: int(mask.sum()) for name, mask in run.masks.items()} == expected
        for name, mask in run.masks.items():
            assert not run.parameters[name][~mask].any()


def test_a_dense_form_of_stored_connections_is_the_same_function(tmp_path):
    cell = cell_of(*CASES["stored connections"])
    inputs = load(cell.data, CPU).test.inputs
    for run in read_weights(weights_path(trained(tmp_path, cell)), cell):
        dense = dense_run(run, cell.task())
        assert dense.model == cell.model and run.model != cell.model
        assert all(not dense.parameters[name][~mask].any() for name, mask in dense.masks.items())
        with torch.no_grad():
            outputs = [network_of(form, cell.task())(inputs) for form in (run, dense)]
        torch.testing.assert_close(*outputs)


def test_constants_that_differ_between_lanes_belong_to_the_model(tmp_path):
    model = {"name": "horn_cnn", "num_nodes": 4, "timesteps": 3, "num_cycles": 0.7}
    cell = cell_of(model)
    (run, *_) = read_weights(weights_path(trained(tmp_path, cell)), cell)
    assert run.model == cell.model


def poisoned(seed):
    """Return a start of lanes in which one seed has weights that are infinite."""
    real = start_lanes

    @torch.no_grad()
    def start(rows, device):
        chunk = real(rows, device)
        for lane, lane_seed in enumerate(chunk.seeds):
            if lane_seed == seed:
                for tensor in chunk.lanes.parameters.values():
                    tensor[lane] = torch.inf
        return chunk

    return start


@pytest.mark.parametrize("seed", [4, 5])  # beside another lane, and alone in its chunk
def test_a_run_that_diverged_leaves_no_weights_and_the_others_do(tmp_path, monkeypatch, seed):
    monkeypatch.setitem(TRAINERS, "gradient", TRAINERS["gradient"]._replace(start=poisoned(seed)))
    cell = cell_of(*CASES["batch norm"])
    output = trained(tmp_path, cell)
    assert "diverged" in read_run_file(output).variables["status"]
    seeds = [run.seed for run in read_weights(weights_path(output), cell)]
    assert seeds == [other for other in SEEDS.seeds() if other != seed]


def test_nothing_is_kept_unless_it_is_asked_for(tmp_path, monkeypatch):
    cell, states = cell_of(*CASES["batch norm"]), []
    monkeypatch.setattr(job, "save_checkpoint", lambda path, state: states.append(state))
    output = output_of(tmp_path, cell)
    train_job(cell, SEEDS, output, options_of(tmp_path)._replace(keep_weights="off"))
    assert output.exists() and not weights_path(output).parent.exists()
    assert all(not rows["weights"] for state in states for rows in state["finished"])


def stopped_in_the_second_chunk(monkeypatch):
    """Let training end without a word, as a kill does, after the first step of the second chunk."""
    real, chunks = train_chunk, []

    def train(chunk, splits, after_step, report):
        chunks.append(chunk)

        def stopping(chunk):
            after_step(chunk)
            if len(chunks) == 2:
                raise KeyboardInterrupt

        real(chunk, splits, stopping, report)

    monkeypatch.setitem(TRAINERS, "gradient", TRAINERS["gradient"]._replace(train=train))


def assert_same_runs(path, expected, cell):
    for run, other in zip(read_weights(path, cell), read_weights(expected, cell), strict=True):
        assert (run.seed, run.model, run.training_flops) == (other.seed, other.model, other.training_flops)
        for part in ("parameters", "buffers", "masks"):
            tensors, others = getattr(run, part), getattr(other, part)
            assert tensors.keys() == others.keys()
            assert all(torch.equal(tensor, others[name]) for name, tensor in tensors.items())


@pytest.mark.parametrize("name", ["batch norm", "growth", "masks"])
def test_after_a_kill_between_chunks_the_weights_of_finished_runs_are_still_complete(
    tmp_path, monkeypatch, name
):
    cell = cell_of(*CASES[name])
    expected = trained(tmp_path / "undisturbed", cell)
    stopped_in_the_second_chunk(monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "killed", cell)
    monkeypatch.undo()
    output = trained(tmp_path / "killed", cell)
    assert_same_runs(weights_path(output), weights_path(expected), cell)


def test_a_checkpoint_without_the_weights_of_finished_runs_is_set_aside(
    finished, tmp_path, monkeypatch, capsys
):
    cell, expected = finished
    stopped_in_the_second_chunk(monkeypatch)
    output = output_of(tmp_path, cell)
    with pytest.raises(KeyboardInterrupt):
        train_job(cell, SEEDS, output, options_of(tmp_path)._replace(keep_weights="off"))
    monkeypatch.undo()
    trained(tmp_path, cell)
    assert "keep_weights: off" in capsys.readouterr().err
    assert_same_runs(weights_path(output), weights_path(expected), cell)


def test_a_checkpoint_of_an_earlier_version_without_the_key_goes_on(tmp_path, monkeypatch, capsys):
    cell = cell_of(*CASES["batch norm"])
    stopped_in_the_second_chunk(monkeypatch)
    options = options_of(tmp_path)._replace(keep_weights="off")
    output = output_of(tmp_path, cell)
    with pytest.raises(KeyboardInterrupt):
        train_job(cell, SEEDS, output, options)
    monkeypatch.undo()
    checkpoint = tmp_path / "checkpoints" / f"{output.stem}.checkpoint"
    state = load_checkpoint(checkpoint)
    for rows in state["finished"]:
        del rows["weights"]
    save_checkpoint(checkpoint, state)
    train_job(cell, SEEDS, output, options)
    assert "training starts again" not in capsys.readouterr().err and output.exists()


def test_a_run_file_without_its_weights_is_trained_again_and_one_with_them_is_not(
    copied, monkeypatch, capsys
):
    cell, output = copied
    train_job(cell, SEEDS, output, options_of(output.parents[1]))
    assert f"{output} is finished" in capsys.readouterr().err
    weights_path(output).unlink()
    train_job(cell, SEEDS, output, options_of(output.parents[1]))
    assert weights_path(output).exists()


def test_a_full_disk_is_told_and_the_checkpoint_stays(tmp_path, monkeypatch):
    cell = cell_of(*CASES["batch norm"])
    real, output = os.fsync, output_of(tmp_path, cell)

    def full(descriptor):
        if ".weights" in os.readlink(f"/proc/self/fd/{descriptor}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ResultsError, match=r"\.weights: cannot be written \(No space left on device\)"):
        trained(tmp_path, cell)
    assert not output.exists() and not list(weights_path(output).parent.iterdir())
    assert load_checkpoint(tmp_path / "checkpoints" / f"{output.stem}.checkpoint") is not None
    monkeypatch.undo()
    trained(tmp_path, cell)
    assert len(read_weights(weights_path(output), cell)) == 3


def test_weights_of_another_specification_are_refused_with_the_field(copied):
    _, output = copied
    other = cell_of(*CASES["batch norm"], learning_rate=0.02)
    with pytest.raises(ResultsError, match=r"training\.learning_rate: asked 0\.02, stored 0\.01"):
        read_weights(weights_path(output), other)


def test_missing_weights_name_the_setting(copied):
    cell, output = copied
    weights_path(output).unlink()
    with pytest.raises(ResultsError, match="keep_weights: last"):
        read_weights(weights_path(output), cell)


def test_renamed_weights_are_refused(copied):
    _, output = copied
    path = weights_path(output)
    renamed = path.with_name(path.name.replace("seeds-3-5", "seeds-0-2"))
    path.rename(renamed)
    with pytest.raises(ResultsError, match=r"holds the seeds 3 to 5 .* it was renamed"):
        read_weights_file(renamed)


@pytest.mark.parametrize("position", np.linspace(0, 0.999, 12))
def test_any_changed_or_missing_byte_is_noticed(copied, position):
    _, output = copied
    path = weights_path(output)
    content = path.read_bytes()
    place = int(position * len(content))
    changed = bytearray(content)
    changed[place] ^= 1
    for damaged in (content[:place], bytes(changed)):
        path.write_bytes(damaged)
        with pytest.raises(ResultsError, match=r"\.weights: .*Delete it"):
            read_weights_file(path)


@pytest.mark.parametrize("state", [{}, {"seeds": [3, 5], "runs": []}, {"specification": {}}])
def test_a_file_that_lacks_something_is_refused(copied, state):
    _, output = copied
    path = weights_path(output)
    path.write_bytes(b"".join(packed(KIND, state)))
    with pytest.raises(ResultsError, match=r"the weights cannot be read"):
        read_weights_file(path)


def test_another_kind_of_file_is_refused(copied):
    _, output = copied
    path = weights_path(output)
    save_checkpoint(path, {"step": 1})
    with pytest.raises(ResultsError, match="no hornlib weights file"):
        read_weights_file(path)


def test_code_in_a_file_is_not_run(copied, tmp_path):
    class Harm:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "harm"),))

    _, output = copied
    path = weights_path(output)
    path.write_bytes(b"".join(packed(KIND, {"harm": Harm()})))
    with pytest.raises(ResultsError):
        read_weights_file(path)
    assert not (tmp_path / "harm").exists()
