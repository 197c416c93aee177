"""The influence of a sweep's parameters in long form: planted effects come out, and gaps are told."""

from itertools import product

import numpy as np
import pytest
import xarray as xr

from hornlib.statistics.contenders import contenders, final_metric
from hornlib.statistics.influence_table import influence_table

RATES = (0.001, 0.01, 0.1)


def time_of(timesteps, num_nodes, rate):
    """Return log2 of the steps: 1 for each doubling of timesteps, 1/2 of nodes; every cell has its best rate."""
    best = {4: 0.001, 8: 0.01, 16: 0.01}[timesteps]
    return 1 + np.log2(timesteps) + 0.5 * np.log2(num_nodes) + abs(np.log10(rate / best))


@pytest.fixture
def sweep(results, settings, times_of):
    """A function that gives the table of a planted grid, without some of its cells."""

    def make(without=(), rates=RATES, num_seeds=10, dataset="digits", effects=1.0, **how):
        points = [point for point in product((4, 8, 16), (16, 32), rates) if point not in without]
        random = np.random.default_rng(0)
        cells = [
            ("horn", 2 ** (5 + effects * (time_of(*point) - 5) + 0.3 * random.normal(size=num_seeds)))
            for point in points
        ]
        cells.append(("cnn", [200] * num_seeds))
        columns = np.array([*points, (np.nan,) * 3]).T
        names = ("timesteps", "num_nodes", "learning_rate")
        ds = results(cells, dataset=dataset, **dict(zip(names, columns, strict=True)), **how)
        for name in names:
            ds[name].attrs["kind"] = "number"
        ds = contenders(ds)
        rules = settings()
        times = times_of(ds, rules)
        return influence_table(ds, final_metric(ds), times, rules)

    return make


def test_planted_effects_come_out_at_each_cells_own_learning_rate(sweep):
    found, _ = sweep()
    effect = found["main_effect"].sel(dataset="digits", outcome="log_time") / np.log(2)
    levels = [f"timesteps={level}" for level in (4, 8, 16)]
    np.testing.assert_allclose(effect.sel(level=levels), [-1, 0, 1], atol=0.2)
    np.testing.assert_allclose(effect.sel(level=["num_nodes=16", "num_nodes=32"]), [-0.25, 0.25], atol=0.15)
    assert found["level_axis"].sel(level="timesteps=8").item() == "timesteps"
    share = found["total_share"].sel(dataset="digits", outcome="log_time")
    assert float(share.sel(axis_name="timesteps")) == pytest.approx((2 / 3) / (2 / 3 + 1 / 16), abs=0.05)
    assert found["largest_in_draws"].sel(outcome="log_time", axis_name="timesteps").item() == 1
    np.testing.assert_allclose(found["interaction"].sel(outcome="log_time"), 0, atol=0.15)
    assert found["factorial_cells"].sel(outcome="log_time").item() == 6


def test_the_leader_is_named_where_the_cells_differ_and_the_draws_agree(sweep):
    found, _ = sweep()
    at = {"dataset": "digits", "outcome": "log_time"}
    assert found["leading_parameter"].sel(at).item() == "timesteps"
    assert found["difference_p"].sel(at).item() == found["difference_p_holm"].sel(at).item() == 0.001
    share = found[["total_share", "total_share_bound"]].sel({**at, "axis_name": "timesteps"})
    low, high = share["total_share_bound"].values
    assert low <= share["total_share"].item() <= high


def test_equal_cells_have_no_leader(sweep):
    found, _ = sweep(effects=0.0)
    log_time = found.sel(dataset="digits", outcome="log_time")
    assert log_time["difference_p"].item() > 0.05 and log_time["leading_parameter"].item() == ""


def test_the_test_of_any_difference_is_corrected_over_the_datasets(results, settings, times_of):
    times = {4: [60, 66, 72, 63, 69, 75, 61, 64], 8: [66, 60, 80, 70, 72, 83, 61, 75]}
    points = [(dataset, timesteps) for dataset in ("digits", "mnist") for timesteps in times]
    cells = [("horn", times[timesteps]) for _, timesteps in points] + [("cnn", [90] * 8)] * 2
    steps = np.array([*(timesteps for _, timesteps in points), np.nan, np.nan])
    ds = results(cells, dataset=[*(dataset for dataset, _ in points), "digits", "mnist"], timesteps=steps)
    ds["timesteps"].attrs["kind"] = "number"
    ds = contenders(ds)
    rules = settings()
    found, _ = influence_table(ds, final_metric(ds), times_of(ds, rules), rules)
    raw, corrected = (
        found[name].sel(outcome="log_time").values for name in ("difference_p", "difference_p_holm")
    )
    np.testing.assert_allclose(corrected, np.minimum(1, 2 * raw))


def test_the_cells_at_their_best_learning_rate_are_marked(sweep):
    found, _ = sweep()
    marked = found["at_best_learning_rate"].sel(outcome="log_time")
    labels = marked["contender"].values[marked.values == 1].tolist()
    assert len(labels) == 6 and not any("cnn" in label for label in labels)
    for label in labels:
        assert ("learning_rate=0.001" in label) == ("timesteps=4" in label)


def test_the_share_that_arrives_is_of_the_runs_at_the_best_rates(sweep):
    found, _ = sweep(
        effects=1.5
    )  # at other rates some cells need more than the 1,000 steps of their training
    assert found["arrived_share"].sel(outcome="log_time").item() == 1


def test_the_share_that_arrives_counts_the_choice_of_the_other_half_too(results, settings, times_of):
    """At .01 the even seeds are fastest and the odd ones never arrive; all seeds together choose .1."""
    steps = {0.01: [40.0, np.inf] * 5, 0.1: [50.0, 50.0] * 5}
    cells = [("horn", steps[rate]) for _ in (4, 8) for rate in steps] + [("cnn", [100] * 10)]
    columns = {"timesteps": np.repeat([4.0, 8], 2), "learning_rate": np.tile([*steps], 2)}
    ds = results(cells, **{name: np.append(values, np.nan) for name, values in columns.items()})
    for name in columns:
        ds[name].attrs["kind"] = "number"
    ds = contenders(ds)
    found, _ = influence_table(ds, final_metric(ds), times_of(ds, settings()), settings())
    # The even half chooses .01, where the odd seeds miss: half of the outcomes of half of the seeds.
    assert found["arrived_share"].sel(outcome="log_time").item() == 0.75


def test_flops_follow_samples_where_a_step_costs_the_same(sweep):
    found, _ = sweep()
    one, other = (found["main_effect"].sel(outcome=name) for name in ("log_time", "log_training_flops"))
    np.testing.assert_allclose(one, other, atol=1e-9)


def test_bounds_hold_the_estimates(sweep):
    found, _ = sweep()
    for name in ("main_effect", "interaction"):
        low, high = (found[f"{name}_bound"].isel(bound=end) for end in (0, 1))
        known = low.notnull() & high.notnull()
        assert known.sel(outcome="log_time").any()
        assert ((low <= found[name] + 1e-9) & (found[name] <= high + 1e-9)).where(known, True).all()


def test_cells_without_runs_leave_out_a_level_and_this_is_said(sweep):
    found, told = sweep(without=[(16, 32, rate) for rate in RATES])
    assert any("left out of the factorial" in sentence for sentence in told)
    assert found["factorial_cells"].sel(outcome="log_time").item() in (3, 4)


def test_a_lost_learning_rate_of_a_cell_is_no_gap(sweep):
    found, told = sweep(without=[(16, 32, 0.1)])
    assert found["factorial_cells"].sel(outcome="log_time").item() == 6
    assert not any("left out" in sentence for sentence in told)


def test_a_best_rate_at_the_edge_is_told(sweep):
    _, told = sweep()
    assert any(
        "2 of 6 cells are best at the smallest or largest learning_rate" in sentence for sentence in told
    )


def test_without_an_axis_of_learning_rates_effects_are_at_the_one_given(sweep):
    found, told = sweep(rates=(0.01,))
    assert any("learning_rate is no axis" in sentence for sentence in told)
    assert found["factorial_cells"].sel(outcome="log_time").item() == 6


def test_a_sweep_without_a_grid_says_nothing(results, settings, times_of):
    ds = contenders(results({"cnn": [100] * 7, "horn": [50] * 7}))
    times = times_of(ds, settings())
    found, told = influence_table(ds, final_metric(ds), times, settings())
    assert not found.data_vars and not told


@pytest.fixture
def with_costs(results, settings, times_of):
    """A function that gives the effects of a grid of timesteps whose cells differ in the FLOPs of a step."""

    def make(times, flops, lengths=None, **how):
        cells = [("horn", own) for own in times.values()] + [("cnn", [100] * 10)]
        ds = results(cells, timesteps=np.array([*times, np.nan]), **how)
        ds["timesteps"].attrs["kind"] = "number"
        ds["training_flops"] = ds["training_flops"] * xr.DataArray([*flops, 1.0], dims="cell")
        for row, length in enumerate(lengths or ()):
            beyond = (ds["cell"] == ds["cell"][row]) & (ds["step"] > length)
            for name in ("samples", "training_flops", "validation_metric"):
                ds[name] = ds[name].where(~beyond)
        ds, rules = contenders(ds), settings()
        times = times_of(ds, rules)
        return influence_table(ds, final_metric(ds), times, rules)[0]

    return make


NEVER = [np.inf] * 10


def test_a_cheap_cell_that_never_arrives_does_not_look_cheaper(with_costs):
    found = with_costs({4: NEVER, 16: [300.0, 320, 350, 380, 400, 420, 450, 480, *NEVER[:2]]}, (0.25, 1))
    # The budget is that of the cheap cell, 250 steps of the other: neither arrives, and nothing is told apart.
    effect = found["main_effect"].sel(outcome="log_training_flops").values
    np.testing.assert_allclose(effect, 0, atol=1e-9)
    assert found["arrived_share"].sel(outcome="log_training_flops").item() == 0  # which says why
    assert found["arrived_share"].sel(outcome="log_time").item() == 0.4  # 8 of 20
    assert found["arrived_share"].sel(outcome="final_metric").isnull().all()


def test_an_expensive_cell_that_arrives_within_the_cheap_cells_budget_is_cheaper(with_costs):
    found = with_costs({4: NEVER, 16: [40.0, 42, 45, 48, 50, 52, 55, 58, 60, 62]}, (0.25, 1))
    effect = found["main_effect"].sel(dataset="digits", outcome="log_training_flops")
    assert float(effect.sel(level="timesteps=16")) < -0.5 < 0.5 < float(effect.sel(level="timesteps=4"))
    assert found["arrived_share"].sel(outcome="log_training_flops").item() == 0.5


def test_a_diverged_cheap_cell_costs_the_budget_of_all(with_costs):
    fast = [40.0, 42, 45, 48, 50, 52, 55, 58, 60, 62]
    diverged = [(0, seed, 3) for seed in range(10)]
    found = with_costs({4: fast, 16: fast}, (0.25, 1), diverged=diverged)
    effect = found["main_effect"].sel(dataset="digits", outcome="log_training_flops")
    assert float(effect.sel(level="timesteps=16")) < -0.5
    assert found["arrived_share"].sel(outcome="log_training_flops").item() == 0.5


def test_a_cell_that_trains_for_fewer_steps_does_not_look_faster(with_costs):
    found = with_costs({4: NEVER, 16: [300.0] * 8 + NEVER[:2]}, (1, 1), lengths=(250, 1000))
    for outcome in ("log_time", "log_training_flops"):
        np.testing.assert_allclose(found["main_effect"].sel(outcome=outcome).values, 0, atol=1e-9)
