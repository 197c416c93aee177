"""Verdicts: a conjunction's yes needs every comparison, its no is corrected over its comparisons."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.statistics.verdicts import (
    CONCLUSIONS,
    ClaimComparison,
    combine,
    corrected_against,
    over_places,
    verdicts,
)

ALPHA = 0.05

VERDICTS = ("yes", "no", "mixed", *CONCLUSIONS.values())


def item(word, p_holm=np.nan, against=False):
    return ClaimComparison(0, "cnn", "samples", word, p_holm, against)


YES, OPEN = item("yes", 0.01), item("not distinguished", 0.3)


def no(p_holm):
    return item("no", p_holm, against=True)


@pytest.mark.parametrize(
    ("items", "verdict"),
    [
        ([YES], "yes"),
        ([YES, YES], "yes"),
        ([YES, OPEN], "not shown"),
        ([OPEN], "not shown"),
        ([no(0.04)], "no"),
        ([no(0.04), OPEN], "not shown"),  # .08 over two comparisons
        ([no(0.02), OPEN], "no"),
        ([no(0.02), YES], "mixed"),
        ([no(0.04), YES], "not shown"),
        ([no(0.01), item("too few arrivals")], "no"),
        ([OPEN, item("too few arrivals")], "too few arrivals"),
        ([YES, item("not measured")], "not measured"),
        ([item("not measured"), item("not enough data")], "not enough data"),
        ([], "not measured"),
    ],
)
def test_a_conjunction_is_judged_by_its_weakest_part(items, verdict):
    assert combine(items, ALPHA) == verdict


words = st.sampled_from(["yes", *CONCLUSIONS])
evidence = st.builds(
    lambda word, p: item(word, p * ALPHA if word in ("yes", "no") else p, word == "no"),
    words,
    st.floats(0.001, 1),
)


@given(st.lists(evidence, min_size=1, max_size=6))
def test_more_rivals_never_turn_a_claim_into_yes_and_every_verdict_has_a_word(items):
    verdict = combine(items, ALPHA)
    assert verdict in VERDICTS
    assert combine([*items, OPEN], ALPHA) != "yes"
    assert (verdict == "yes") == all(each.word == "yes" for each in items)
    assert (verdict in ("no", "mixed")) == bool(corrected_against(items) <= ALPHA)


def test_the_false_no_of_five_rivals_stays_at_alpha():
    """Five rivals that are all equal to the subject, each against it half the time, share the subject's noise."""
    random = np.random.default_rng(0)
    false = 0
    for _ in range(4000):
        shared, own = random.standard_normal(), random.standard_normal(5)
        z = (shared + own) / np.sqrt(2)
        p_values = [float(p) for p in 2 * _upper_tail(np.abs(z))]
        items = [
            item("no" if p <= ALPHA and value > 0 else "not distinguished", p, value > 0)
            for p, value in zip(p_values, z, strict=True)
        ]
        false += combine(items, ALPHA) in ("no", "mixed")
    assert false / 4000 <= ALPHA / 2 + 0.008  # one side of a two-sided test


def _upper_tail(z):
    from scipy.stats import norm

    return norm.sf(z)


def compared(words, datasets, arms=("horn", "cnn", "rows", "gru")):
    """Return comparisons of every arm with every other on every dataset, by {(arm, rival, dataset): word}."""
    labels = [(arm, dataset) for dataset in datasets for arm in arms]
    shape = (len(labels), len(arms), 1, 2)
    word, p_holm, favours = (
        np.full(shape, "not measured", object),
        np.full(shape, np.nan),
        np.zeros(shape, np.int8),
    )
    for (arm, rival, dataset), told in words.items():
        place = labels.index((arm, dataset)), arms.index(rival)
        word[place], p_holm[place] = told, 0.001 if told in ("yes", "no") else 0.4
        favours[place] = {"yes": 1, "no": -1}.get(told, 0)
    dims = ("contender", "rival", "target", "axis")
    return xr.Dataset(
        {
            "conclusion": (("contender", "rival", "axis"), word[:, :, 0]),
            "p_holm": (dims, p_holm),
            "favours": (dims, favours),
        },
        {
            "arm": ("contender", np.array([arm for arm, _ in labels], object)),
            "dataset": ("contender", np.array([dataset for _, dataset in labels], object)),
            "selected_for": ("contender", np.full(len(labels), "", object)),
            "rival": np.array(arms, object),
            "target": [0.9],
            "axis": ["samples", "seconds"],
        },
    )


def test_every_claim_has_its_own_subject_and_rivals():
    settings = StatisticsSettings(
        claims={"faster": {"rivals": ["cnn"]}, "rows_faster": {"subject": "rows", "rivals": ["gru"]}}
    )
    words = {("horn", "cnn", "digits"): "yes", ("rows", "gru", "digits"): "no"}
    found, rests = verdicts(compared(words, ["digits"]), "horn", settings)
    assert found["overall_verdict"].values.tolist() == ["yes", "no"]
    assert found["claim_subject"].values.tolist() == ["horn", "rows"]
    assert [each.rival for each in rests["digits", "rows_faster"]] == ["gru"]


def test_a_cause_is_judged_against_rivals_and_controls_and_without_controls_it_is_not_asked():
    because = {"what": "its oscillation", "rivals": ["cnn"], "controls": ["rows"]}
    data = compared(
        {("horn", "cnn", "digits"): "yes", ("horn", "rows", "digits"): "not distinguished"}, ["digits"]
    )
    found, _ = verdicts(data, "horn", StatisticsSettings(claims={"because": because}))
    assert found["overall_verdict"].item() == "not shown"
    found, rests = verdicts(data, "horn", StatisticsSettings(claims={"because": {**because, "controls": []}}))
    assert not found.data_vars and not rests


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        (("yes", "yes"), "yes"),
        (("yes", "not shown"), "not shown"),
        (("not shown", "yes", "not measured"), "not measured"),
        (("no", "not measured"), "no"),
        (("not shown", "no"), "no"),
        (("yes", "no"), "mixed"),
        (("yes", "mixed"), "mixed"),
        ((), "not measured"),
    ],
)
def test_over_several_places_a_claim_must_hold_in_all_and_is_refuted_by_one(words, verdict):
    assert over_places(words) == verdict


def test_datasets_without_the_subject_do_not_count():
    settings = StatisticsSettings(claims={"faster": {"rivals": ["cnn"]}})
    data = compared(
        {("horn", "cnn", "digits"): "yes", ("horn", "cnn", "mnist"): "not distinguished"}, ["digits", "mnist"]
    )
    assert verdicts(data, "horn", settings)[0]["overall_verdict"].item() == "not shown"
    only = data.isel(contender=[0, 1, 2, 3, 5])  # on mnist there is no horn
    found, _ = verdicts(only, "horn", settings)
    assert found["verdict"].values.tolist() == [["yes"], ["not measured"]]
    assert found["overall_verdict"].item() == "yes"
