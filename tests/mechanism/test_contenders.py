"""Labels of a sweep's cells, and the outcomes that results.nc has of them."""

import numpy as np
import pytest

from hornlib.errors import ConfigError, ResultsError
from hornlib.mechanism.contenders import contender_coordinates, contenders
from hornlib.mechanism.outcomes import outcomes, typical_steps
from hornlib.results.gather import gather

SWEEPS = """
  arms:
    model:
      - {name: horn_cnn, num_nodes: 2, num_stages: 2, timesteps: [2, 4], heterogeneity: 0.5}
      - {name: cnn, channels: 2-4}
"""


def test_a_label_names_what_tells_the_cells_of_an_arm_apart(make_grid):
    found = contenders(make_grid(SWEEPS), "arms")
    assert [contender.label for contender in found] == ["horn_cnn timesteps=2", "horn_cnn timesteps=4", "cnn"]
    assert [contender.arm for contender in found] == ["horn_cnn", "horn_cnn", "cnn"]


def test_datasets_are_told_where_there_are_several(make_grid):
    sweeps = "  arms:\n    data: {name: [digits, mnist]}\n    model: {name: cnn, channels: 2-4}\n"
    labels = [contender.label for contender in contenders(make_grid(sweeps), "arms")]
    assert labels == ["cnn dataset=digits", "cnn dataset=mnist"]


def test_coordinates_have_units_and_the_gain_where_there_is_one(make_grid):
    coordinates = contender_coordinates(contenders(make_grid(SWEEPS), "arms"))
    gains = coordinates["constant_drive_gain"][1]
    assert np.isfinite(gains[:2]).all() and np.isnan(gains[2])
    assert all({"units", "long_name"} <= set(entry[2]) for entry in coordinates.values())


def test_an_unknown_sweep_is_refused_with_the_nearest_name(make_grid):
    with pytest.raises(ConfigError, match=r"no sweep 'arm' \(did you mean 'arms'\?\)"):
        contenders(make_grid(SWEEPS), "arm")


def test_outcomes_stand_beside_their_contenders_and_a_miss_costs_the_budget(trained, study):
    def reached_at(contender, seed):
        return 10_000 if contender.arm == "cnn" and seed == 1 else 10 * (1 + len(contender.label))

    grid = trained(SWEEPS, reached_at, seeds=3)
    found = outcomes(study(grid, "arms"))
    steps = found["steps_to_target"].values
    evaluations = np.array(study(grid, "arms").results["step"])
    for row, contender in enumerate(study(grid, "arms").contenders[:2]):
        expected = evaluations[evaluations >= 10 * (1 + len(contender.label))].min()
        assert (steps[row] == expected).all()
    assert steps[2, 1] == 1000 and found["target_reached"].values[2].tolist() == [1, 0, 1]


def test_a_run_that_is_missing_is_not_known_and_the_others_still_count(trained, study):
    grid = trained(SWEEPS, lambda contender, seed: 30, seeds=3)
    gone = next(job for job in grid.jobs({}) if job.cell == contenders(grid, "arms")[1].cell.name)
    grid.run_path(gone).unlink()
    gather(grid, partial=True).close()
    results = grid.run_path(gone).parent.parent
    (results / "partial.nc").rename(results / "results.nc")
    found = outcomes(study(grid, "arms"))
    assert np.isnan(found["steps_to_target"].values).any(1).tolist() == [False, True, False]
    assert np.isnan(typical_steps(found)).tolist() == [False, True, False]


def test_an_arm_that_trains_for_fewer_steps_and_never_arrives_does_not_look_faster(trained, study):
    sweeps = """
  arms:
    model:
      - {name: cnn, channels: 2-4}
      - {name: cnn, arm: short, channels: 2-4, training: {steps: 200}}
"""

    def reached_at(contender, seed):
        return 10_000 if contender.arm == "short" else 500

    found = outcomes(study(trained(sweeps, reached_at, seeds=3), "arms"))
    steps = found["steps_to_target"].values
    assert (steps == steps[1, 0]).all() and steps[1, 0] <= 200
    assert (found["target_reached"] == 0).all()


def test_without_a_cnn_the_best_arm_sets_the_target(trained, study):
    sweeps = "  arms:\n    model:\n      - {name: cnn, arm: small, channels: 2-4}\n"
    found = outcomes(study(trained(sweeps, lambda contender, seed: 50, seeds=3), "arms"))
    assert (found["target_reached"] == 1).all()


def test_without_results_the_sweep_that_lacks_them_is_named(make_grid, study):
    with pytest.raises(ResultsError, match=r"snakemake --cores N arms"):
        outcomes(study(make_grid(SWEEPS), "arms"))
