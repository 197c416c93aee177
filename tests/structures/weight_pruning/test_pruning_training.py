"""Weight pruning in the training loop: counts, scores, schedules, rewinding, interruptions, and refusals."""

import io

import pytest
import torch

from hornlib.data.loading import load
from hornlib.structures.interface import Moment
from hornlib.structures.weight_pruning.parameters import WeightPruningParameters
from hornlib.structures.weight_pruning.structure import WeightPruning
from hornlib.training import loop
from hornlib.training.batches import Batches
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk

CPU = torch.device("cpu")
MLP = {"name": "mlp", "hidden_nodes": "24-16"}
RULES = {
    "snip": {"density": 0.2},
    "gmp": {"density": 0.2, "update_every": 2, "prune_start": 0.1, "prune_end": 0.8},
    "lottery": {"rounds": 2, "epochs_per_round": 1, "drop_share": 0.4},
}
OPTIMIZERS = {"sgd": 0.05, "adamw": 0.01}


@pytest.fixture
def pruned_cell(short_cell):
    """Return a function that gives a cell of weight pruning; it has twelve steps in three epochs."""

    def make(rule, optimizer="sgd", model=MLP, **structure):
        values = {"name": "weight_pruning", "rule": rule, **RULES[rule], **structure}
        return short_cell(model, values, optimizer, OPTIMIZERS[optimizer])

    return make


def trained(cell, seeds=(0, 1, 2), after_step=lambda chunk: None):
    chunk = start_chunk(cell, list(seeds), CPU)
    train_chunk(chunk, load(cell.data, CPU), after_step)
    return chunk


def test_a_network_that_was_dense_has_explored_all_connections(pruned_cell):
    explored = trained(pruned_cell("gmp")).curves["explored"][:, -1]
    assert explored.tolist() == [1, 1, 1]
    assert (trained(pruned_cell("snip")).curves["explored"][:, -1] < 0.21).all()


def totals(group):
    return sum(mask.flatten(1).sum(1) for mask in group.masks.values()).tolist()


def size(cell):
    return sum(weight.size for weight in cell.model.weights(cell.task()))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("distribution", ["global", "uniform", "erk"])
@pytest.mark.parametrize("rule", RULES)
def test_the_asked_number_remains_and_what_was_removed_stays_zero(pruned_cell, rule, distribution, optimizer):
    cell, removed = pruned_cell(rule, optimizer, distribution=distribution), {}

    def check(chunk):
        (group,) = chunk.groups
        for name, mask in group.masks.items():
            assert not group.lanes.parameters[name][~mask].any()
            for moment in group.optimizer.state.keys() - {"age"}:
                assert not group.named(group.optimizer.state[moment])[name][~mask].any()
            assert not (mask & removed.get(name, ~mask)).any()  # nothing comes back
            removed[name] = ~mask

    (group,) = trained(cell, after_step=check).groups
    assert totals(group) == [round(cell.structure.final_density() * size(cell))] * 3
    if distribution != "global":
        for name, count in cell.structure.connections(cell.model, cell.task()).items():
            assert (group.masks[name].flatten(1).sum(1) == count).all()


def test_snip_keeps_the_largest_products_of_weight_and_gradient_of_the_first_batch(pruned_cell):
    cell = pruned_cell("snip")
    splits, masks = load(cell.data, CPU), {}
    untouched = start_chunk(cell, [0, 1], CPU)
    inputs, targets = Batches(untouched, splits.train).at(0, [0, 1])
    chunk = start_chunk(cell, [0, 1], CPU)
    train_chunk(chunk, splits, lambda chunk: masks.update(chunk.groups[0].masks))
    for lane in range(2):
        network = untouched.lanes.network.train()
        tensors = {name: tensor[lane].detach().clone() for name, tensor in untouched.lanes.parameters.items()}
        leaves = {name: tensor.requires_grad_() for name, tensor in tensors.items()}
        buffers = {name: tensor[lane].clone() for name, tensor in untouched.lanes.buffers.items()}
        logits = torch.func.functional_call(network, {**leaves, **buffers}, (inputs[lane],))
        torch.nn.functional.cross_entropy(logits, targets[lane]).backward()
        products = torch.cat([(leaves[name].grad * leaves[name]).abs().flatten() for name in masks])
        kept = torch.cat([mask[lane].flatten() for mask in masks.values()])
        assert int(kept.sum()) == round(0.2 * size(cell))
        assert products[kept].min() >= products[~kept].max() * (1 - 1e-5)


def test_gradual_pruning_follows_its_cubic_at_five_steps_and_removes_the_smallest(pruned_cell):
    cell, snapshots = pruned_cell("gmp", distribution="uniform"), {}

    def remember(chunk):
        (group,) = chunk.groups
        snapshots[chunk.step] = (
            dict(group.masks),
            {name: tensor.detach().clone() for name, tensor in group.lanes.parameters.items()},
        )

    trained(cell, after_step=remember)
    # pruning from step 1.2 to step 9.6; the update at step 10 is the first one behind it
    for update in (2, 4, 6, 8, 10):
        rest = 1 - min((update - 1.2) / 8.4, 1.0)
        density = 0.2 + 0.8 * rest**3
        masks, _ = snapshots[update + 1]
        before, weights = snapshots[update]
        for name, mask in masks.items():
            assert (mask.flatten(1).sum(1) - density * mask[0].numel()).abs().max() <= 1
            for lane in range(3):
                removed = before[name][lane] & ~mask[lane] if before else ~mask[lane]
                if removed.any():
                    magnitudes = weights[name][lane].abs()
                    assert magnitudes[removed].max() <= magnitudes[mask[lane]].min()
    assert not snapshots[1][0] and not snapshots[2][0]


def test_a_lottery_ticket_is_rewound_bit_for_bit_with_a_new_optimiser(pruned_cell, monkeypatch):
    cell, splits = pruned_cell("lottery", "adamw"), load(pruned_cell("lottery").data, CPU)
    first = start_chunk(cell, [0, 1, 2], CPU)
    start = {name: tensor.detach().clone() for name, tensor in first.lanes.parameters.items()}
    statistics = {name: tensor.clone() for name, tensor in first.lanes.buffers.items()}
    changes, starts = {}, {}

    class Spy(WeightPruning):
        def decide(self, view):
            decision = super().decide(view)
            (changes[view.step],) = decision.changes
            return decision

    monkeypatch.setattr(loop, "structure_of", lambda cell: Spy(cell.structure))
    chunk = start_chunk(cell, [0, 1, 2], CPU)
    train_chunk(chunk, splits, lambda chunk: starts.update({chunk.step: chunk.groups[0].since}))
    assert list(changes) == [0, 4, 8] and (starts[4], starts[5], starts[9]) == (0, 4, 8)
    for step in (4, 8):
        change = changes[step]
        assert change.kind == "rewound" and change.fresh_optimizer
        assert change.parameters.keys() == start.keys()
        assert all(torch.equal(tensor, start[name]) for name, tensor in change.parameters.items())
        assert all(torch.equal(tensor, statistics[name]) for name, tensor in change.buffers.items())
        share = 0.6 if step == 4 else 0.36
        kept = sum(mask.flatten(1).sum(1) for mask in change.masks.values())
        assert kept.tolist() == [round(share * size(cell))] * 3


def copied(state):
    """Return the state as a checkpoint gives it back."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


@pytest.mark.parametrize("rule", RULES)
def test_wherever_it_was_interrupted_a_chunk_ends_bit_identical(pruned_cell, rule):
    cell, saved = pruned_cell(rule, "adamw"), {}
    splits = load(cell.data, CPU)
    undisturbed = start_chunk(cell, [0, 1], CPU)
    train_chunk(undisturbed, splits, lambda chunk: saved.update({chunk.step: copied(chunk.state())}))
    for step in (1, 3, 5, 8, 10):
        resumed = start_chunk(cell, [0, 1], CPU)
        resumed.restore_(saved[step], CPU)
        train_chunk(resumed, splits)
        assert str(resumed.events) == str(undisturbed.events), step
        assert torch.equal(resumed.flops, undisturbed.flops), step
        for name, tensor in resumed.lanes.parameters.items():
            assert torch.equal(tensor, undisturbed.lanes.parameters[name]), (step, name)
        for name, curve in undisturbed.curves.items():
            if name != "seconds":
                assert torch.equal(curve.nan_to_num(-1), resumed.curves[name].nan_to_num(-1)), (step, name)


@pytest.mark.parametrize("rule", RULES)
def test_a_lane_is_what_its_seed_is_alone(pruned_cell, rule):
    cell = pruned_cell(rule)
    together, alone = trained(cell, (3, 1, 2)), trained(cell, (1,))
    for name, mask in alone.groups[0].masks.items():
        assert torch.equal(mask[0], together.groups[0].masks[name][1])


def test_all_rounds_of_a_lottery_ticket_cost_flops_and_dense_gradients_cost_more(pruned_cell):
    spent = {
        name: int(trained(pruned_cell(rule, **structure), (0,)).flops[0])
        for name, rule, structure in (
            ("ticket", "lottery", {}),
            ("snip", "snip", {}),
            ("masked", "gmp", {}),
            ("dense", "gmp", {"weight_gradients": "dense"}),
        )
    }
    assert spent["snip"] < spent["masked"] < spent["dense"]
    assert spent["ticket"] > 2 * spent["snip"]  # densities 1, .6 and .36 against .2


def test_convolutions_and_recurrent_weights_are_pruned_too(pruned_cell):
    chunk = trained(pruned_cell("gmp", model={"name": "resnet", "channels": "4-8"}), (0,))
    assert {mask.dim() for mask in chunk.groups[0].masks.values()} == {3, 5}
    assert torch.isfinite(chunk.curves["test_loss"][:, -1]).all()


@pytest.mark.parametrize(
    ("values", "steps"),
    [
        ({"rule": "snip"}, [0]),
        ({"update_every": 8}, [16, 24]),  # start at 10, end at 24
        ({"rule": "lottery", "rounds": 3, "epochs_per_round": 1}, [0, 8, 16, 24]),
    ],
)
def test_weights_are_pruned_when_the_rule_says_so(values, steps):
    structure = WeightPruning(WeightPruningParameters(**values))
    assert [step for step in range(40) if structure.is_due(Moment(step, 40, 8, False))] == steps
