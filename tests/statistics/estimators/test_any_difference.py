"""The test of any difference: exact on small designs, near the tables of F, and honest about chosen rates."""

from itertools import product

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from hornlib.statistics.estimators.any_difference import any_difference, at_chosen_rates
from hornlib.statistics.influence import at_best_learning_rate


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def by_table(runs):
    """Return the p-value of F by its tables, for runs (cell, seed)."""
    cells, seeds = runs.shape
    residuals = runs - runs.mean(1, keepdims=True) - runs.mean(0) + runs.mean()
    within = (residuals**2).sum() / ((cells - 1) * (seeds - 1))
    between = seeds * runs.mean(1).var(ddof=1)
    return stats.f.sf(between / within, cells - 1, (cells - 1) * (seeds - 1))


def test_two_cells_are_the_sign_flip_test_of_paired_differences():
    runs = normal(2, 1, 7) + np.array([0.0, 0.6])[:, None, None]
    differences = runs[1, 0] - runs[0, 0]
    flips = np.array(list(product((-1, 1), repeat=7))) * differences
    exact = (np.abs(flips.mean(1)) >= abs(differences.mean()) - 1e-12).mean()
    assert any_difference(runs, runs, 0, draws=20_000) == pytest.approx(exact, abs=0.01)


@pytest.mark.parametrize("effect", [0.0, 0.5, 1.0])
def test_at_one_rate_it_agrees_with_the_tables_of_f(effect):
    runs = normal(6, 1, 10, seed=3) + effect * np.arange(6)[:, None, None] / 5
    assert any_difference(runs, runs, 0, draws=5000) == pytest.approx(by_table(runs[:, 0]), abs=0.025)


def test_what_a_seed_does_to_all_cells_changes_nothing():
    runs = normal(4, 3, 6)
    shifted = runs + 50 * normal(6, seed=1)
    assert any_difference(runs, runs, 0) == any_difference(shifted, shifted, 0)


def test_equal_cells_at_chosen_rates_are_rejected_as_often_as_promised_and_more_often_by_the_tables():
    """The best rate of a cell is chosen by noisy seeds, and the choice moves all seeds of the cell."""
    gaps = np.array([0.0, 0.5, 1.0])[:, None]
    p_values = []
    for place in range(400):
        runs = gaps + 0.3 * normal(27, 3, 5, seed=place)
        p_values.append((any_difference(runs, runs, place, draws=99), by_table(at_chosen_rates(runs, runs))))
    by_exchange, by_tables = (np.array(p_values) <= 0.05).mean(0)
    assert by_exchange < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 400)
    assert by_tables > 0.12


def test_a_clear_difference_has_the_smallest_p_value_there_is():
    runs = 0.1 * normal(4, 2, 7) + np.arange(4)[:, None, None]
    assert any_difference(runs, runs, 0, draws=999) == 0.001


def test_cells_without_noise_differ_and_equal_ones_cannot_be_tested():
    runs = np.broadcast_to(np.arange(4.0)[:, None, None], (4, 1, 7))
    assert any_difference(runs, runs, 0) == 0.001
    assert np.isnan(any_difference(np.full((4, 1, 7), 0.9), np.full((4, 1, 7), 0.9), 0))


@pytest.mark.parametrize("shape", [(1, 2, 7), (4, 2, 1)])
def test_one_cell_or_one_seed_cannot_be_tested(shape):
    assert np.isnan(any_difference(normal(*shape), normal(*shape), 0))


def test_a_rate_that_a_cell_lacks_is_never_chosen_for_it():
    runs = normal(4, 3, 7) + np.array([0.0, 5.0, 9.0])[:, None]
    gap = runs.copy()
    gap[2, 2] = np.nan  # the worst rate: whether it is there decides nothing
    assert any_difference(gap, gap, 0) == pytest.approx(any_difference(runs, runs, 0), abs=0.02)
    gap[2] = np.nan
    assert np.isnan(any_difference(gap, gap, 0))


def test_rates_are_chosen_as_the_influence_of_parameters_chooses_them():
    judged, chosen_by = normal(5, 3, 8), normal(5, 3, 8, seed=1)
    grids = [xr.DataArray(values, dims=("a", "learning_rate", "seed")) for values in (judged, chosen_by)]
    np.testing.assert_allclose(at_chosen_rates(judged, chosen_by), at_best_learning_rate(*grids))


def test_memory_does_not_decide_the_result(monkeypatch):
    runs = normal(6, 2, 7)
    whole = any_difference(runs, runs, 0)
    monkeypatch.setattr("hornlib.statistics.estimators.any_difference.NUMBERS_AT_ONCE", 500)
    assert any_difference(runs, runs, 0) == whole
