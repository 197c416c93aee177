"""The fraction reached and the log-rank test, against scipy."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import CensoredData, binomtest, ecdf, logrank

from hornlib.statistics.estimators.survival import fraction_reached, log_rank


def groups(num_groups=6, num_runs=12, tied=True, seed=0, leave=2.0):
    """Return times and events of some groups of runs, (group, seed)."""
    random = np.random.default_rng(seed)
    times = random.exponential(1.0, (num_groups, num_runs)) * np.linspace(0.5, 2, num_groups)[:, None]
    ends = random.exponential(leave, times.shape)
    event, times = times <= ends, np.minimum(times, ends)
    if tied:
        times = np.ceil(5 * times) / 5
    dims = ("group", "seed")
    return xr.DataArray(times, dims=dims), xr.DataArray(event, dims=dims)


def at(*points):
    return xr.DataArray(np.array(points, float), dims="time_index")


@pytest.mark.parametrize("tied", [True, False])
def test_the_curve_is_scipys_kaplan_meier(tied):
    time, event = groups(tied=tied)
    points = np.sort(np.concatenate([np.linspace(0.05, 4, 30), np.unique(time)[::7]]))
    found = fraction_reached(time, event, at(*points))["fraction_reached"]
    for row, own, happened in zip(found.values, time.values, event.values, strict=True):
        runs = CensoredData(uncensored=own[happened], right=own[~happened])
        np.testing.assert_allclose(row, ecdf(runs).cdf.evaluate(points), atol=1e-12)


@pytest.mark.parametrize("reached", range(8))
def test_bands_are_clopper_pearsons_while_only_the_budget_censors(reached):
    time = xr.DataArray([*range(1, reached + 1), *[10] * (7 - reached)], dims="seed").astype(float)
    found = fraction_reached(time, time < 10, at(9, 10), alpha=0.1)
    expected = binomtest(reached, 7).proportion_ci(0.9, method="exact")
    for bounds in found["fraction_bound"].values:
        np.testing.assert_allclose(bounds, [expected.low, expected.high], atol=1e-9)
    np.testing.assert_allclose(found["fraction_reached"], reached / 7)


def test_bands_hold_the_curve_and_widen_where_runs_leave():
    time, event = groups()
    points = at(*np.linspace(0.1, 3, 20))
    found = fraction_reached(time, event, points)
    low, high = (found["fraction_bound"].sel(bound=bound) for bound in ("low", "high"))
    assert ((low <= found["fraction_reached"]) & (found["fraction_reached"] <= high)).all()
    stayed = fraction_reached(time, xr.ones_like(event), points)["fraction_bound"]
    assert float((high - low).mean()) > float((stayed.sel(bound="high") - stayed.sel(bound="low")).mean())


def test_missing_runs_do_not_count():
    time, event = groups(num_groups=1)
    gaps = time.pad(seed=(0, 3))
    found = fraction_reached(gaps, event.pad(seed=(0, 3), constant_values=False), at(0.5, 1, 2))
    xr.testing.assert_allclose(found, fraction_reached(time, event, at(0.5, 1, 2)))


def test_without_runs_or_times_there_is_nothing():
    nothing = xr.DataArray([[np.nan, np.nan], [1, 2]], dims=("group", "seed"))
    found = fraction_reached(nothing, nothing.notnull(), at(1, np.nan))
    np.testing.assert_array_equal(found["fraction_reached"], [[np.nan, np.nan], [0.5, np.nan]])
    np.testing.assert_array_equal(
        np.isnan(found["fraction_bound"]).all("bound"), [[True, True], [False, True]]
    )


@settings(max_examples=40)
@given(st.lists(st.tuples(st.integers(1, 5), st.booleans()), min_size=1, max_size=8))
def test_it_grows_with_time_and_stays_within_its_bands(runs):
    time = xr.DataArray([float(time) for time, _ in runs], dims="seed")
    found = fraction_reached(time, xr.DataArray([event for _, event in runs], dims="seed"), at(*range(7)))
    curve, bounds = found["fraction_reached"].values, found["fraction_bound"].values
    assert (np.diff(curve) >= -1e-12).all() and (np.diff(bounds, axis=0) >= -1e-9).all()
    assert (bounds[:, 0] <= curve + 1e-9).all() and (curve <= bounds[:, 1] + 1e-9).all()


@pytest.mark.parametrize("tied", [True, False])
def test_the_log_rank_test_is_scipys(tied):
    time, event = groups(tied=tied)
    other, other_event = (values.isel(group=slice(None, None, -1)) for values in groups(num_runs=9, seed=1))
    found = log_rank(time, event, other, other_event)
    for index, p_value in enumerate(found.values):
        pair = [
            CensoredData(uncensored=own[happened], right=own[~happened])
            for own, happened in (
                (time[index].values, event[index].values),
                (other[index].values, other_event[index].values),
            )
        ]
        assert p_value == pytest.approx(logrank(*pair).pvalue, rel=1e-9)


def test_all_pairs_at_once_are_each_pair_alone_and_order_does_not_matter():
    time, event = groups(num_groups=4)
    table = log_rank(time, event, time.rename(group="rival"), event.rename(group="rival"))
    assert set(table.dims) == {"group", "rival"}
    alone = log_rank(
        *(values.isel(group=1) for values in (time, event)), *(v.isel(group=3) for v in (time, event))
    )
    assert table.isel(group=1, rival=3).item() == pytest.approx(alone.item())
    np.testing.assert_allclose(table, table.values.T)


def test_groups_in_which_nobody_arrives_cannot_be_told_apart():
    time = xr.DataArray([5.0, 5.0, np.nan], dims="seed")
    assert np.isnan(log_rank(time, time < 0, time, time < 0))
