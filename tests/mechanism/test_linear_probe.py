"""The probe against scikit-learn; untrained features over time against what is known of them."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeClassifier

from hornlib.data.loading import load
from hornlib.errors import ConfigError
from hornlib.grid.cell import parse_specification
from hornlib.mechanism.linear_probe import measure, probe_accuracy, with_timesteps
from hornlib.mechanism.ridge import Part, probe, ridge_weights
from hornlib.models.cnn.parameters import CnnParameters
from hornlib.models.horn.parameters import HornParameters
from hornlib.models.horn_cnn.parameters import HornCnnParameters
from hornlib.models.leaky_cnn.parameters import LeakyCnnParameters

SMALL = {"num_nodes": 2, "num_stages": 2, "timesteps": 4}


def blobs(num, seed):
    rng = np.random.default_rng(seed)
    classes = rng.integers(0, 3, num)
    return Part(np.eye(3)[classes] @ np.arange(12.0).reshape(3, 4) * 0.2 + rng.normal(size=(num, 4)), classes)


@pytest.mark.parametrize("shape", [(40, 5), (5, 40)])
def test_weights_are_scikit_learns(shape):
    rng = np.random.default_rng(0)
    features, targets = rng.normal(size=shape), rng.normal(size=(shape[0], 3))
    penalties = np.array([0.01, 1.0, 30.0])
    for penalty, weights in zip(penalties, ridge_weights(features, targets, penalties), strict=True):
        theirs = Ridge(alpha=penalty, fit_intercept=False, solver="cholesky", tol=1e-12).fit(
            features, targets
        )
        np.testing.assert_allclose(weights, theirs.coef_.T, rtol=1e-6, atol=1e-9)


def test_the_probes_accuracy_is_scikit_learns_at_the_strength_it_chose():
    train, validation, test = (blobs(num, seed) for seed, num in enumerate((200, 80, 300)))
    found = probe(train, validation, test)
    mean, deviation = train.features.mean(0), train.features.std(0)
    theirs = RidgeClassifier(alpha=found.strength * 200)
    theirs.fit((train.features - mean) / deviation, train.classes)
    expected = theirs.score((test.features - mean) / deviation, test.classes)
    assert found.accuracy == pytest.approx(expected)


def test_scale_and_offset_of_features_do_not_matter_and_a_dead_one_is_borne():
    parts = [blobs(num, seed) for seed, num in enumerate((200, 80, 300))]
    moved = [
        Part(np.c_[1e4 * part.features - 7, np.full(len(part.classes), 3.0)], part.classes) for part in parts
    ]
    assert probe(*moved) == probe(*parts)


@pytest.mark.parametrize("fields", [{}, {"gain": "reference"}, {"preset": "public"}, {"damping_ratio": 0.5}])
def test_other_timesteps_keep_the_oscillators_constants(fields):
    model = HornCnnParameters(**SMALL, **fields)
    longer = with_timesteps(model, 9)
    assert longer.timesteps == 9 and longer.oscillator(9) == model.oscillator(4)
    HornCnnParameters(**longer.model_dump())  # still valid


def test_other_timesteps_keep_the_leak_and_are_not_for_sequences_and_feed_forward_networks():
    model = LeakyCnnParameters(**SMALL, constant_drive_gain=0.7)
    shorter = with_timesteps(model, 2)
    assert shorter.resolved_leak_rate() == model.resolved_leak_rate()
    assert shorter.resolved_dc_gain() == model.resolved_dc_gain()
    LeakyCnnParameters(**shorter.model_dump())
    assert with_timesteps(CnnParameters(), 2) is None
    assert with_timesteps(HornParameters(), 2) is None
    assert with_timesteps(HornParameters(timesteps=8), 2).timesteps == 2


def test_without_recurrence_time_changes_gains_only_and_so_no_probe():
    specification = {"data": {"name": "digits"}, "model": {"name": "horn_cnn", "recurrence": "none", **SMALL}}
    cell = parse_specification(specification)
    splits = load(cell.data, "cpu")
    found = [
        probe_accuracy(cell, 0, with_timesteps(cell.model, timesteps), splits) for timesteps in (2, 4, 8)
    ]
    assert max(found) - min(found) <= 2 / 360
    tanh = parse_specification(
        {"data": {"name": "digits"}, "model": {"name": "cnn", "channels": "2-4", "activation": "tanh"}}
    )
    assert abs(probe_accuracy(tanh, 0, tanh.model, splits) - found[0]) <= 2 / 360


def test_the_experiment_pairs_the_first_contender_with_every_control(make_grid, study):
    sweeps = """
  arms:
    model:
      - {name: horn_cnn, num_nodes: 2, num_stages: 2, timesteps: 2}
      - {name: cnn, channels: 2-4}
"""
    ds = measure(study(make_grid(sweeps, seeds=7), "arms"))
    assert ds["timesteps"].values.tolist() == [1, 2, 4]
    own = ds["probe_accuracy_over_time"].sel(timesteps=2).values[0]
    assert own == pytest.approx(ds["probe_accuracy"].values[0])
    assert np.isnan(ds["probe_accuracy_over_time"].values[1]).all()
    difference = (ds["probe_accuracy"][0] - ds["probe_accuracy"][1]).mean()
    assert ds["lead"].item() == pytest.approx(float(difference))
    assert ds["num_lead"].item() == 7 and "horn_cnn over cnn" in ds.attrs["sentence"]


def test_a_network_that_reads_rows_has_no_other_number_of_steps(make_grid, study):
    sweeps = """
  arms:
    data: {presentation: rows}
    model: [{name: horn, num_nodes: 4}, {name: rnn, num_nodes: 4}]
"""
    ds = measure(study(make_grid(sweeps, seeds=2), "arms"))
    assert ds["probe_accuracy"].notnull().all() and ds["probe_accuracy_over_time"].isnull().all()
    assert ds.attrs["sentence"].endswith(
        "The timesteps of horn are not free, so that no other number was tried."
    )


def test_no_validation_part_is_refused(make_grid, study):
    grid = make_grid("  arms:\n    data: {validation: 0}\n    model: {name: cnn, channels: 2-4}\n", seeds=2)
    with pytest.raises(ConfigError, match=r"set data\.validation above 0"):
        measure(study(grid, "arms"))
