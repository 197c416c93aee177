"""Planted worlds: the simulation plants what it says, and verdicts are right as often as they must be."""

import numpy as np
import pytest

from hornlib.statistics.contenders import contenders
from hornlib.statistics.restricted_mean import baseline_metric, restricted_times
from hornlib.statistics.verdicts import CLAIMS
from hornlib.statistics.worlds import ARMS, WORLD_SETTINGS, WORLDS, World, judge, simulate


def shares(world, num_sweeps):
    """Return {(claim, verdict): share of sweeps}."""
    judged = judge(simulate(world, num_sweeps))
    words = {claim: judged["verdict"].sel(claim=claim).values for claim in CLAIMS}
    return {key: np.mean(words[key[0]] == key[1]) for key in world.wanted}


def test_planted_times_are_those_that_the_statistics_find():
    ds = contenders(simulate(World(speed={ARMS[0]: 1.5}), 40))
    times = restricted_times(ds, baseline_metric(ds, "cnn"), WORLD_SETTINGS, ("step",))
    log_time = np.log(times["restricted_time"].squeeze())
    arm = ds["arm"].values
    for label, median in ((ARMS[0], 100 / 1.5), ("cnn", 100)):
        own = log_time.isel(contender=np.flatnonzero(arm == label))
        # Rounded up to the next of 12 evaluations a decade: half an interval later on average.
        assert own.mean().item() == pytest.approx(np.log(median) + np.log(10) / 24, abs=0.03)
        assert own.std().item() == pytest.approx(np.hypot(0.2, np.log(10) / 12 / np.sqrt(12)), abs=0.02)


def test_the_same_seed_plants_the_same_sweeps():
    world = WORLDS["equal"]
    assert simulate(world, 2).equals(simulate(world, 2))
    assert not simulate(world, 2).equals(simulate(world, 2, seed=1))


def test_an_effect_of_a_factor_two_and_no_effect_are_told_apart():
    effect = World(speed={ARMS[0]: 2.0}, wanted={("faster", "yes"): (1, 1)})
    assert shares(effect, 20)["faster", "yes"] == 1
    assert shares(WORLDS["equal"], 20)["faster", "yes"] <= 0.1


def test_a_lower_end_and_divergence_are_noticed():
    lower = judge(simulate(WORLDS["early fast, equal at the target, lower end"], 10))
    assert lower["lower_end"].all() and not lower["diverged"].any()
    assert judge(simulate(WORLDS["1.5 times faster, but 40 % of the runs diverge"], 10))["diverged"].all()


@pytest.mark.slow  # a thousand sweeps a world: some minutes in all
@pytest.mark.parametrize("name", WORLDS)
def test_verdicts_keep_their_bounds(name):
    found = shares(WORLDS[name], 1000)
    for key, (least, most) in WORLDS[name].wanted.items():
        assert least <= found[key] <= most, key
