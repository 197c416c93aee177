"""The second stage of tuning: who is trained again, which seeds judge, and how much selection noise is left."""

import hashlib
import json

import numpy as np
import pytest

from hornlib.errors import ConfigError, ResultsError
from hornlib.grid.finalists import FinalistStage
from hornlib.results.choice_variables import choice_variables
from hornlib.results.selection_file import read_choice, write_choice
from hornlib.results.tuning_file import read_trials
from hornlib.tuning.choice import TuningRuns, choose, pick_finalists

PLAIN = "tuning: {trials: 4, seeds: 2}"
FINALISTS = (PLAIN, "tuning: {trials: 4, seeds: 2, finalists: {trials: 2, seeds: 3}}")


def stage_of(grid, model):
    return next(stage for stage in grid.finalist_stages.values() if stage.cell.model.name == model)


def cells_of(grid, model):
    return {
        cell.selected_for: cell for cell in grid.cells.values() if cell.tuned and cell.model.name == model
    }


def curves(stage, first_steps, last):
    """Return metrics (trial, seed, step) of .1 before the step where the target is reached; a value or one a seed."""
    steps = np.array(stage.cell.training.evaluation_steps(stage.cell.data.num_train))
    shape = (len(first_steps), stage.seeds, len(steps))
    first = np.broadcast_to(np.array(first_steps).reshape(len(first_steps), -1, 1), shape)
    final = np.broadcast_to(np.array(last, float).reshape(len(last), -1, 1), shape)
    return np.where(steps >= first, final, 0.1)


@pytest.fixture
def tuned(tuned_grid, tmp_path, write_arm):
    """Return the grid and a function that writes one stage and reads it again."""
    grid = tuned_grid(FINALISTS)

    def runs(stage, first_steps, last, trials=None):
        path = tmp_path / f"{stage.name}.nc"
        write_arm(path, stage, curves(stage, first_steps, last), trials=trials)
        return read_trials(path)

    return grid, runs


@pytest.fixture
def baseline(tuned):
    """Return the baseline's runs: A is .9 after the first stage and .7 after the second."""
    grid, runs = tuned
    stage = stage_of(grid, "cnn")
    first = runs(stage.arm, [5] * 4, [0.5, 0.9, 0.8, 0.6])
    return TuningRuns(first, runs(stage, [5, 5], [0.4, 0.7], trials=[1, 2]))


def test_each_objective_has_its_own_finalists_and_all_seeds_are_fresh(tuned, baseline):
    grid, runs = tuned
    stage = stage_of(grid, "horn_cnn")
    trials = runs(stage.arm, [12, 3, 8, 15], [0.95, 0.85, 0.9, 0.99])
    picked = pick_finalists(stage, trials, baseline.trials)
    assert picked == {"time_to_target": [1, 2], "final_metric": [0, 3]}
    assert stage.all_seeds() == [1002, 1003, 1004]
    assert not set(stage.all_seeds()) & {*stage.arm.all_seeds(), *next(iter(grid.seeds.values()))}
    assert stage.most_trials == 4


def test_the_choice_is_made_among_the_finalists_over_the_seeds_of_both_stages(tuned, baseline):
    grid, runs = tuned
    stage, cells = stage_of(grid, "horn_cnn"), cells_of(grid, "horn_cnn")
    first = runs(stage.arm, [12, 3, 8, 15], [0.95, 0.85, 0.9, 0.99])
    # trial 3 was lucky at first: (2 x .99 + 3 x .8) / 5 = .876 is less than the .95 of trial 0
    second = runs(stage, [12, 9, 3, 15], [0.95, 0.85, 0.9, 0.8], trials=[0, 1, 2, 3])
    best = choose(cells["final_metric"], TuningRuns(first, second), None)
    assert best.selection.trial == 0 and best.finalists == (0, 3)
    assert best.scores == pytest.approx([0.95, 0.85, 0.9, 0.99])
    fast = choose(cells["time_to_target"], TuningRuns(first, second), baseline)
    assert fast.selection.trial == 2 and fast.finalists == (1, 2)


def test_the_level_of_the_target_rests_on_the_baselines_finalists(tuned, baseline):
    grid, runs = tuned
    stage, cells = stage_of(grid, "horn_cnn"), cells_of(grid, "horn_cnn")
    arm = TuningRuns(
        runs(stage.arm, [12, 3, 8, 15], [0.95, 0.85, 0.9, 0.99]),
        runs(stage, [12, 3, 8, 15], [0.95, 0.85, 0.9, 0.99], trials=[0, 1, 2, 3]),
    )
    # trial 1 has (2 x .9 + 3 x .4) / 5 = .6, trial 2 has (2 x .8 + 3 x .7) / 5 = .74 and the median .7
    assert choose(cells["time_to_target"], arm, baseline).reference == pytest.approx(0.7)
    own = choose(cells_of(grid, "cnn")["final_metric"], baseline, None)
    assert own.selection.trial == 2  # the trial that sets the level


def test_the_cost_of_tuning_holds_both_stages(tuned, baseline):
    grid, runs = tuned
    stage = stage_of(grid, "horn_cnn")
    first = runs(stage.arm, [12, 3, 8, 15], [0.95, 0.85, 0.9, 0.99])
    second = runs(stage, [12, 15], [0.9, 0.9], trials=[0, 3])
    cell = cells_of(grid, "horn_cnn")["final_metric"]
    one = choose(cell, TuningRuns(first, second), None).cost
    assert one["samples"] == 64 * 20 * (4 * 2 + 2 * 3)
    assert one["training_flops"] == 200 * (4 * 2 + 2 * 3)


def test_results_tell_how_many_trials_parameters_and_finalists_an_arm_had(tuned, baseline):
    grid, runs = tuned
    stage, cell = stage_of(grid, "horn_cnn"), cells_of(grid, "horn_cnn")["final_metric"]
    arm = TuningRuns(
        runs(stage.arm, [12, 3, 8, 15], [0.95, 0.85, 0.9, 0.99]),
        runs(stage, [12, 15], [0.9, 0.9], trials=[0, 3]),
    )
    found = choice_variables(["untuned", cell.name], {cell.name: choose(cell, arm, None)})
    numbers = {"tuning_trials": 4, "tuned_parameters": 2, "tuning_finalists": 2}
    for name, number in numbers.items():
        np.testing.assert_array_equal(found[name], [np.nan, number])


def test_finalists_that_do_not_follow_from_the_trials_are_refused(tuned, baseline):
    grid, runs = tuned
    stage = stage_of(grid, "horn_cnn")
    first = runs(stage.arm, [12, 3, 8, 15], [0.95, 0.85, 0.9, 0.99])
    second = runs(stage, [12, 15], [0.9, 0.9], trials=[0, 1])
    with pytest.raises(ResultsError, match=f"{stage.name}.nc: its finalists do not follow"):
        choose(cells_of(grid, "horn_cnn")["final_metric"], TuningRuns(first, second), None)


def test_a_selection_with_finalists_comes_back_as_it_was_written(tuned, baseline, tmp_path):
    grid, _ = tuned
    choice = choose(cells_of(grid, "cnn")["final_metric"], baseline, None)
    path = tmp_path / f"{choice.cell}.json"
    write_choice(path, choice)
    read = read_choice(path)
    assert read._replace(reference=0) == choice._replace(reference=0) and np.isnan(read.reference)


def test_a_selection_file_of_before_with_the_finalists_scores_is_still_read(tuned, baseline, tmp_path):
    grid, _ = tuned
    choice = choose(cells_of(grid, "cnn")["final_metric"], baseline, None)
    path = tmp_path / f"{choice.cell}.json"
    write_choice(path, choice)
    body = json.loads(path.read_text()) | {"finalist_scores": [0.6, 0.74]}
    del body["digest"]
    digest = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    path.write_text(json.dumps(body | {"digest": digest}))
    assert read_choice(path).finalists == choice.finalists


def test_a_second_stage_survives_the_command_line(tuned):
    grid, _ = tuned
    for stage in grid.finalist_stages.values():
        again = FinalistStage.parse(json.loads(json.dumps(stage.document())))
        assert again.name == stage.name and again.document() == stage.document()
    with pytest.raises(ConfigError, match="--stage: not understood"):
        FinalistStage.parse({"arm": {}, "trials": 2})


def test_finalists_give_the_cells_new_names_and_keep_the_first_stage(tuned_grid):
    without, with_finalists = tuned_grid(), tuned_grid(FINALISTS)
    assert list(without.tuned_arms) == list(with_finalists.tuned_arms)
    kept = set(without.cells) & set(with_finalists.cells)
    assert {without.cells[name].selected_for for name in kept} == {""}
    # what is chosen for the final metric does not depend on the target
    other = tuned_grid(FINALISTS, ("{baseline: cnn}", "{baseline: cnn, target: 0.8}"))
    changed = [name for name in with_finalists.cells if name not in other.cells]
    assert {with_finalists.cells[name].selected_for for name in changed} == {"time_to_target"}


def test_the_baseline_has_finalists_for_the_level_even_where_only_time_is_tuned_for(tuned_grid):
    only = (PLAIN, FINALISTS[1].replace("seeds: 2,", "seeds: 2, objectives: [time_to_target],"))
    grid = tuned_grid(only)
    assert stage_of(grid, "horn_cnn").objectives == ("time_to_target",)
    assert stage_of(grid, "cnn").objectives == ("time_to_target", "final_metric")
    last = tuned_grid((PLAIN, FINALISTS[1].replace("seeds: 2,", "seeds: 2, objectives: [final_metric],")))
    assert {stage.baseline for stage in last.finalist_stages.values()} == {""}


@pytest.mark.parametrize(
    ("finalists", "told"),
    [
        ("{trials: 5, seeds: 8}", ["finalists.trials", "got 5 finalists of 4 trials; valid: 1 to 4"]),
        ("{trials: 0}", ["finalists.trials", "must be at least 1"]),
        ("{trials: 2, seeds: -1}", ["finalists.seeds", "must be at least 1"]),
        ("{trials: 2.5}", ["finalists.trials", "expected an integer"]),
        ("{trials: 2, seeds: many}", ["finalists.seeds", "expected an integer"]),
        ("{trial: 2}", ["finalists.trial", "did you mean 'trials'?"]),
        ("4", ["finalists", "expected keys such as `trials:`, found 4"]),
        ("[4, 8]", ["finalists", "expected keys such as `trials:`"]),
    ],
)
def test_a_mistake_in_the_finalists_is_told_with_line_and_key(tuned_grid, finalists, told):
    with pytest.raises(ConfigError) as error:
        tuned_grid((PLAIN, f"tuning:\n      trials: 4\n      seeds: 2\n      finalists: {finalists}"))
    for words in ["config.yaml:17: sweeps.tuned.tuning.", *told]:
        assert words in str(error.value)


def test_null_switches_the_second_stage_off(tuned_grid):
    grid = tuned_grid((PLAIN, "tuning: {trials: 4, seeds: 2, finalists: null}"))
    assert not grid.finalist_stages and list(grid.cells) == list(tuned_grid().cells)
