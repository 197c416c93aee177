"""Runs that start from kept weights: every seed from its own network, with its masks, and with its costs."""

import numpy as np
import pytest
import torch

from hornlib.data.loading import load
from hornlib.errors import ResultsError
from hornlib.grid.cell import parse_specification
from hornlib.grid.jobs import Range
from hornlib.results.run_file import read_run_file
from hornlib.structures.sparse_training.restart import allowed_places
from hornlib.training import job
from hornlib.training.chunk import start_chunk
from hornlib.training.job import TrainOptions
from hornlib.training.kept_weights import dense_run, read_weights, weights_path
from hornlib.training.loop import train_chunk
from hornlib.training.starting import read_starts, start_from_
from hornlib.training.train import train_job
from hornlib.training.trainers import TRAINERS

CPU = torch.device("cpu")
SEEDS = Range(0, 2)

MLP = {"name": "mlp", "hidden_nodes": "8-6"}
DENSE = (MLP, {"name": "static"})
BASES = {
    "dense": DENSE,
    "batch norm": ({**MLP, "normalisation": "batch"}, {"name": "static"}),
    "oscillators": (
        {"name": "horn_cnn", "num_nodes": 4, "timesteps": 3, "heterogeneity": 1.0},
        {"name": "static"},
    ),
    "sparse": (MLP, {"name": "sparse_training", "density": 0.4, "distribution": "uniform"}),
    "stored": (
        MLP,
        {"name": "sparse_training", "density": 0.4, "distribution": "uniform", "storage": "compressed"},
    ),
    "pruned": (
        MLP,
        {
            "name": "weight_pruning",
            "rule": "gmp",
            "density": 0.4,
            "update_every": 2,
            "distribution": "global",
        },
    ),
}
KEPT = {"name": "sparse_training", "density": 0.4, "distribution": "uniform", "start": "kept"}


def cell_of(model, structure, **training):
    return parse_specification(
        {
            "data": {"name": "digits", "train_subset": 100},
            "model": model,
            "structure": structure,
            "training": {"steps": 20, "batch_size": 20, "learning_rate": 0.01} | training,
        }
    )


def train(folder, cell, seeds=SEEDS, lanes=2):
    """Return the run file of a cell whose weights are kept; two lanes train at a time."""
    output = folder / "runs" / f"{cell.name}.seeds-{seeds.first}-{seeds.last}.nc"
    train_job(
        cell, seeds, output, TrainOptions(lanes, 1, "cpu", folder / "checkpoints", 60.0, keep_weights="last")
    )
    return output


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a function that gives a base, its weights by seed, and its folder; each base is trained once."""
    folder, bases = tmp_path_factory.mktemp("bases"), {}

    def base_of(name):
        if name not in bases:
            cell = cell_of(*BASES[name])
            output = train(folder, cell)
            runs = {run.seed: run for run in read_weights(weights_path(output), cell)}
            bases[name] = cell, runs, output
        return bases[name]

    return base_of


def started(cell, output):
    chunk = start_chunk(cell, list(SEEDS.seeds()), CPU)
    start_from_(chunk, read_starts(cell, SEEDS, output))
    return chunk


@pytest.mark.parametrize("name", BASES)
def test_every_lane_begins_with_the_network_of_its_seed(trained, name):
    base, runs, output = trained(name)
    chunk = started(cell_of(base.model.canonical(), base.structure.canonical(), start_from=base.name), output)
    (group,) = chunk.groups
    for lane, seed in enumerate(group.lanes.seeds):
        run = dense_run(runs[seed], base.task())
        for part in ("parameters", "buffers"):
            tensors = getattr(group.lanes, part)
            assert all(torch.equal(tensors[key][lane], value) for key, value in getattr(run, part).items())
        assert {key: mask[lane].tolist() for key, mask in group.masks.items()} == {
            key: mask.tolist() for key, mask in run.masks.items()
        }
    fresh = start_chunk(base, list(SEEDS.seeds()), CPU).lanes
    assert any(
        not torch.equal(tensor, fresh.parameters[key]) for key, tensor in group.lanes.parameters.items()
    )


def test_one_step_of_nearly_nothing_ends_where_the_base_ended_and_counts_its_flops(trained):
    base, _, output = trained("batch norm")
    cell = cell_of(*BASES["batch norm"], start_from=base.name, steps=1, learning_rate=1e-12)
    before, after = read_run_file(output).variables, read_run_file(train(output.parents[1], cell)).variables
    for name in ("test_loss", "test_metric", "validation_loss"):
        np.testing.assert_allclose(after[name][:, -1], before[name][:, -1], rtol=1e-6)
    step = before["training_flops"][:, 0] / before["step"][0]
    np.testing.assert_array_equal(after["training_flops"][:, -1], before["training_flops"][:, -1] + step)
    assert (after["step"] == [1]).all() and after["seconds"][0, -1] < before["seconds"][0, -1] + 5


def test_a_run_is_the_same_in_any_company_of_lanes(trained, tmp_path):
    base, _, output = trained("dense")
    cell = cell_of(*DENSE, start_from=base.name)
    (tmp_path / "weights").symlink_to(weights_path(output).parent)
    alone = read_run_file(train(tmp_path, cell, Range(1, 1), lanes=1)).variables
    together = read_run_file(train(output.parents[1], cell)).variables
    np.testing.assert_allclose(alone["test_loss"][0], together["test_loss"][1], rtol=1e-4)


@pytest.mark.parametrize("name", ["sparse", "stored", "pruned"])
@pytest.mark.parametrize("rule", ["static", "rigl"])
def test_kept_masks_are_fine_tuned(trained, name, rule):
    base, runs, output = trained(name)
    structure = {**KEPT, "rule": rule} | ({"update_every": 4} if rule == "rigl" else {})
    cell = cell_of(MLP, structure, start_from=base.name)
    chunk = started(cell, output)
    masks = {}

    def remember(chunk):
        masks[chunk.step] = {key: mask.clone() for key, mask in chunk.groups[0].masks.items()}

    train_chunk(chunk, load(cell.data, CPU), remember)
    (group,) = chunk.groups
    for lane, seed in enumerate(group.lanes.seeds):
        kept = dense_run(runs[seed], base.task()).masks
        for key, mask in kept.items():
            assert torch.equal(masks[1][key][lane], mask)
            assert int(group.masks[key][lane].sum()) == int(mask.sum())
            assert not group.lanes.parameters[key][lane][~group.masks[key][lane]].any()
    moved = any(not torch.equal(mask, masks[1][key]) for key, mask in group.masks.items())
    assert moved == (rule == "rigl")


def test_stored_connections_are_fine_tuned_where_they_stand_and_full_layers_stay_full(trained, tmp_path):
    structure = {"name": "sparse_training", "density": 0.6, "storage": "compressed"}
    base = cell_of(MLP, structure)
    runs = read_weights(weights_path(train(tmp_path, base)), base)
    assert any(len(dense_run(run, base.task()).masks) < len(base.model.weights(base.task())) for run in runs)
    cell = cell_of(MLP, {**structure, "start": "kept"}, start_from=base.name)
    fine_tuned = read_weights(weights_path(train(tmp_path, cell)), cell)
    for run, other in zip(runs, fine_tuned, strict=True):
        before, after = dense_run(run, base.task()), dense_run(other, base.task())
        assert before.masks.keys() == after.masks.keys()
        assert all(torch.equal(mask, after.masks[name]) for name, mask in before.masks.items())
        assert not torch.equal(before.parameters["linears.0.weight"], after.parameters["linears.0.weight"])


def test_rigl_plus_starts_among_the_connected_units_with_fresh_weights(trained):
    base, runs, output = trained("sparse")
    structure = {
        **KEPT,
        "rule": "rigl",
        "update_every": 4,
        "density": 0.5,
        "start": "kept_units",
        "sparse_layers": "all",
    }
    cell = cell_of(MLP, structure, start_from=base.name)
    chunk = started(cell, output)
    flops = chunk.flops.clone()
    masks, weights = {}, {}

    def remember(chunk):
        masks[chunk.step] = {key: mask.clone() for key, mask in chunk.groups[0].masks.items()}
        weights[chunk.step] = {key: value.clone() for key, value in chunk.groups[0].lanes.parameters.items()}

    train_chunk(chunk, load(cell.data, CPU), remember)
    names = [weight.name for weight in cell.model.weights(cell.task())]
    allowed = dict(
        zip(
            names,
            allowed_places([torch.stack([runs[seed].masks[key] for seed in SEEDS.seeds()]) for key in names]),
            strict=True,
        )
    )
    for step in (1, 20):
        for key in names:
            assert not (masks[step][key] & ~allowed[key]).any()
    for lane, seed in enumerate(SEEDS.seeds()):
        rooms = sum(int(allowed[key][lane].sum()) for key in names)
        assert abs(sum(int(masks[1][key][lane].sum()) for key in names) - 0.5 * rooms) <= 2
        bias = runs[seed].parameters["linears.0.bias"]
        assert not torch.allclose(weights[1]["linears.0.bias"][lane], bias, atol=0.02)
    assert (flops > 0).all() and (chunk.flops > flops).all()
    assert {event.kind for event in chunk.events if event.step == 0} == {"restarted"}


def test_a_seed_whose_base_diverged_is_diverged_and_the_others_train(trained, tmp_path, monkeypatch):
    base, _, output = trained("dense")
    cell = cell_of(*DENSE, start_from=base.name)
    starts = read_starts(cell, SEEDS, output)
    del starts.runs[1]
    monkeypatch.setattr("hornlib.training.train.read_starts", lambda *arguments: starts)
    run = read_run_file(train(tmp_path, cell)).variables
    assert run["status"].tolist() == ["complete", "diverged", "complete"]
    assert run["diverged_at_step"][1] == 0 and np.isnan(run["test_loss"][1]).all()
    assert np.isfinite(run["test_loss"][[0, 2]]).all()


def test_a_job_without_any_weights_to_start_from_ends_as_diverged(trained, tmp_path, monkeypatch):
    base, _, output = trained("dense")
    cell = cell_of(*DENSE, start_from=base.name)
    starts = read_starts(cell, SEEDS, output)._replace(runs={})
    monkeypatch.setattr("hornlib.training.train.read_starts", lambda *arguments: starts)
    output = train(tmp_path, cell)
    assert (read_run_file(output).variables["status"] == "diverged").all()
    assert read_weights(weights_path(output), cell) == []


def test_after_a_kill_the_same_command_ends_bit_identical(trained, tmp_path, monkeypatch):
    base, _, output = trained("sparse")
    cell = cell_of(MLP, {**KEPT, "rule": "rigl", "update_every": 4}, start_from=base.name)
    (tmp_path / "weights").symlink_to(weights_path(output).parent)
    expected = read_run_file(train(output.parents[1], cell)).variables
    real = train_chunk

    def stopping(chunk, splits, after_step, report):
        def stop(chunk):
            after_step(chunk)
            if chunk.step == 7:
                raise KeyboardInterrupt

        real(chunk, splits, stop, report)

    monkeypatch.setitem(TRAINERS, "gradient", TRAINERS["gradient"]._replace(train=stopping))

    def saving(is_on):
        return lambda keeper, chunk: keeper.save(chunk) if is_on else None

    for saved_at in (False, True):  # at the checkpoint of the start, and at one of a later step
        monkeypatch.setattr(job._Keeper, "after_step", saving(saved_at))
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, cell)
    monkeypatch.undo()
    run = read_run_file(train(tmp_path, cell)).variables
    for name in ("test_loss", "training_loss", "training_flops"):
        np.testing.assert_array_equal(run[name], expected[name])


def test_missing_weights_name_cell_seeds_and_setting(trained, tmp_path):
    base, _, _ = trained("dense")
    cell = cell_of(*DENSE, start_from=base.name)
    with pytest.raises(
        ResultsError, match=rf"no weights of {base.name} with the seeds 0, 1, 2.*keep_weights: last"
    ):
        train(tmp_path, cell)


def test_seeds_come_from_as_many_files_as_hold_them(trained, tmp_path):
    base, runs, _ = trained("dense")
    for seeds in (Range(0, 0), Range(1, 1), Range(2, 4)):
        train(tmp_path, base, seeds)
    cell = cell_of(*DENSE, start_from=base.name)
    starts = read_starts(cell, Range(1, 3), tmp_path / "runs" / "any.nc")
    assert list(starts.runs) == [1, 2, 3]
    torch.testing.assert_close(starts.runs[1].parameters, runs[1].parameters)
    with pytest.raises(ResultsError, match="with the seeds 5, 6"):
        read_starts(cell, Range(4, 6), tmp_path / "runs" / "any.nc")


def test_damaged_weights_are_refused_before_anything_is_trained(trained, tmp_path):
    base, _, output = trained("dense")
    path = tmp_path / "weights" / weights_path(output).name
    path.parent.mkdir()
    path.write_bytes(weights_path(output).read_bytes()[:-9])
    with pytest.raises(ResultsError, match="damaged"):
        train(tmp_path, cell_of(*DENSE, start_from=base.name))
    assert not list((tmp_path / "checkpoints").glob("*"))


def test_weights_of_other_examples_are_refused(trained, tmp_path, monkeypatch):
    base, _, output = trained("dense")
    cell = cell_of(*DENSE, start_from=base.name)
    starts = read_starts(cell, SEEDS, output)._replace(data_digest="0" * 16)
    monkeypatch.setattr("hornlib.training.train.read_starts", lambda *arguments: starts)
    with pytest.raises(
        ResultsError, match=r"start_from: .* on other examples \(digest 0000000000000000, now"
    ):
        train(tmp_path, cell)


def test_a_network_of_another_shape_is_refused_with_the_tensor(trained):
    base, _, output = trained("dense")
    cell = cell_of({**MLP, "hidden_nodes": "8-7"}, {"name": "static"}, start_from=base.name)
    with pytest.raises(ResultsError, match=r"linears\.1\.weight of .* has the shape \(6, 8\).* \(7, 8\)"):
        started(cell, output)
