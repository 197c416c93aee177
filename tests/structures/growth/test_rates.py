"""Learning rates by the stage of growth at which weights came."""

import pytest
import torch

from hornlib.models import MODELS
from hornlib.parameters import Task
from hornlib.structures.growth.births import FIRST
from hornlib.structures.growth.rates import stage_rates

TASK = Task((3,), 2)
MLP = MODELS["mlp"](hidden_nodes=(2, 3), activation="tanh", readout_norm="none")
SHAPES = {"linears.0.weight": (2, 3), "linears.1.weight": (3, 2), "readout.linear.weight": (2, 3)}


def test_a_factor_is_the_norm_of_the_weights_of_a_stage_relative_to_the_first_ones():
    draw = torch.Generator().manual_seed(0)
    values = {name: torch.randn(1, *shape, generator=draw) for name, shape in SHAPES.items()}
    births = {"born/0": torch.tensor([[FIRST, 5]]), "born/1": torch.tensor([[FIRST, 5, 9]])}
    rates = stage_rates(MLP, TASK, values, births)
    assert rates.keys() == {f"rate/{name}" for name in SHAPES}
    stages = {
        "linears.0.weight": [[FIRST] * 3, [5] * 3],
        "linears.1.weight": [[FIRST, 5], [5, 5], [9, 9]],
        "readout.linear.weight": [[FIRST, 5, 9]] * 2,
    }
    for name, of_entries in stages.items():
        weight, stage = values[name][0], torch.tensor(of_entries)
        for step in (FIRST, 5, 9):
            expected = weight[stage == step].norm() / weight[stage == FIRST].norm()
            actual = rates[f"rate/{name}"][0][stage == step]
            torch.testing.assert_close(actual, expected.expand_as(actual))


def test_weights_of_zero_keep_the_common_rate():
    values = {name: torch.ones(1, *shape) for name, shape in SHAPES.items()}
    values["readout.linear.weight"][:, :, 2] = 0
    births = {"born/0": torch.tensor([[FIRST, FIRST]]), "born/1": torch.tensor([[FIRST, FIRST, 5]])}
    assert (stage_rates(MLP, TASK, values, births)["rate/readout.linear.weight"] == 1).all()


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_updates_of_new_weights_are_multiplied_by_their_factors(growth_cell, trained, optimizer):
    """A chunk just after growth makes a step; the same chunk with factors of 1 makes the step without them."""
    cell = growth_cell(rule="variance_transfer", times=1, share=0.5, optimizer=optimizer)
    moved, factors = [], {}
    for with_factors in (True, False):
        chunk = trained(cell, seeds=(0, 1), steps=3)
        assert not any(name.startswith("rate/") for name in chunk.groups[0].memory)
        before = {}

        def remember(chunk, with_factors=with_factors, before=before):
            (group,) = chunk.groups
            if chunk.step == 4:
                before.update(
                    {name: tensor.detach().clone() for name, tensor in group.lanes.parameters.items()}
                )
                for name, tensor in group.memory.items():
                    if name.startswith("rate/"):
                        factors[name.removeprefix("rate/")] = tensor.clone()
                        if not with_factors:
                            tensor.fill_(1)

        # the event is before step 4, whose factors are those of the rule in both chunks
        chunk = trained(cell, seeds=(0, 1), steps=5, after_step=remember)
        after = chunk.groups[0].lanes.parameters
        moved.append({name: after[name].detach() - before[name] for name in before})
        if with_factors:
            expected_factors = dict(factors)
    assert expected_factors.keys() == {"linears.0.weight", "linears.1.weight", "readout.linear.weight"}
    for name, step in moved[0].items():
        factor = expected_factors.get(name, torch.ones_like(step))
        torch.testing.assert_close(step, moved[1][name] * factor, rtol=1e-3, atol=1e-6)
        if name in expected_factors:
            assert (factor != 1).any()


def test_factors_grow_with_the_network(growth_cell, trained):
    chunk = trained(growth_cell(rule="variance_transfer", times=2, share=0.5), steps=8)
    (group,) = chunk.groups
    for name, tensor in group.memory.items():
        if name.startswith("rate/"):
            assert tensor.shape == group.lanes.parameters[name.removeprefix("rate/")].shape
            assert len(tensor[0].unique()) == 3
