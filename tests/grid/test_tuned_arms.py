"""A tuned sweep: which cells and trials it means, what names them, and what is refused."""

import json

import pytest

from hornlib.config.reading import FIRST_TUNING_SEED
from hornlib.errors import ConfigError
from hornlib.grid.cell import Selection, parse_specification
from hornlib.grid.tuned_arms import TunedArm


def cells_of(grid, arm):
    sweep = grid.sweeps["tuned"]
    return {
        grid.cells[name].selected_for: grid.cells[name] for name, label in sweep.arms.items() if label == arm
    }


def test_each_arm_has_its_cell_by_default_and_one_for_each_objective(tuned_grid):
    grid = tuned_grid()
    for arm in ("horn", "cnn"):
        assert list(cells_of(grid, arm)) == ["", "time_to_target", "final_metric"]
    assert len(grid.tuned_arms) == 2
    assert {(arm.trials, arm.seeds) for arm in grid.tuned_arms.values()} == {(4, 2)}


def test_the_cell_by_default_takes_the_replaced_value_the_given_default_or_the_parameters_own(tuned_grid):
    assert cells_of(tuned_grid(), "cnn")[""].training.learning_rate == 3e-3  # what the range replaces
    assert cells_of(tuned_grid(), "horn")[""].model.num_cycles is None  # the parameter's own
    given = tuned_grid(("high: 0.6, scale: log", "high: 0.6, scale: log, default: 0.5"))
    assert cells_of(given, "horn")[""].model.num_cycles == 0.5


def test_tuning_seeds_are_none_of_the_sweeps(tuned_grid):
    grid = tuned_grid()
    arm = next(iter(grid.tuned_arms.values()))
    assert arm.all_seeds() == [FIRST_TUNING_SEED, FIRST_TUNING_SEED + 1]
    assert not {*arm.all_seeds()} & {seed for seeds in grid.seeds.values() for seed in seeds}


def names(grid, arm="horn"):
    return {objective: cell.name for objective, cell in cells_of(grid, arm).items()}


@pytest.mark.parametrize(
    ("replacement", "changed"),
    [
        (("low: 0.3", "low: 0.2"), {"time_to_target", "final_metric"}),
        (("trials: 4", "trials: 8"), {"time_to_target", "final_metric"}),
        (("seeds: 2}", "seeds: 3}"), {"time_to_target", "final_metric"}),
        (("{baseline: cnn}", "{baseline: cnn, target: 0.8}"), {"time_to_target"}),
        (("{baseline: cnn}", "{baseline: cnn, confirm: 3}"), {"time_to_target"}),
        (("{baseline: cnn}", "{baseline: horn}"), {"time_to_target"}),
        (("learning_rate: 3e-3", "learning_rate: 4e-3"), {""}),
        (("seeds: 3\n", "seeds: 5\n"), set()),
        (("{baseline: cnn}", "{baseline: cnn, margin: 0.02}"), set()),
        (("steps: 20", "steps: 30"), {"", "time_to_target", "final_metric"}),
    ],
)
def test_a_name_changes_with_what_the_choice_depends_on_and_with_nothing_else(
    tuned_grid, replacement, changed
):
    before, after = names(tuned_grid()), names(tuned_grid(replacement))
    assert {objective for objective in before if before[objective] != after[objective]} == changed


def test_a_tuned_arm_and_cell_survive_the_command_line(tuned_grid):
    grid = tuned_grid()
    for arm in grid.tuned_arms.values():
        again = TunedArm.parse(json.loads(json.dumps(arm.document())))
        assert again.name == arm.name and again.ranges == arm.ranges
    for cell in grid.cells.values():
        again = parse_specification(json.loads(json.dumps(cell.job_specification())))
        assert again.name == cell.name and again.tuned == cell.tuned


def test_chosen_values_change_the_specification_and_not_the_name(tuned_grid):
    cell = cells_of(tuned_grid(), "horn")["time_to_target"]
    chosen = {"training.learning_rate": 0.02, "model.num_cycles": 0.4}
    resolved = cell.resolved(Selection(2, chosen))
    assert resolved.name == cell.name
    assert (resolved.training.learning_rate, resolved.model.num_cycles) == (0.02, 0.4)
    assert resolved.specification()["training"]["steps"] == 20


TUNE = "num_cycles: {tune: {low: 0.3, high: 0.6, scale: log}}"


@pytest.mark.parametrize(
    ("replacement", "told"),
    [
        ((TUNE, "num_cycles: [0.3, 0.6]"), ["model[0].num_cycles", "no lists"]),
        ((TUNE, "num_cycles: {tune: {low: 0.6, high: 0.3}}"), ["num_cycles.tune", "low must be below high"]),
        ((TUNE, "num_cycles: {tune: {low: 0, high: 1, scale: log}}"), ["needs a low above 0"]),
        ((TUNE, "num_cycles: {tune: {low: 0.3}}"), ["num_cycles.tune.high", "needs this parameter"]),
        ((TUNE, "num_cycles: {tune: {low: 0.3, high: 0.6, sacle: log}}"), ["did you mean 'scale'?"]),
        ((TUNE, "num_cycles: {range: {low: 0.3}}"), ["expected a value or {tune:"]),
        ((TUNE, "cycles: {tune: {low: 0.3, high: 0.6}}"), ["did you mean 'num_cycles'?"]),
        ((TUNE, "num_stages: {tune: {low: 1, high: 2}}"), ["num_stages", "expected an integer"]),
        ((TUNE, "num_cycles: {tune: {low: 0.3, high: 1e9}}"), ["num_cycles", "must be at most"]),
        (
            ("{baseline: cnn}", "{baseline: cn}"),
            ["statistics.baseline", "no arm 'cn' on digits", "horn, cnn"],
        ),
        (("batch_size: 64", "batch_size: [32, 64]"), ["training.batch_size", "no lists"]),
        (("trials: 4", "trials: 0"), ["tuning.trials", "must be at least 1"]),
        (("trials: 4", "trials: 4, objectives: [speed]"), ["objectives", "unknown 'speed'"]),
        (("data: {name: digits}", "data: {name: digits, train_subset: [100, 200]}"), []),
    ],
)
def test_a_mistake_in_a_tuned_sweep_is_told_with_its_key(tuned_grid, replacement, told):
    if not told:  # datasets are the one list there may be: each is a workload of its own
        assert len(tuned_grid(replacement).tuned_arms) == 4
        return
    with pytest.raises(ConfigError) as error:
        tuned_grid(replacement)
    for words in told:
        assert words in str(error.value)


def test_a_range_outside_a_tuned_sweep_is_refused(tuned_grid):
    with pytest.raises(ConfigError, match="ranges belong to a sweep with `tuning:`"):
        tuned_grid(("    tuning: {trials: 4, seeds: 2}\n", ""))
