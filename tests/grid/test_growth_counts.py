"""Counts of networks that grow: at the end, over the training, in matches and in plans."""

import pytest

from hornlib.errors import ConfigError
from hornlib.grid.cell import parse_specification
from hornlib.grid.matching import count, network_of
from hornlib.grid.planned import planned_costs
from hornlib.models.flops import training_step_flops
from hornlib.plan.estimates import training_forward_flops
from hornlib.results.coordinates import coordinate_values
from hornlib.training.width import numbers_a_step

GROWTH = {"name": "growth", "start_step": 10, "every_steps": 10, "final_factor": 2, "share": 0.5}


@pytest.fixture(autouse=True, scope="module")
def _counts_are_not_left_in_the_cache_of_the_user(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def cell_of(nodes="8-6", structure=None):
    return parse_specification(
        {
            "data": {"name": "digits"},
            "model": {"name": "mlp", "hidden_nodes": nodes, "activation": "tanh", "readout_norm": "none"},
            "structure": structure or {"name": "static"},
            "training": {"steps": 40, "batch_size": 100},
        }
    )


def test_parameters_and_forward_flops_are_those_at_the_end():
    grown, large = cell_of(structure=GROWTH), cell_of("16-12")
    assert grown.cost() == large.cost() == grown.computed_cost()
    for quantity in ("parameters", "forward_flops"):
        assert count(network_of(grown), quantity) == count(network_of(large), quantity)
    values = coordinate_values(grown).values
    assert values["forward_flops"] == values["computed_forward_flops"] == large.cost().flops.total
    assert (values["rule"], values["when"], values["place"]) == ("gradmax", "schedule", "all")


def test_training_flops_are_the_mean_over_the_steps():
    """10 steps of 8-6, 10 of 12-9 and 20 of 16-12."""
    parts = {"8-6": 10, "12-9": 10, "16-12": 20}
    expected = sum(
        steps * training_step_flops(cell_of(nodes).model, cell_of().task(), 100, "adamw").total
        for nodes, steps in parts.items()
    )
    actual = count(network_of(cell_of(structure=GROWTH)), "training_flops")
    assert actual == pytest.approx(expected / 40 / 100, rel=1e-4)


def test_device_seconds_follow_every_step_at_its_width():
    pieces = planned_costs(cell_of(structure=GROWTH))
    parts = {"8-6": 10, "12-9": 10, "16-12": 20}
    assert pieces == [(steps, cell_of(nodes).cost()) for nodes, steps in parts.items()]
    expected = sum(steps * cell_of(nodes).cost().flops.total for nodes, steps in parts.items())
    assert training_forward_flops(cell_of(structure=GROWTH)) == 100 * expected
    assert training_forward_flops(cell_of()) == 100 * 40 * cell_of().cost().flops.total


def test_lanes_are_as_many_as_the_largest_network_allows():
    assert numbers_a_step(cell_of(structure=GROWTH)) == numbers_a_step(cell_of("16-12"))


CONFIG = """
seeds: 2
statistics: {{baseline: large}}
defaults:
  data: {{name: digits}}
  training: {{steps: 40}}
  model: {{name: mlp, activation: tanh, readout_norm: none}}
sweeps:
  growing:
    model:
      - {{arm: {to}, hidden_nodes: 16-12{of_target}}}
      - {{arm: {rival}, hidden_nodes: 3-3, match: {{to: {to}, by: {by}}}{of_rival}}}
"""
STRUCTURE = ", structure: {{name: growth, start_step: 10, every_steps: 10{} }}"


def matched(grid_from, of_target="", of_rival="", by="parameters"):
    """Return the grid with a growing target, or a growing rival, or both."""
    to, rival = ("grown", "large") if of_target else ("large", "grown")
    text = CONFIG.format(to=to, rival=rival, of_target=of_target, of_rival=of_rival, by=by)
    return grid_from(text), rival


@pytest.mark.parametrize("by", ["parameters", "forward_flops", "training_flops"])
def test_arms_are_matched_to_and_from_growth_by_a_schedule(grid_from, by):
    growth = STRUCTURE.format(", final_factor: 2, share: 0.5")
    for sides in ({"of_target": growth}, {"of_rival": growth}):
        grid, rival = matched(grid_from, by=by, **sides)
        target = next(cell for name, cell in grid.cells.items() if grid.sweeps["growing"].arms[name] != rival)
        cell = next(cell for name, cell in grid.cells.items() if grid.sweeps["growing"].arms[name] == rival)
        counts = [count(network_of(one), by) for one in (target, cell)]
        assert counts[1] == pytest.approx(counts[0], rel=0.1)
        wider = network_of(cell).with_width(cell.model.width() + 1)
        assert abs(count(wider, by) - counts[0]) >= abs(counts[1] - counts[0])


@pytest.mark.parametrize("side", ["of_target", "of_rival"])
@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (", times: 2, when: singular_value", "when: singular_value"),
        (", most_parameters: 1600, place: random", "place: random without final_factor or final_units"),
    ],
)
def test_growth_to_an_unknown_size_is_not_matched(grid_from, side, values, reason):
    with pytest.raises(
        ConfigError, match=f"structure: growth with {reason} ends with another network in every run"
    ):
        matched(grid_from, **{side: STRUCTURE.format(values)})
