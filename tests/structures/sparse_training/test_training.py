"""Sparse training in the training loop: counts, zeros, both storages, lanes, interruptions, and every model."""

import io
from contextlib import suppress

import pytest
import torch

from hornlib.data.loading import load
from hornlib.models.compressed import masked, masks_of
from hornlib.structures.sparse_training.structure import SparseTraining, scaled_by_fan_in
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk

CPU = torch.device("cpu")
MLP = {"name": "mlp", "hidden_nodes": "24-16"}
STEPS = 12
RULES = {
    "static": {},
    "set": {},
    "rigl": {"update_every": 2, "update_end": 0.9},
    "snfs": {"update_every": 2, "update_every_epochs": None},
    "dsr": {"update_every": 2, "threshold": 0.02},
    "granet": {"update_every": 2, "prune_end": 0.6},
    "srigl": {"update_every": 2, "update_end": 0.9},
    "chts": {"update_every": 2, "update_every_epochs": None},
}
WAYS = [(rule, "masked") for rule in RULES] + [
    (rule, "compressed") for rule in ("static", "set", "rigl", "srigl")
]
OPTIMIZERS = {"sgd": 0.05, "adamw": 0.01}


@pytest.fixture
def sparse_cell(short_cell):
    """Return a function that gives a cell of sparse training; it has twelve steps in three epochs."""

    def make(rule="static", model=MLP, optimizer="sgd", **structure):
        values = {"name": "sparse_training", "density": 0.3, "rule": rule, **RULES[rule], **structure}
        values = {key: value for key, value in values.items() if value is not None}
        return short_cell(model, values, optimizer, OPTIMIZERS[optimizer])

    return make


def trained(cell, seeds=(0, 1, 2), steps=STEPS, after_step=lambda chunk: None, splits=None):
    """Return the chunk of a cell after some steps."""

    class StoppedError(Exception):
        pass

    def stop(chunk):
        after_step(chunk)
        if chunk.step == steps:
            raise StoppedError

    chunk = start_chunk(cell, list(seeds), CPU)
    with suppress(StoppedError):
        train_chunk(chunk, splits or load(cell.data, CPU), stop)
    return chunk


def masks(chunk):
    (group,) = chunk.groups
    return group.masks or masks_of(group.lanes.buffers)


def weights(chunk):
    (group,) = chunk.groups
    return (
        dict(group.lanes.parameters) if group.masks else masked(group.lanes.parameters, group.lanes.buffers)
    )


@pytest.mark.parametrize("rule", ["static", "set"])
def test_positions_of_layers_that_are_full_are_explored_in_both_storages(sparse_cell, rule):
    """erk fills two layers of three at this density."""
    under_masks, stored = (
        trained(sparse_cell(rule, density=0.7, storage=storage)) for storage in ("masked", "compressed")
    )
    assert len(masks(stored)) == 1 and len(masks(under_masks)) == 3
    explored = under_masks.curves["explored"][:, -1]
    assert torch.equal(stored.curves["explored"][:, -1], explored)
    if rule == "static":
        assert explored.tolist() == pytest.approx([0.7] * 3)
    else:
        assert (explored > 0.8).all()


def totals(chunk):
    return sum(mask.flatten(1).sum(1) for mask in masks(chunk).values()).tolist()


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("rule", RULES)
def test_counts_are_exact_and_missing_connections_are_zero_after_every_step(sparse_cell, rule, optimizer):
    cell = sparse_cell(rule, optimizer=optimizer)
    expected = cell.structure.connections(cell.model, cell.task())
    masks_over_time = []

    def check(chunk):
        (group,) = chunk.groups
        for name, mask in group.masks.items():
            assert not group.lanes.parameters[name][~mask].any()
            if rule in ("static", "set", "rigl", "srigl", "chts"):
                assert (mask.flatten(1).sum(1) == expected[name]).all()
            if rule != "snfs":
                for moment in ("momentum", "first_moment", "second_moment"):
                    if moment in group.optimizer.state:
                        assert not group.named(group.optimizer.state[moment])[name][~mask].any()
        if rule != "granet":
            assert totals(chunk) == [sum(expected.values())] * 3
        masks_over_time.append({name: mask.clone() for name, mask in group.masks.items()})

    chunk = trained(cell, after_step=check)
    assert totals(chunk) == [sum(expected.values())] * 3
    moved = any(not torch.equal(mask, masks_over_time[-1][name]) for name, mask in masks_over_time[0].items())
    assert moved == (rule != "static")
    assert torch.isfinite(chunk.curves["training_loss"][:, -1]).all()


def test_granet_follows_its_cubic_density(sparse_cell):
    cell, seen = sparse_cell("granet", density=0.1), {}
    trained(cell, after_step=lambda chunk: seen.update({chunk.step: totals(chunk)[0]}))
    size = sum(weight.size for weight in cell.model.weights(cell.task()))
    for step, connections in seen.items():
        update = max(step - 1, 0) // 2 * 2  # the update before this step
        share = min(update / (0.6 * STEPS), 1.0)
        assert connections == round((0.1 + 0.4 * (1 - share) ** 3) * size), step


@pytest.mark.parametrize("sparse_layers", ["all_but_first", "all_but_last", "inner"])
def test_dense_layers_are_those_of_the_dense_network(sparse_cell, short_cell, sparse_layers):
    cell = sparse_cell(sparse_layers=sparse_layers)
    dense = {"all_but_first": ["linears.0"], "all_but_last": ["readout.linear"]}
    dense["inner"] = dense["all_but_first"] + dense["all_but_last"]
    first = start_chunk(short_cell(MLP, {"name": "static"}), [0, 1, 2], CPU)
    view = trained(cell, steps=1)
    assert {f"{name}.weight" for name in dense[sparse_layers]} == {
        weight.name for weight in cell.model.weights(cell.task())
    } - masks(view).keys()
    # The learning rate moves weights by far less than 1 within a step.
    for name in dense[sparse_layers]:
        before, after = first.lanes.parameters[f"{name}.weight"], view.lanes.parameters[f"{name}.weight"]
        assert (after != 0).all() and (after - before).abs().max() < 0.1


@pytest.mark.parametrize("rule", ["static", "set", "rigl", "srigl"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_compressed_networks_train_as_masked_ones(sparse_cell, rule, optimizer):
    # Pixels that are equal in all examples have equal gradients, which rounding would tell apart. Behind a batch norm,
    # and behind units that are off, gradients are 0 but for rounding, which adamw would enlarge. Its first update moves
    # all new weights by the same length, so that the next update of the connections waits for several.
    model = MLP | {"readout_norm": "none", "activation": "tanh"}
    splits = load(sparse_cell().data, CPU)
    noise = torch.randn(splits.train.inputs.shape, generator=torch.Generator().manual_seed(0))
    splits = splits._replace(train=splits.train._replace(inputs=splits.train.inputs + 0.1 * noise))
    interval = {"update_every": 5} if rule in ("rigl", "srigl") else {}
    two = [
        trained(sparse_cell(rule, model, optimizer, storage=storage, **interval), splits=splits)
        for storage in ("masked", "compressed")
    ]
    assert two[0].groups[0].masks and not two[1].groups[0].masks
    stored = masks(two[1])
    assert stored and two[1].lanes.num_parameters < two[0].lanes.num_parameters
    for name, mask in stored.items():
        assert torch.equal(mask, masks(two[0])[name])
    others = weights(two[1])
    for name, weight in weights(two[0]).items():
        torch.testing.assert_close(others[name], weight, rtol=1e-5, atol=1e-5)
    for name in ("training_loss", "test_loss", "explored"):
        torch.testing.assert_close(two[1].curves[name], two[0].curves[name], rtol=1e-5, atol=1e-5)
    events = [[event for event in chunk.events if event.number] for chunk in two]
    assert str(events[0][-1]) == str(events[1][-1])


@pytest.mark.parametrize(("rule", "storage"), WAYS)
def test_a_lane_is_what_its_seed_is_alone(sparse_cell, rule, storage):
    cell = sparse_cell(rule, storage=storage)
    together, alone = trained(cell, (3, 1, 2)), trained(cell, (1,))
    for name, mask in masks(alone).items():
        assert torch.equal(mask[0], masks(together)[name][1])
    for name, weight in weights(alone).items():
        torch.testing.assert_close(weight[0], weights(together)[name][1], rtol=1e-5, atol=1e-6)


def copied(state):
    """Return the state as a checkpoint gives it back."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize(("rule", "storage"), WAYS)
def test_wherever_it_was_interrupted_a_chunk_ends_bit_identical(sparse_cell, rule, storage):
    cell, saved = sparse_cell(rule, optimizer="adamw", storage=storage), {}
    undisturbed = start_chunk(cell, [0, 1], CPU)
    splits = load(cell.data, CPU)
    train_chunk(undisturbed, splits, lambda chunk: saved.update({chunk.step: copied(chunk.state())}))
    for step in (1, 2, 5, 8, 9):
        resumed = start_chunk(cell, [0, 1], CPU)
        resumed.restore_(saved[step], CPU)
        train_chunk(resumed, splits)
        assert str(resumed.events) == str(undisturbed.events), step
        assert torch.equal(resumed.flops, undisturbed.flops), step
        (mine,), (other,) = resumed.groups, undisturbed.groups
        for key in ("masks", "memory"):
            assert getattr(mine, key).keys() == getattr(other, key).keys()
            for name, tensor in getattr(mine, key).items():
                assert torch.equal(tensor, getattr(other, key)[name]), (step, name)
        for part in ("parameters", "buffers"):
            for name, tensor in getattr(mine.lanes, part).items():
                assert torch.equal(tensor, getattr(other.lanes, part)[name]), (step, name)
        for name, curve in undisturbed.curves.items():
            if name != "seconds":
                assert torch.equal(curve.nan_to_num(-1), resumed.curves[name].nan_to_num(-1)), (step, name)


@pytest.mark.parametrize("storage", ["masked", "compressed"])
def test_an_update_of_rigl_replaces_the_training_step(sparse_cell, storage):
    snapshots = {}

    def remember(chunk):
        snapshots[chunk.step] = (
            {name: weight.detach().clone() for name, weight in weights(chunk).items()},
            {name: mask.clone() for name, mask in masks(chunk).items()},
        )

    trained(sparse_cell("rigl", storage=storage), after_step=remember)
    updates = [2, 4, 6, 8, 10]  # update_end is step 10.8
    for step in range(1, STEPS):
        (before, old), (after, new) = snapshots[step], snapshots[step + 1]
        if step not in updates:
            assert all(torch.equal(mask, new[name]) for name, mask in old.items())
            continue
        for name, weight in before.items():
            expected = weight * new[name] if name in new else weight
            assert torch.equal(after[name], expected), (step, name)
        assert any(not torch.equal(mask, new[name]) for name, mask in old.items())


def test_ages_count_updates_of_the_optimiser_and_start_anew_for_grown_weights(sparse_cell):
    chunk = trained(
        sparse_cell("rigl", optimizer="adamw"), steps=7
    )  # connections are updated at steps 2, 4 and 6
    (group,) = chunk.groups
    ages = group.named(group.optimizer.state["age"])
    assert (ages["linears.0.bias"] == 4).all()
    mask, grown = group.masks["linears.0.weight"], group.memory["grown/linears.0.weight"]
    assert set(ages["linears.0.weight"][mask].tolist()) == {0.0, 1.0, 2.0, 4.0}
    assert (ages["linears.0.weight"][grown] == 0).all()


def test_set_does_not_rewire_after_the_last_epoch_and_events_say_how_many_are_exchanged(sparse_cell):
    chunk = trained(sparse_cell("set", sparse_layers="all_but_last"))
    events = [event for event in chunk.events if event.row == 0]
    assert [(event.step, event.kind) for event in events] == [
        (0, "masked"), (0, "masked"), (4, "rewired"), (4, "rewired"), (8, "rewired"), (8, "rewired")
    ]  # fmt: skip
    counts = chunk.cell.structure.connections(chunk.cell.model, chunk.cell.task())
    assert [event.number for event in events[:2]] == list(counts.values())
    for event, count in zip(events[2:], [*counts.values()] * 2, strict=True):
        assert abs(event.number - 0.3 * count) <= 1
    assert all(event.score != event.score for event in events[:4])  # NaN: nothing was grown before
    assert all(0 <= event.score <= 1 for event in events[4:])


def test_fan_in_keeps_the_scale_of_signals():
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 300, 500, generator=draw)
    mask = torch.rand(2, 300, 500, generator=draw) < 0.02
    mask[0, 0] = False
    scaled = scaled_by_fan_in(weight * mask, mask)
    inputs = torch.randn(500, 64, generator=draw)
    assert float((scaled @ inputs).std()) == pytest.approx(float((weight @ inputs).std()), rel=0.05)
    unit = mask[1, 7]
    torch.testing.assert_close(scaled[1, 7, unit], weight[1, 7, unit] * (500 / unit.sum()).sqrt())
    assert torch.isfinite(scaled).all() and not scaled[~mask].any()


@pytest.mark.parametrize("initial_scale", ["dense", "fan_in"])
@pytest.mark.parametrize("storage", ["masked", "compressed"])
def test_first_weights_have_the_scale_that_is_asked_for(sparse_cell, short_cell, initial_scale, storage):
    # At a learning rate of 1e-9 the weights after a step are the first ones.
    dense = start_chunk(short_cell(MLP, {"name": "static"}), [0, 1, 2], CPU).lanes.parameters
    structure = {"name": "sparse_training", "initial_scale": initial_scale, "storage": storage}
    chunk = trained(short_cell(MLP, structure, "sgd", 1e-9), steps=1)
    for name, mask in masks(chunk).items():
        expected = dense[name] * mask
        if initial_scale == "fan_in":
            expected = scaled_by_fan_in(expected, mask)
        torch.testing.assert_close(weights(chunk)[name], expected, rtol=1e-5, atol=1e-6)


MODELS = {
    "rnn": {"name": "rnn", "unit": "tanh", "num_nodes": 12},
    "lstm": {"name": "rnn", "unit": "lstm", "num_nodes": 8},
    "gru": {"name": "rnn", "unit": "gru", "num_nodes": 8},
    "horn": {"name": "horn", "num_nodes": 12},
    "cnn": {"name": "cnn", "channels": "4-8"},
    "resnet": {"name": "resnet", "channels": "4-8"},
}
ROWS = ("rnn", "lstm", "gru", "horn")


@pytest.mark.parametrize("rule", ["set", "rigl", "snfs", "srigl"])
@pytest.mark.parametrize("model", MODELS)
def test_every_kind_of_model_trains_sparsely(sparse_cell, model, rule):
    structure = {"sparse_layers": "recurrent", "density": 0.4} if model in ROWS else {}
    cell = sparse_cell(rule, MODELS[model], **structure)
    if model in ROWS:
        from hornlib.grid.cell import parse_specification

        specification = cell.specification()
        specification["data"]["presentation"] = "rows"
        cell = parse_specification(specification)
    chunk = trained(cell, (0, 1))
    expected = cell.structure.connections(cell.model, cell.task())
    assert masks(chunk).keys() == expected.keys() and len(expected) > 0
    assert totals(chunk) == [sum(expected.values())] * 2
    assert torch.isfinite(chunk.curves["test_loss"][:, -1]).all()
    assert any(event.kind == "rewired" and event.number for event in chunk.events)
    for name, mask in masks(chunk).items():
        assert not weights(chunk)[name][~mask].any()


def test_updates_are_due_after_their_interval_and_never_at_the_end():
    from hornlib.structures.interface import Moment
    from hornlib.structures.sparse_training.parameters import SparseTrainingParameters

    def due(**values):
        structure = SparseTraining(SparseTrainingParameters(**values))
        return [step for step in range(41) if structure.is_due(Moment(step, 40, 8, False))]

    assert due() == [0]
    assert due(rule="set") == [0, 8, 16, 24, 32]
    assert due(rule="rigl", update_every=10) == [0, 10, 20]  # T_end is step 30
    assert due(rule="snfs", update_every_epochs=2) == [0, 16, 32]
