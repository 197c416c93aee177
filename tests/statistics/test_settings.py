"""Settings of the statistics: what config.yaml may say, and what is refused."""

import pytest
from pydantic import ValidationError

from hornlib.statistics.settings import StatisticsSettings


def test_lists_of_yaml_become_tuples():
    settings = StatisticsSettings(targets=[0.5, 0.8], faster_than=["cnn", "cnn_equal_flops"])
    assert settings.targets == (0.5, 0.8)
    assert settings.must_beat() == ("cnn", "cnn_equal_flops")


def test_the_headline_target_is_always_among_the_targets():
    assert StatisticsSettings(target=0.7, targets=[0.9, 0.8]).all_targets() == (0.7, 0.8, 0.9)


def test_faster_is_judged_against_the_baseline_unless_told():
    assert StatisticsSettings(baseline="mlp").must_beat() == ("mlp",)


@pytest.mark.parametrize(
    "values",
    [{"target": 1.0}, {"targets": [0.0]}, {"alpha": 0}, {"confirm": 0}, {"unknown": 1}, {"subject": "cnn"}],
)
def test_what_makes_no_sense_is_refused(values):
    with pytest.raises(ValidationError):
        StatisticsSettings(**values)
