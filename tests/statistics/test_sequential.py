"""Sequential sweeps: what a look sees, verdicts that stay, and what the next look needs."""

import json

import numpy as np
import pytest
import xarray as xr

from hornlib.statistics.estimators.pocock import look_level
from hornlib.statistics.looks import finished_looks, first_seeds
from hornlib.statistics.sequential import summarise_looks
from hornlib.statistics.summary import summarise

LOOKS = (7, 10, 15, 20)
RULES = {"sequential": LOOKS, "targets": (), "claims": {"faster": {"rivals": ["cnn"]}}}


@pytest.fixture
def times():
    """A function that gives a step to the target for each of 20 seeds, around one median a part."""

    def draw(seed, **medians):
        parts = {int(name.removeprefix("until_")): median for name, median in medians.items()}
        steps, before = [], 0
        random = np.random.default_rng(seed)
        for until, median in parts.items():
            steps += list(median * np.exp(0.15 * random.standard_normal(until - before)))
            before = until
        return np.array(steps)

    return draw


@pytest.fixture
def rules(settings):
    return settings(**RULES)


def without(cell, *seeds):
    return [(cell, seed) for seed in seeds]


def at(found, name, dataset="digits", claim="faster"):
    return found[name].sel(dataset=dataset, claim=claim).item()


# what a look sees


def test_a_look_is_finished_when_its_first_seeds_have_ended_well_or_badly(results):
    missing = [*without(0, *range(15, 20)), *without(1, 3), *without(2, *range(20))]
    ds = results({arm: np.full(20, 50.0) for arm in "abc"}, missing=missing, diverged=[(0, 2, 10)])
    assert finished_looks(ds, LOOKS).tolist() == [15, 0, 0]
    assert finished_looks(results({"a": np.full(9, 50.0)}), LOOKS).tolist() == [7]


def test_first_seeds_are_the_results_without_the_later_ones(results, settings, times):
    arms = {"horn_cnn": times(1, until_20=60), "cnn": times(2, until_20=90)}
    masked = first_seeds(results(arms, diverged=[(0, 12, 10)]), np.array([7, 10]))
    gone = [*without(0, *range(7, 20)), *without(1, *range(10, 20))]
    rules = settings(targets=())
    seen, expected = summarise(masked, rules), summarise(results(arms, missing=gone), rules)
    for name in (
        "ratio",
        "ratio_bound",
        "p_holm",
        "conclusion",
        "num_diverged",
        "final_metric_mean",
        "reached_rate",
    ):
        xr.testing.assert_equal(seen[name], expected[name])
    assert (masked["status"] == "unwanted").sum() == 23 and not (masked["status"] == "missing").any()


def test_a_verdict_uses_the_seeds_of_its_look_at_the_level_of_the_looks(results, rules, times):
    arms = {"horn_cnn": times(1, until_20=60), "cnn": times(2, until_20=90)}
    found = summarise_looks(results(arms), rules)
    level = look_level(LOOKS)
    alone = summarise(
        results({arm: steps[:7] for arm, steps in arms.items()}),
        rules.model_copy(update={"sequential": (), "alpha": level}),
    )
    assert at(found, "decided_at") == 7 and at(found, "verdict") == at(alone, "verdict") == "yes"
    assert at(found, "verdict_sentence").startswith(at(alone, "verdict_sentence"))
    assert found.attrs["look_level"] == level and found.attrs["overall_alpha"] == 0.05
    assert f"{100 * (1 - level):g} % interval" in found.attrs["answer"]


# verdicts that stay


def test_a_claim_that_a_look_decided_stays_decided_whatever_later_seeds_say(results, rules, times):
    arms = {"horn_cnn": times(1, until_7=50, until_20=300), "cnn": times(2, until_20=100)}
    found = summarise_looks(results(arms), rules)
    assert (at(found, "verdict"), at(found, "decided_at")) == ("yes", 7)
    assert np.isnan(at(found, "next_look"))
    ratio = found["ratio"].sel(contender="horn_cnn", rival="cnn", axis="samples", target=0.9).item()
    assert ratio > 1  # the tables have all seeds
    assert found["look_verdict"].sel(dataset="digits", claim="faster").values.tolist() == ["yes", "", "", ""]
    assert found.attrs["answer"].endswith("Decided at the look at 7 seeds.")


def test_a_claim_is_decided_at_the_first_look_that_can(results, rules, times):
    arms = {"horn_cnn": times(1, until_10=100, until_20=25), "cnn": times(2, until_20=100)}
    found = summarise_looks(results(arms), rules)
    assert at(found, "decided_at") in (15, 20)
    words = found["look_verdict"].sel(dataset="digits", claim="faster").values.tolist()
    assert words[:2] == ["not shown", "not shown"] and "yes" in words[2:]


def test_an_open_claim_has_the_verdict_of_its_last_complete_look_and_the_next_is_named(results, rules, times):
    arms = {"horn_cnn": times(1, until_20=100), "cnn": times(2, until_20=100)}
    missing = [*without(0, *range(12, 20)), *without(1, *range(10, 20))]
    found = summarise_looks(results(arms, missing=missing), rules)
    assert (at(found, "last_look"), at(found, "next_look"), at(found, "verdict")) == (10, 15, "not shown")
    assert found["seeds_to_train"].values.tolist() == [15, 15]
    assert "Open after the look at 10 seeds, next look at 15 seeds." in found.attrs["answer"]
    done = summarise_looks(results(arms), rules)
    assert np.isnan(at(done, "decided_at")) and np.isnan(at(done, "next_look"))
    assert "Open after the look at 20 seeds, which was the last." in done.attrs["answer"]


def test_seeds_of_an_unfinished_look_count_nowhere(results, rules, times):
    arms = {"horn_cnn": times(1, until_7=100, until_20=20), "cnn": times(2, until_20=100)}
    some = results(arms, missing=[*without(0, *range(9, 20)), *without(1, *range(9, 20))])
    none = results(arms, missing=[*without(0, *range(7, 20)), *without(1, *range(7, 20))])
    found, expected = summarise_looks(some, rules), summarise_looks(none, rules)
    xr.testing.assert_identical(found, expected)


def test_later_seeds_are_no_missing_runs(results, rules, times):
    arms = {"horn_cnn": times(1, until_20=100), "cnn": times(2, until_20=100)}
    missing = [*without(0, *range(7, 20)), *without(1, *range(7, 20))]
    limits = json.loads(summarise_looks(results(arms, missing=missing), rules).attrs["limits"])
    assert not any("missing" in limit for limit in limits)
    assert "4 looks (7, 10, 15, 20 seeds), each at level 0.0182" in limits[0]


# several datasets and arms


@pytest.fixture
def two_datasets(results, times):
    """On digits the subject is clearly faster, on mnist it is not; a third arm has only one seed."""
    entries = [
        ("horn_cnn", times(1, until_20=50)),
        ("cnn", times(2, until_20=100)),
        ("horn_cnn", times(3, until_20=95)),
        ("cnn", times(4, until_20=100)),
        ("gru", times(5, until_20=100)),
    ]
    missing = [
        *(run for cell in (0, 1) for run in without(cell, *range(7, 20))),
        *(run for cell in (2, 3) for run in without(cell, *range(10, 20))),
        *without(4, *range(1, 20)),
    ]
    return results(entries, dataset=["digits"] * 2 + ["mnist"] * 3, missing=missing)


def test_every_dataset_is_judged_at_its_own_look_and_only_open_arms_are_trained_on(two_datasets, rules):
    found = summarise_looks(two_datasets, rules)
    assert [at(found, "verdict", name) for name in ("digits", "mnist")] == ["yes", "not shown"]
    assert at(found, "decided_at", "digits") == 7 and at(found, "last_look", "mnist") == 10
    assert found["seeds_to_train"].values.tolist() == [7, 7, 15, 15, 7]
    assert found["overall_verdict"].item() == "not shown"
    told = found["overall_sentence"].item()
    assert told.endswith(
        "Digits: decided at the look at 7 seeds; mnist: open after the look at 10 seeds, next look at 15 seeds."
    )
    assert "n = 7" in at(found, "verdict_sentence", "digits") and "n = 10" in at(
        found, "verdict_sentence", "mnist"
    )


def test_the_level_pays_for_the_tests_of_several_datasets(two_datasets, rules):
    level = summarise_looks(two_datasets, rules).attrs["look_level"]
    assert level == look_level(LOOKS, num_tests=2) < look_level(LOOKS)


def test_a_look_waits_for_the_baseline_where_its_runs_set_the_level(results, settings, times):
    arms = {
        name: times(seed, until_20=60 + 40 * seed) for seed, name in enumerate(("horn_cnn", "cnn", "base"))
    }
    rules = settings(**RULES, baseline="base")
    ds = results(arms, missing=without(2, *range(7, 20)))
    assert at(summarise_looks(ds, rules), "last_look") == 7
    given = xr.DataArray([1.0], {"dataset": np.array(["digits"], object)}, "dataset")
    assert at(summarise_looks(ds, rules, given), "last_look") == 20


# poor data


def test_before_the_first_look_nothing_is_concluded_and_every_arm_is_due(results, rules, times):
    arms = {"horn_cnn": times(1, until_20=50), "cnn": times(2, until_20=100)}
    found = summarise_looks(results(arms, missing=[*without(0, *range(5, 20)), *without(1, 3)]), rules)
    assert at(found, "verdict") in ("not measured", "not enough data")
    assert at(found, "next_look") == 7 and np.isnan(at(found, "last_look"))
    assert found["seeds_to_train"].values.tolist() == [7, 7]
    assert "Not judged yet, next look at 7 seeds." in found.attrs["answer"]


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"faster": {"rivals": ["gru"]}},
        {"faster": {"rivals": ["cnn"], "subject": "lstm"}},
        {"because": {"what": "luck", "rivals": ["cnn"]}},
    ],
)
def test_claims_that_cannot_be_judged_raise_nothing(results, settings, times, claims):
    arms = {"horn_cnn": times(1, until_20=50), "cnn": times(2, until_20=100)}
    found = summarise_looks(results(arms), settings(**(RULES | {"claims": claims})))
    assert "decided_at" not in found or np.isnan(found["decided_at"]).all()
    assert found.attrs["answer"]


def test_arms_whose_runs_all_diverge_are_looked_at_like_others(results, rules, times):
    arms = {"horn_cnn": times(1, until_20=50), "cnn": times(2, until_20=100)}
    found = summarise_looks(results(arms, diverged=[(0, seed, 3) for seed in range(20)]), rules)
    assert at(found, "last_look") == 20 or np.isfinite(at(found, "decided_at"))
