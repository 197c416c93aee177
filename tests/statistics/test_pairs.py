"""A pair's verdict depends on the two arms of the pair, and on the baseline that sets the target."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from hornlib.statistics.contenders import contenders
from hornlib.statistics.pairs import pairs_of, pairs_on
from hornlib.statistics.restricted_mean import baseline_metric, events_on, references_of
from hornlib.statistics.rivals import rivals_of
from hornlib.statistics.summary import core

AXES = ("samples", "training_flops", "seconds", "training_loss")
JUDGED = ("ratio", "ratio_bound", "p_value", "p_holm", "pair_budget", "arrived", "rival_arrived", "two_part")


def core_of(ds, settings, reference=None):
    ds = contenders(ds, settings.baseline)
    return core(ds, baseline_metric(ds, settings.baseline) if reference is None else reference, settings)


def with_seconds(ds, step_times):
    ds["step_time"] = (("cell", "calibration_device"), np.array(step_times)[:, None])
    return ds.assign_coords(calibration_device=["gpu"])


def pair(result, axis="training_flops", one="horn_cnn", other="cnn"):
    return result.sel(contender=one, rival=other, target=0.9, axis=axis)


def test_a_cheap_third_arm_cuts_nobodys_budget(results, settings, lognormal):
    """The smallest input: an arm whose whole training costs less than the others need to the target."""
    ds = results(
        {
            "horn_cnn": lognormal(200, seed=1),
            "cnn": lognormal(300, seed=2),
            "tanh_cnn": lognormal(250, seed=3),
        }
    )
    ds["training_flops"][2] *= 0.05
    found = pair(core_of(ds, settings()))
    samples = pair(core_of(ds, settings()), "samples")
    assert found["pair_budget"] == 1e9
    assert found["ratio"].item() == pytest.approx(samples["ratio"].item())  # both cost the same a sample
    assert found["arrived"] == found["rival_arrived"] == 10


def test_the_budget_is_the_smallest_whole_cost_of_an_arm_that_misses(results, settings):
    ds = results({"horn_cnn": [20, np.inf, 40], "cnn": [50, 60, 500]})
    ds["training_flops"][0] *= 0.1
    found = pair(core_of(ds, settings()))
    assert found["pair_budget"] == pytest.approx(1e8)  # horn_cnn misses, and is known no longer than that
    assert found["arrived"] == 2 and found["rival_arrived"] == 2  # 500 steps cost 5e8
    costs = np.log([22 * 1e5, 1e8, 46 * 1e5]) - np.log([56e6, 68e6, 1e8])
    assert found["ratio"].item() == pytest.approx(np.exp(costs.mean()), rel=0.05)


def test_without_a_miss_the_budget_is_the_dearer_training_and_everything_is_known(results, settings):
    ds = results({"horn_cnn": [20, 30, 40], "cnn": [50, 60, 500]})
    ds["training_flops"][0] *= 5
    found = pair(core_of(ds, settings()))
    assert found["pair_budget"] == pytest.approx(5e9)
    assert found["arrived"] == found["rival_arrived"] == 3


def test_a_diverged_run_misses_at_every_budget_and_binds_none(results, settings):
    ds = results({"horn_cnn": [20, 30, 40], "cnn": [50, 60, 500]}, diverged=[(0, 1, 5)])
    ds["training_flops"][0] *= 0.1
    found = pair(core_of(ds, settings()))
    assert found["pair_budget"] == pytest.approx(1e9)
    assert found["two_part"] == 1 and found["ratio_bound"].isnull().all()


def test_a_pair_is_judged_on_the_evaluations_that_both_have(results, settings):
    ds = results({"horn_cnn": [20, 30.0], "cnn": [50, 60], "leaky_cnn": [50, 60]})
    sparse = ds["step"].isin([1, 10, 100, 1000])
    for name in ("samples", "validation_metric"):
        ds[name] = ds[name].where(sparse | (ds["arm"] != "leaky_cnn"))
    runs, rules = contenders(ds), settings()
    references = references_of(runs, baseline_metric(runs, "cnn"), "cnn")
    rivals = rivals_of(runs)
    own = events_on(runs, references, rules, ("step",))
    found = pairs_on(runs, references, own, pairs_of(rivals), rules, ("step",))
    at = {tuple(rows): index for index, rows in enumerate(found.rows.T.tolist())}
    target = rules.all_targets().index(0.9)
    assert found.first.restricted[at[0, 1], target, 0].tolist() == [22, 32]
    assert found.first.restricted[at[0, 2], target, 0].tolist() == [100, 100]


def test_arms_that_share_no_evaluation_are_not_compared(results, settings):
    ds = results({"horn_cnn": [20, 30.0] * 5, "cnn": [50, 60] * 5})
    odd = xr.DataArray(np.arange(ds.sizes["step"]) % 2 == 1, dims="step")
    for name in ("samples", "validation_metric"):
        ds[name] = ds[name].where(odd == (ds["arm"] == "cnn"))
    found = core_of(ds, settings())
    assert pair(found)["ratio"].isnull() and found["num_pairs"].sum() == 0
    assert (found["conclusion"] == "not measured").all()


def test_when_nobody_arrives_there_is_no_ratio_and_too_few_arrivals(results, settings):
    reference = xr.DataArray([1.0], {"dataset": ["digits"]}, "dataset")
    found = core_of(results({"horn_cnn": [np.inf] * 8, "cnn": [np.inf] * 8}), settings(), reference)
    assert pair(found)["ratio"].isnull() and pair(found)["arrived"] == 0
    assert found["conclusion"].sel(contender="horn_cnn", rival="cnn", axis="samples") == "too few arrivals"


def test_few_arrivals_give_no_narrow_interval_around_1_a_word_of_its_own(results, settings):
    reference = xr.DataArray([1.0], {"dataset": ["digits"]}, "dataset")
    times = {"horn_cnn": [50] * 3 + [np.inf] * 7, "cnn": [70] * 3 + [np.inf] * 7}
    found = core_of(results(times), settings(), reference)
    assert found["conclusion"].sel(contender="horn_cnn", rival="cnn", axis="samples") == "too few arrivals"


def test_divergence_of_some_runs_is_judged_in_two_parts(results, settings, lognormal):
    times = {"horn_cnn": lognormal(60, seed=1), "cnn": lognormal(120, seed=2)}
    faster = core_of(results(times, diverged=[(1, 0, 5)]), settings())
    assert pair(faster, "samples")["two_part"] == 1
    assert faster["conclusion"].sel(contender="horn_cnn", rival="cnn", axis="samples") == "yes"
    given = pair(faster, "samples")
    assert given["ratio_if_arrived_bound"].values[1] < 1 and given["arrival_difference"] == pytest.approx(0.1)
    # faster where it arrives, but it diverges more often: the two parts point apart, and nothing is concluded
    apart = core_of(results(times, diverged=[(0, 0, 5), (0, 1, 9), (0, 2, 9), (0, 3, 9)]), settings())
    assert pair(apart, "samples")["p_value"] == 1
    assert apart["conclusion"].sel(contender="horn_cnn", rival="cnn", axis="samples") == "not distinguished"


def test_one_divergence_does_not_hide_a_large_difference_of_the_others(results, settings, lognormal):
    times = {"horn_cnn": lognormal(40, seed=1), "cnn": lognormal(160, seed=2)}
    found = core_of(results(times, diverged=[(0, 0, 5)]), settings())
    row = pair(found, "samples")
    assert found["conclusion"].sel(contender="horn_cnn", rival="cnn", axis="samples") == "yes"
    assert row["ratio_if_arrived_bound"].values[1] < 1 and row["p_holm"] <= 0.05


def test_the_part_that_decides_agrees_with_holms_test(results, settings, lognormal):
    """Where only Holm's step-down rejects, no interval of a deciding part holds a ratio of 1."""
    seen = 0
    for seed in range(12):
        entries = [
            ("horn_cnn", lognormal(80, seed=10 * seed + 1)),
            ("cnn", lognormal(130, seed=10 * seed + 2)),
            ("horn_cnn", lognormal(80, seed=10 * seed + 3)),
            ("cnn", lognormal(105, seed=10 * seed + 4)),
        ]
        ds = results(entries, dataset=["digits", "digits", "mnist", "mnist"], diverged=[(3, 0, 5)])
        found = core_of(ds, settings(targets=())).sel(target=0.9, axis="samples", rival="cnn")
        row = found.sel(contender="horn_cnn on mnist")
        low, high = row["ratio_if_arrived_bound"].values
        share_low, share_high = row["arrival_difference_bound"].values
        if row["conclusion"] in ("yes", "no"):
            seen += 1
            assert high <= 1 or low >= 1 or share_low >= 0 or share_high <= 0
    assert seen


def test_a_sparser_grid_does_not_raise_the_training_loss(results, settings):
    """Means since the last evaluation become means since the last evaluation that both arms have."""
    steps = np.arange(1, 65)
    ds = results({"horn_cnn": [20.0] * 7, "cnn": [20.0] * 7}, steps=steps)
    now = 0.1 + 2.2 * np.exp(-steps / 12)
    total = np.concatenate([[0], np.cumsum(now)])
    means = np.tile(now, (2, 7, 1))
    sparse = steps % 4 == 0
    last = np.concatenate([[0], steps[sparse]])
    means[1][:, sparse] = np.diff(total[last]) / np.diff(last)
    ds["training_loss"] = (("cell", "seed", "step"), means)
    for name in ("samples", "validation_metric", "training_loss"):
        ds[name][{"cell": 1}] = ds[name][{"cell": 1}].where(xr.DataArray(sparse, dims="step"))
    assert pair(core_of(ds, settings()), "training_loss")["ratio"] == pytest.approx(1)


def test_expected_cost_is_all_that_was_spent_over_arrivals(results, settings):
    ds = results({"horn_cnn": [20, np.inf], "cnn": [50, 60]}, final=1.0)
    found = pair(core_of(ds, settings()), "samples")
    steps = np.array(ds["step"])
    first = [64 * steps[steps >= time][0] for time in (20, 50, 60)]
    assert found["ratio_of_expected_cost"].item() == pytest.approx(
        (first[0] + 64_000) / 1 / ((first[1] + first[2]) / 2), rel=0.02
    )


def test_every_axis_has_holms_correction_over_datasets(results, settings, lognormal):
    entries = [
        (arm, lognormal(median, seed=place))
        for place, (arm, median) in enumerate([("horn_cnn", 90), ("cnn", 120)] * 3)
    ]
    datasets = [name for name in ("digits", "mnist", "fashion_mnist") for _ in range(2)]
    ds = with_seconds(results(entries, dataset=datasets), [1.0, 1.0] * 3)
    found = core_of(ds, settings()).sel(target=0.9, rival="cnn")
    own = found.isel(contender=np.flatnonzero(found["arm"] == "horn_cnn"))
    for axis in ("samples", "training_flops", "seconds"):
        p, adjusted = own["p_value"].sel(axis=axis).values, own["p_holm"].sel(axis=axis).values
        order = np.argsort(p)
        expected = np.minimum(np.maximum.accumulate(p[order] * [3, 2, 1]), 1)
        assert adjusted[order] == pytest.approx(expected)
        excludes = (own["ratio_bound"].sel(axis=axis, bound="high") <= 1) | (
            own["ratio_bound"].sel(axis=axis, bound="low") >= 1
        )
        assert excludes.values.tolist() == (adjusted <= 0.05).tolist()


ARM = st.fixed_dictionaries(
    {
        "medians": st.lists(st.sampled_from([20.0, 60.0, 150.0, 700.0, np.inf]), min_size=8, max_size=8),
        "cost": st.sampled_from([0.02, 0.3, 1.0, 4.0]),
        "length": st.sampled_from([10, 100, 1000]),
        "every": st.sampled_from([1, 2, 4, 8]),
        "diverged": st.lists(st.tuples(st.integers(0, 7), st.sampled_from([2, 50, 900])), max_size=3),
        "missing": st.lists(st.integers(0, 7), max_size=2),
    }
)


def sweep_of(results, names, arms):
    """Return a sweep of arms that differ in speed, cost, length, evaluations, divergence and runs."""
    draw = np.random.default_rng(0)
    noise = {name: np.exp(0.2 * draw.standard_normal(8)) for name in ("horn_cnn", "cnn", "third")}
    ds = results(
        {name: np.array(arm["medians"]) * noise[name] for name, arm in zip(names, arms, strict=True)},
        diverged=[(row, *where) for row, arm in enumerate(arms) for where in arm["diverged"]],
        missing=[(row, seed) for row, arm in enumerate(arms) for seed in arm["missing"]],
    )
    falls = np.exp(-ds["step"] / xr.DataArray([arm["cost"] * 40 for arm in arms], dims="cell"))
    ds["training_loss"] = (
        (0.3 + 2 * falls).where(ds["validation_metric"].notnull()).transpose("cell", "seed", "step")
    )
    for row, arm in enumerate(arms):
        ds["training_flops"][row] *= arm["cost"]
        there = (ds["step"] <= arm["length"]) & (np.arange(ds.sizes["step"]) % arm["every"] == 0)
        for name in ("samples", "validation_metric", "training_flops", "training_loss"):
            ds[name][{"cell": row}] = ds[name][{"cell": row}].where(there)
    # two devices: the third arm was measured on the second alone
    first = [arm["cost"] ** 0.5 if name != "third" else np.nan for name, arm in zip(names, arms, strict=True)]
    second = [(5.0 if name == "horn_cnn" else 1.0) for name in names]
    ds["step_time"] = (("cell", "calibration_device"), np.array([first, second]).T)
    return ds.assign_coords(calibration_device=["cpu", "gpu"])


@hypothesis_settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(horn=ARM, cnn=ARM, third=ARM)
def test_ratio_interval_p_and_word_of_a_pair_are_bit_identical_with_and_without_any_third_arm(
    results, settings, horn, cnn, third
):
    rules = settings(targets=())
    alone = core_of(sweep_of(results, ["horn_cnn", "cnn"], [horn, cnn]), rules)
    beside = core_of(sweep_of(results, ["horn_cnn", "cnn", "third"], [horn, cnn, third]), rules)
    for one, other in (("horn_cnn", "cnn"), ("cnn", "horn_cnn")):
        place = {"contender": one, "rival": other}
        for name in JUDGED:
            np.testing.assert_array_equal(
                alone[name].sel(place).values, beside[name].sel(place).values, err_msg=name
            )
        assert (
            alone["conclusion"].sel(place).values.tolist() == beside["conclusion"].sel(place).values.tolist()
        )


@hypothesis_settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(horn=ARM, cnn=ARM)
def test_no_row_contradicts_itself(results, settings, horn, cnn):
    found = core_of(sweep_of(results, ["horn_cnn", "cnn"], [horn, cnn]), settings(targets=()))
    found = found.sel(target=0.9)
    word, low, high = (
        found["conclusion"],
        found["ratio_bound"].sel(bound="low"),
        found["ratio_bound"].sel(bound="high"),
    )
    decided = word.isin(["yes", "no"])
    assert (found["p_holm"].where(decided, 0) <= 0.05).all()
    assert (found["p_holm"].where(word == "not distinguished", 1) > 0.05).all()
    single = found["two_part"] == 0
    for verdict, excludes in (("yes", high <= 1), ("no", low >= 1)):
        assert (excludes | ~(single & (word == verdict))).all()
    assert (((low < 1) & (high > 1)) | ~(single & (word == "not distinguished") & low.notnull())).all()
    inside = (low <= found["ratio"]) & (found["ratio"] <= high)
    assert (inside | low.isnull()).all()
