"""The choice: best on validation, ties and divergence settled by rule, and its file trusted only as written."""

import json

import numpy as np
import pytest

from hornlib.errors import ResultsError
from hornlib.grid.cell import Selection
from hornlib.results.selection_file import Choice, read_choice, read_choices, references, write_choice
from hornlib.results.tuning_file import read_trials
from hornlib.tuning.choice import TuningRuns, baseline_metric, choose


@pytest.fixture
def arms(tuned_grid):
    grid = tuned_grid()
    horn, cnn = grid.tuned_arms.values()
    cells = {
        cell.selected_for: cell for cell in grid.cells.values() if cell.tuned and cell.tuned.arm == horn.name
    }
    return horn, cnn, cells


def steps_of(arm):
    return np.array(arm.cell.training.evaluation_steps(arm.cell.data.num_train))


def reaching(arm, first_steps, final):
    """Return metrics, (trial, seed, step): 0.1 before the step that a trial reaches its target at, then its last."""
    steps = steps_of(arm)
    metric = np.full((arm.trials, arm.seeds, len(steps)), 0.1)
    for trial, (first, last) in enumerate(zip(first_steps, final, strict=True)):
        metric[trial, :, steps >= first] = last
    return metric


@pytest.fixture
def chosen(arms, tmp_path, write_arm):
    """Choose for an objective from metrics of the arm, where the baseline ends at 0.9."""
    horn, cnn, cells = arms

    def run(objective, metric, diverged=None):
        paths = tmp_path / f"{horn.name}.nc", tmp_path / f"{cnn.name}.nc"
        write_arm(paths[0], horn, metric, diverged)
        write_arm(paths[1], cnn, reaching(cnn, [5] * 4, [0.5, 0.9, 0.8, 0.7]))
        trials, baseline = (TuningRuns(read_trials(path)) for path in paths)
        return choose(cells[objective], trials, baseline if objective == "time_to_target" else None)

    return run


def test_the_fastest_trial_is_not_the_most_accurate_one(arms, chosen):
    metric = reaching(arms[0], [12, 3, 8, 15], [0.95, 0.85, 0.9, 0.99])
    assert chosen("time_to_target", metric).selection.trial == 1  # 0.82 is the level: 0.1 + 0.9 (0.9 - 0.1)
    assert chosen("final_metric", metric).selection.trial == 3


def test_scores_are_restricted_mean_samples_and_mean_last_metrics(arms, chosen):
    metric = reaching(arms[0], [12, 3, 8, 99], [0.95, 0.85, 0.9, 0.99])
    fast = chosen("time_to_target", metric)
    steps = steps_of(arms[0])
    expected = [64 * steps[steps >= first][0] for first in (12, 3, 8)]
    assert fast.scores == [*expected, 64 * 20]  # the one that never reaches it counts with the whole budget
    assert fast.reference == pytest.approx(0.9)
    best = chosen("final_metric", metric)
    assert best.scores == pytest.approx([0.95, 0.85, 0.9, 0.1]) and np.isnan(best.reference)


def test_of_equal_times_the_better_last_metric_decides(arms, chosen):
    metric = reaching(arms[0], [3, 3, 3, 8], [0.85, 0.9, 0.88, 0.99])
    assert chosen("time_to_target", metric).selection.trial == 1


def test_a_diverged_run_counts_as_the_whole_budget_and_as_chance(arms, chosen):
    metric = reaching(arms[0], [3, 5, 8, 8], [0.99, 0.9, 0.85, 0.85])
    metric[0, 1, -2:] = np.nan
    diverged = np.full((4, 2), np.nan)
    diverged[0, 1] = 19
    fast = chosen("time_to_target", metric, diverged)
    assert fast.selection.trial == 1
    assert fast.scores[0] == pytest.approx((64 * 3 + 64 * 20) / 2)
    assert chosen("final_metric", metric, diverged).scores[0] == pytest.approx((0.99 + 0.1) / 2)


def test_a_choice_at_the_edge_of_its_range_is_flagged(arms, chosen):
    ends = chosen("final_metric", reaching(arms[0], [3] * 4, [0.99, 0.5, 0.5, 0.5]))
    assert ends.at_edge == ["training.learning_rate", "model.num_cycles"]
    assert chosen("final_metric", reaching(arms[0], [3] * 4, [0.5, 0.99, 0.5, 0.5])).at_edge == []


def test_the_reference_is_the_median_over_tuning_seeds_of_the_baselines_best_trial(arms, tmp_path, write_arm):
    _, cnn, _ = arms
    metric = reaching(cnn, [5] * 4, [0.5, 0.9, 0.8, 0.7])
    metric[1, 0, -1] = 0.8
    path = tmp_path / f"{cnn.name}.nc"
    write_arm(path, cnn, metric)
    assert baseline_metric(read_trials(path)) == pytest.approx(0.85)


def test_a_selection_comes_back_as_it_was_written(arms, chosen, tmp_path):
    choice = chosen("time_to_target", reaching(arms[0], [12, 3, 8, 15], [0.95, 0.85, 0.9, 0.99]))
    path = tmp_path / f"{choice.cell}.json"
    write_choice(path, choice)
    assert read_choice(path) == choice


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"trial": 1', '"trial": 2'),
        lambda text: json.dumps({**json.loads(text), "schema_version": 99}),
        lambda text: "[]",
        lambda text: "",
    ],
)
def test_a_selection_that_was_damaged_or_edited_is_refused_by_name(arms, chosen, tmp_path, damage):
    choice = chosen("time_to_target", reaching(arms[0], [12, 3, 8, 15], [0.95, 0.85, 0.9, 0.99]))
    path = tmp_path / f"{choice.cell}.json"
    write_choice(path, choice)
    path.write_text(damage(path.read_text()))
    with pytest.raises(ResultsError, match=choice.cell):
        read_choice(path)


def test_trials_that_were_cut_short_or_renamed_are_refused_by_name(arms, tmp_path, write_arm):
    horn, _, _ = arms
    path = tmp_path / f"{horn.name}.nc"
    write_arm(path, horn, reaching(horn, [3] * 4, [0.9] * 4))
    other = tmp_path / "digits-cnn-000000000000.nc"
    other.write_bytes(path.read_bytes())
    path.write_bytes(path.read_bytes()[:-400])
    for bad in (path, other):
        with pytest.raises(ResultsError, match=bad.name):
            read_trials(bad)
    with pytest.raises(ResultsError, match="no trials yet"):
        read_trials(tmp_path / "digits-cnn-111111111111.nc")


def test_arms_that_were_tuned_on_different_examples_are_refused(arms, tmp_path, write_arm):
    horn, cnn, cells = arms
    runs = []
    for arm, digest in ((horn, "a" * 16), (cnn, "b" * 16)):
        path = tmp_path / f"{arm.name}.nc"
        write_arm(path, arm, reaching(arm, [3] * 4, [0.9] * 4), data_digest=digest)
        runs.append(TuningRuns(read_trials(path)))
    assert choose(cells["final_metric"], runs[0], None)
    with pytest.raises(ResultsError, match=f"different examples: .*{horn.name}.nc; .*{cnn.name}.nc"):
        choose(cells["time_to_target"], *runs)


def test_the_reference_of_a_dataset_is_known_once_its_baseline_is_chosen(tuned_grid):
    one = ("data: {name: digits}", "data: {name: digits, train_subset: 200}")
    two = (one[0], "data: [{name: digits}, {name: photo_patches, presentation: image}]")
    for replacement, num_datasets in ((one, 1), (two, 2)):
        grid = tuned_grid(replacement)
        timed = [cell for cell in grid.cells.values() if cell.selected_for == "time_to_target"]
        assert read_choices(grid) == {}
        choices = {
            cell.name: Choice(
                cell.name, Selection(0, {}), [], [1.0], 0.5 + 0.1 * (cell.data.name != "digits"), {}
            )
            for cell in timed
        }
        found = references(grid, choices)["tuned"]
        assert found["digits"] == 0.5 and len(found) == num_datasets
        first = {timed[0].name: choices[timed[0].name]}
        assert references(grid, first) == {"tuned": {"digits": 0.5}}
