"""Settings of the statistics: what config.yaml may say, and what is refused."""

import pytest
from pydantic import ValidationError

from hornlib.parameters.statistics import Claim, StatisticsSettings, default_subject

BECAUSE = {"what": "its oscillation", "rivals": ["cnn"], "controls": ["leaky"]}


def test_lists_of_yaml_become_tuples_and_one_axis_may_stand_alone():
    settings = StatisticsSettings(
        targets=[0.5, 0.8], claims={"faster": {"rivals": ["cnn", "cnn_equal_flops"], "axes": "step"}}
    )
    assert settings.targets == (0.5, 0.8)
    assert settings.claims == {"faster": Claim(axes=("step",), rivals=("cnn", "cnn_equal_flops"))}


def test_the_headline_target_is_always_among_the_targets():
    assert StatisticsSettings(target=0.7, targets=[0.9, 0.8]).all_targets() == (0.7, 0.8, 0.9)


def test_without_claims_faster_and_cheaper_are_asked_against_the_baseline():
    claims = StatisticsSettings(baseline="mlp").claims
    assert {name: (claim.rivals, claim.axes) for name, claim in claims.items()} == {
        "faster": (("mlp",), ("samples",)),
        "cheaper": (("mlp",), ("training_flops", "seconds")),
    }


def test_a_cause_must_beat_rivals_and_controls_and_is_not_asked_without_controls():
    asked = StatisticsSettings(claims={"because": BECAUSE}).asked()
    assert asked["because"].must_beat() == ("cnn", "leaky")
    assert not StatisticsSettings(claims={"because": {**BECAUSE, "controls": []}}).asked()


def test_a_claim_may_have_its_own_subject():
    settings = StatisticsSettings(
        subject="horn", claims={"faster": {"rivals": ["cnn"]}, "rows": {"subject": "rows", "rivals": ["gru"]}}
    )
    assert [settings.subject_of(claim) for claim in settings.claims.values()] == ["horn", "rows"]
    assert settings.rivals() == ("cnn", "gru")


def test_settings_survive_json():
    settings = StatisticsSettings(claims={"because": BECAUSE, "faster": {"rivals": ["cnn"]}})
    assert StatisticsSettings.model_validate_json(settings.model_dump_json()) == settings


def test_the_keys_of_earlier_versions_say_what_they_said():
    old = StatisticsSettings.model_validate({"faster_than": ["a", "b"], "oscillation_controls": ["c"]})
    assert {name: (claim.axes, claim.must_beat()) for name, claim in old.claims.items()} == {
        "faster": (("samples",), ("a", "b")),
        "because_of_oscillation": (("samples",), ("a", "b", "c")),
        "cheaper": (("training_flops", "seconds"), ("a", "b")),
    }
    none = StatisticsSettings.model_validate({"baseline": "small", "oscillation_controls": []})
    assert none == StatisticsSettings(baseline="small")


def test_the_first_arm_with_oscillators_is_the_subject_that_nobody_names():
    assert default_subject({"rows": "horn", "cnn": "cnn", "fields": "horn_cnn"}) == "fields"
    assert default_subject({"cnn": "cnn"}) == ""


@pytest.mark.parametrize(
    "values",
    [
        {"target": 1.0},
        {"targets": [0.0]},
        {"alpha": 0},
        {"confirm": 0},
        {"unknown": 1},
        {"subject": "cnn"},
        {"claims": {"faster": {}}},
        {"claims": {"faster": {"rivals": []}}},
        {"claims": {"faster": {"rivals": ["cnn"], "axes": []}}},
        {"claims": {"faster": {"rivals": ["cnn"], "axes": ["flops"]}}},
        {"claims": {"faster": {"rivals": ["cnn"], "controls": ["leaky"]}}},
        {"claims": {"faster": {"rivals": ["cnn"], "subject": "cnn"}}},
        {"claims": {"because": {**BECAUSE, "subject": "leaky"}}},
        {"claims": {"Not a word": {"rivals": ["cnn"]}}},
        {"claims": [1]},
    ],
)
def test_what_makes_no_sense_is_refused(values):
    with pytest.raises(ValidationError):
        StatisticsSettings.model_validate(values)
