"""Planted worlds: the simulation plants what it says, and verdicts are right as often as they must be."""

import numpy as np
import pytest
from planted.catalogue import BYSTANDER, WORLDS, unseen
from planted.error_rates import broken, coverage, power, true_pair, wrong
from planted.worlds import BASELINE, SUBJECT, WORLD_SETTINGS, PlantedArm, World, judge, simulate

from hornlib.statistics.contenders import contenders
from hornlib.statistics.restricted_mean import baseline_metric, events_on, references_of, restricted_times

FASTER = World({SUBJECT: PlantedArm(speed=1.5)})

FEW = 100
"""Simulated sweeps of a world in a fast test: a wrong word in more than 11 of them breaks its bound."""


def times_of(world, num_sweeps, axis="step"):
    """Return (arms of the contenders, their restricted times)."""
    ds = contenders(simulate(world, num_sweeps))
    references = references_of(ds, baseline_metric(ds, BASELINE), BASELINE)
    events = events_on(ds, references, WORLD_SETTINGS, (axis,))
    times = restricted_times(ds, references, events, WORLD_SETTINGS, (axis,))
    return ds["arm"].values, times.squeeze(("target", "axis"))


def test_planted_times_are_those_that_the_statistics_find():
    planted = {SUBJECT: PlantedArm(speed=1.5), "leaky_cnn": PlantedArm(spread=2.0)}
    arms, times = times_of(World(planted, num_seeds=15, sd=0.2), 40)
    for label, median, sd in ((SUBJECT, 100 / 1.5, 0.2), (BASELINE, 100, 0.2), ("leaky_cnn", 100, 0.4)):
        log_time = np.log(times["restricted_time"].values[arms == label])
        # Rounded up to the next of 12 evaluations a decade: half an interval later on average.
        assert log_time.mean() == pytest.approx(np.log(median) + np.log(10) / 24, abs=0.05)
        assert log_time.std() == pytest.approx(np.hypot(sd, np.log(10) / 12 / np.sqrt(12)), abs=0.03)


def test_planted_costs_lengths_evaluations_and_misses_are_those_that_the_statistics_find():
    planted = {
        SUBJECT: PlantedArm(stalling=0.3),
        BASELINE: PlantedArm(diverging=0.15),
        "leaky_cnn": PlantedArm(cost=3.0),
        "tanh_cnn": PlantedArm(length=100),
        BYSTANDER: PlantedArm(every=8),
    }
    world = World(planted)
    ds = simulate(world, 200)
    arms, times = times_of(world, 200, "training_flops")
    arrived = {arm: times["event"].values[arms == arm].mean() for arm in world.labels()}
    assert arrived[SUBJECT] == pytest.approx(0.7, abs=0.03)
    assert arrived[BASELINE] == pytest.approx(0.85, abs=0.03)
    assert arrived["leaky_cnn"] == 1
    budgets = {arm: np.unique(times["budget"].values[arms == arm]).tolist() for arm in world.labels()}
    assert [budgets[arm] for arm in ("leaky_cnn", "tanh_cnn", BYSTANDER)] == [[3000], [100], [1000]]
    sparse = ds["samples"].notnull().values[ds["arm"].values == BYSTANDER]
    assert (sparse.sum(1) == 5).all() and sparse[:, -1].all()


def test_the_same_seed_plants_the_same_sweeps():
    assert simulate(FASTER, 2).equals(simulate(FASTER, 2))
    assert not simulate(FASTER, 2).equals(simulate(FASTER, 2, seed=1))


def test_an_effect_of_a_factor_two_and_no_effect_are_told_apart():
    effect = World({SUBJECT: PlantedArm(speed=2.0)}, truth={"faster": "yes"}, num_seeds=15, sd=0.2)
    assert power(judge(simulate(effect, 20)), effect, "faster") == 1
    assert wrong(judge(simulate(WORLDS["equal"], 20)), WORLDS["equal"], "faster", "yes") <= 0.1


def test_a_lower_end_and_divergence_are_noticed():
    lower = judge(simulate(WORLDS["early fast, equal at the target, lower end"], 10))
    assert lower["lower_end"].all() and not lower["diverged"].any()
    assert judge(simulate(WORLDS["1.5 times faster, but 40 % of the runs diverge"], 10))["diverged"].all()


@pytest.mark.parametrize(
    "third", [PlantedArm(cost=0.05), PlantedArm(every=8), PlantedArm(length=100), PlantedArm(diverging=0.5)]
)
def test_an_arm_that_is_in_no_claim_changes_no_verdict(third):
    """An arm whose whole training costs a twentieth must not prevent `cheaper: yes` of the others."""
    alone = judge(simulate(FASTER, 20))
    beside = judge(simulate(World({**FASTER.arms, BYSTANDER: third}), 20))
    assert alone.identical(beside)
    assert (alone["verdict"].sel(claim="cheaper") == "yes").mean() > 0.5


def test_holms_correction_is_over_the_datasets_of_one_sweep():
    three = judge(simulate(World({SUBJECT: PlantedArm(speed=1.5)}, num_datasets=3), 20))
    assert three.sizes["dataset"] == 3
    alone = simulate(World({SUBJECT: PlantedArm(speed=1.5)}, num_datasets=3), 20)
    alone["sweep"] = alone["dataset"]  # each dataset a family of its own
    alone = judge(alone)
    yes = [
        (judged["verdict"].sel(claim="faster") == "yes").values.reshape(20, 3) for judged in (three, alone)
    ]
    assert (yes[0] <= yes[1]).all() and yes[0].sum() < yes[1].sum()


def test_only_divergence_that_no_run_shows_makes_a_wrong_yes():
    """Sweeps without a diverged run are judged as if no run could diverge; others must keep alpha."""
    world = WORLDS["1.5 times faster, but 15 % of the subject's runs diverge"]
    judged = judge(simulate(world, FEW))
    yes = judged["verdict"].sel(claim="faster") == "yes"
    assert (yes & judged["diverged"]).mean() <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / FEW)
    assert (~judged["diverged"]).mean() == pytest.approx(unseen(10), abs=0.12)
    assert yes.any()


@pytest.mark.parametrize("name", WORLDS)
def test_few_sweeps_keep_the_bounds_of_a_world(name):
    world = WORLDS[name]
    judged = judge(simulate(world, FEW // world.num_datasets))
    assert broken(judged, world) == []


@pytest.mark.parametrize(
    "name",
    [
        "equal, 7 seeds, deviation 0.35",
        "equal, but 30 % of the subject's runs never arrive",
        "equal, but 15 % of the baseline's runs diverge",
        "1.5 times faster than all on three datasets",
    ],
)
def test_intervals_of_the_headline_pair_hold_the_truth(name):
    world = WORLDS[name]
    held = coverage(judge(simulate(world, FEW // world.num_datasets)), true_pair(world))
    diverging = any(arm.diverging for arm in world.arms.values())
    share, number = held["two parts" if diverging else "interval"]
    assert number >= 30 and share >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / number)
    assert diverging or not held["two parts"][1]


def test_verdicts_that_err_too_often_break_a_bound():
    world = World()
    lenient = WORLD_SETTINGS.model_copy(update={"alpha": 0.45})
    assert any("a wrong no" in words for words in broken(judge(simulate(world, FEW), lenient), world))
    missed = World({SUBJECT: PlantedArm(speed=1.1)}, truth={"faster": "yes"}, power={"faster": 0.95})
    assert any("the right word" in words for words in broken(judge(simulate(missed, FEW)), missed))


@pytest.mark.slow  # twenty thousand pairs of runs a world
@pytest.mark.parametrize("name", [name for name, world in WORLDS.items() if "faster" in world.truth])
def test_the_right_word_is_that_of_the_true_ratio_of_restricted_costs(name):
    ratios, words = true_pair(WORLDS[name])["ratio"].values, WORLDS[name].right("faster")
    for ratio, word in zip(ratios, words, strict=True):
        assert ratio < 0.95 if word == "yes" else ratio > 1.05 if word == "no" else abs(ratio - 1) < 0.05


@pytest.mark.slow  # five hundred sweeps a world: some minutes in all
@pytest.mark.parametrize("name", WORLDS)
def test_verdicts_keep_their_bounds(name):
    assert broken(judge(simulate(WORLDS[name], 500)), WORLDS[name]) == []
