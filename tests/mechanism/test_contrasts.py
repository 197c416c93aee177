"""Planted worlds for the experiments on trained sweeps: what was put in comes out, and nothing else."""

import numpy as np
import pytest
import xarray as xr

from hornlib.errors import ConfigError
from hornlib.mechanism import frozen_recurrence, heterogeneity, resonance

FROZEN = """
  frozen_recurrence:
    model:
      - {name: horn_cnn, num_nodes: 2, num_stages: 2, timesteps: 2, recurrence_training: [learned, frozen]}
      - {name: cnn, channels: 2-4}
"""
DRAWS = """
  heterogeneity:
    model:
      - {name: horn_cnn, num_nodes: 4, num_stages: 2, timesteps: 8, heterogeneity: 1}
      - {name: horn_cnn, arm: uniform, num_nodes: 4, num_stages: 2, timesteps: 8, heterogeneity: 1,
         heterogeneity_draw: uniform}
      - {name: horn_cnn, arm: homogeneous, num_nodes: 4, num_stages: 2, timesteps: 8}
      - {name: horn_cnn, arm: faster, num_nodes: 4, num_stages: 2, timesteps: 8, num_cycles: 1.25, dc_gain: 0.64}
"""
CYCLES = """
  resonance:
    model:
      - {name: horn, num_nodes: 3, preset: unit_gain, num_cycles: [0.25, 0.5, 1, 2],
         data: {presentation: rows}}
      - {name: horn_cnn, num_nodes: 2, num_stages: 2, timesteps: 8, gain: reference, num_cycles: [0.5, 1]}
"""


def seeded(base):
    """Return times that vary from seed to seed alike in all arms, so that pairing takes it out."""
    return lambda contender, seed: base(contender) * (1 + 0.2 * (seed % 4))


def is_frozen(contender):
    return "frozen" in contender.label


def test_a_planted_cost_of_freezing_is_found(trained, study):
    grid = trained(FROZEN, seeded(lambda contender: 200 if is_frozen(contender) else 50))
    ds = frozen_recurrence.measure(study(grid, "frozen_recurrence"))
    assert ds["pair"].values.tolist() == [
        "horn_cnn recurrence_training=frozen over horn_cnn recurrence_training=learned"
    ]
    assert ds["ratio"].item() == pytest.approx(4, rel=0.15)
    assert ds["ratio_bound"].values[0, 0] > 1
    assert "freezing makes it slower" in ds.attrs["sentence"]


def test_no_cost_of_freezing_is_not_distinguished(trained, study):
    """In half of the pairs the one is faster, in the other half the other, by as much."""

    def reached_at(contender, seed):
        return 60 if is_frozen(contender) == (seed % 2 == 0) else 90

    ds = frozen_recurrence.measure(study(trained(FROZEN, reached_at), "frozen_recurrence"))
    assert ds["ratio_bound"].values[0, 0] < 1 < ds["ratio_bound"].values[0, 1]
    assert "not distinguished from 1" in ds.attrs["sentence"]


def test_contenders_whose_runs_miss_the_target_are_named(trained, study):
    def reached_at(contender, seed):
        return 2000 if is_frozen(contender) and seed else 50

    sentence = frozen_recurrence.measure(study(trained(FROZEN, reached_at), "frozen_recurrence")).attrs[
        "sentence"
    ]
    assert "the budget of its dataset, 1000 steps" in sentence
    assert sentence.endswith("The target is reached by 1 of 8 runs of horn_cnn recurrence_training=frozen.")


def test_bad_cells_of_an_arm_do_not_lower_the_target(trained, study):
    sweep = """
  frozen_recurrence:
    model: {name: horn_cnn, num_nodes: 2, num_stages: 2, timesteps: 2, recurrence_training: [learned, frozen]}
"""
    grid = trained(sweep, lambda contender, seed: 5000 if is_frozen(contender) else 50, final=0.9)
    ds = frozen_recurrence.measure(study(grid, "frozen_recurrence"))
    assert ds["target_level"].values == pytest.approx([0.1 + 0.9 * 0.8] * 2)  # frozen runs stay at chance


def test_few_seeds_say_that_they_are_not_enough(trained, study):
    grid = trained(FROZEN, seeded(lambda contender: 200 if is_frozen(contender) else 50), seeds=3)
    ds = frozen_recurrence.measure(study(grid, "frozen_recurrence"))
    assert "not enough data (n = 3" in ds.attrs["sentence"]


def test_a_log_uniform_draw_is_compared_at_equal_means_and_a_uniform_one_with_its_shift_too(trained, study):
    ds = heterogeneity.measure(study(trained(DRAWS, seeded(lambda contender: 80)), "heterogeneity"))
    assert ds["pair"].values.tolist() == [
        "horn_cnn over homogeneous",
        "uniform over homogeneous",
        "uniform over faster",
    ]
    gains, omega = (ds[name].mean("seed").values for name in ("mean_dc_gain", "mean_omega"))
    assert gains[[0, 2]] == pytest.approx(1) and gains[3] == pytest.approx(0.64)
    assert omega[3] == pytest.approx(1.25 * omega[2]) and omega[1] == pytest.approx(omega[3], rel=0.15)


def test_resonance_relates_an_arms_cells_and_says_that_a_constant_drive_has_none(trained, study):
    def base(contender):
        return 300 / (1 + float(contender.label.partition("num_cycles=")[2]))

    ds = resonance.measure(study(trained(CYCLES, seeded(base)), "resonance"))
    assert ds.sizes["pair"] == 4
    horn = ds.isel(contender=slice(4))
    assert (horn["resonance_frequency"].diff("contender") > 0).all()
    assert (horn["resonant_share"] > 1).any()
    assert ds["input_power"].sum("frequency").values == pytest.approx(np.ones(6))
    assert ds["resonant_share"].values[4:] == pytest.approx([1, 1])
    assert "horn_cnn: a constant drive has no power at any resonance" in ds.attrs["sentence"]
    assert "horn num_cycles=2 over horn num_cycles=1" in ds.attrs["sentence"]


@pytest.mark.parametrize("experiment", [frozen_recurrence, heterogeneity, resonance])
def test_a_sweep_without_the_contrast_is_refused_with_what_to_write(experiment, trained, study):
    grid = trained("  lone:\n    model: {name: cnn, channels: 2-4}\n", lambda contender, seed: 50)
    with pytest.raises(ConfigError, match="sweep 'lone' has no"):
        experiment.measure(study(grid, "lone"))


def test_every_variable_has_units_and_a_name_and_survives_netcdf(trained, study, tmp_path):
    ds = resonance.measure(study(trained(CYCLES, seeded(lambda contender: 60)), "resonance"))
    for name, values in ds.variables.items():
        assert {"units", "long_name"} <= set(values.attrs), name
    ds.to_netcdf(tmp_path / "one.nc")
    with xr.open_dataset(tmp_path / "one.nc") as again:
        xr.testing.assert_identical(again.load(), ds)
