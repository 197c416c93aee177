"""Arms over all datasets: which cells take part, and hand cases of their scores."""

import numpy as np
import pytest

from hornlib.statistics.appendix import final_metric
from hornlib.statistics.by_arm import by_arm
from hornlib.statistics.contenders import contenders
from hornlib.statistics.restricted_mean import baseline_metric, restricted_times


@pytest.fixture
def told(results, settings):
    """A function that gives what is said of the arms of simulated times."""

    def tell(times, **how):
        ds = contenders(results(times, **how))
        rules = settings()
        times = restricted_times(ds, baseline_metric(ds, rules.baseline), rules)
        return by_arm(ds, final_metric(ds), times, rules)

    return tell


def test_an_arm_twice_as_fast_on_one_of_two_datasets(told):
    cells = [("cnn", [100] * 7), ("horn", [50] * 7), ("cnn", [100] * 7), ("horn", [100] * 7)]
    found, sentences = told(cells, dataset=["digits", "digits", "mnist", "mnist"])
    assert not sentences
    score = found["algoperf_score"].sel(selection="")
    assert float(score.sel(arm="horn")) == pytest.approx(1)
    assert float(score.sel(arm="cnn")) == pytest.approx(
        (1 + (4 - 2) / 3) / 2, abs=0.05
    )  # times are rounded up
    profile = found["performance_profile"].sel(selection="", arm="cnn")
    assert float(profile.sel(ratio_grid=1)) == 0.5 and float(profile.sel(ratio_grid=4)) == 1


def test_an_arm_that_mostly_misses_has_missed(told):
    found, _ = told({"cnn": [100] * 7, "horn": [50] * 3 + [np.inf] * 4})
    assert float(found["algoperf_score"].sel(arm="horn").item()) == 0


def test_scores_are_relative_to_the_baselines_median(told):
    found, _ = told({"cnn": [100] * 7, "horn": [100] * 7}, final={"horn": 0.95})
    middle = found["interquartile_mean"].sel(selection="")
    assert float(middle.sel(arm="cnn")) == pytest.approx(1, abs=1e-3)
    assert float(middle.sel(arm="horn")) == pytest.approx(0.95, abs=2e-3)


def test_an_arm_with_several_cells_takes_no_part_and_this_is_said(told):
    cells = [("cnn", [100] * 7), ("horn", [50] * 7), ("horn", [60] * 7)]
    found, sentences = told(cells)
    assert "horn: several cells" in sentences[0]
    score = found["algoperf_score"].sel(selection="")
    assert np.isnan(score.sel(arm="horn")) and float(score.sel(arm="cnn")) == 1


def test_an_arm_that_lacks_a_dataset_leaves_it_out_of_the_profiles_and_this_is_said(told):
    cells = [("cnn", [100] * 7), ("horn", [50] * 7), ("cnn", [100] * 7)]
    found, sentences = told(cells, dataset=["digits", "digits", "mnist"])
    assert "1 of 2 datasets" in sentences[-1]
    assert float(found["algoperf_score"].sel(arm="horn").item()) == 1


def test_tuned_cells_are_aggregated_by_what_they_were_selected_for(told):
    cells = [("cnn", [100] * 7), ("cnn", [90] * 7), ("horn", [100] * 7), ("horn", [30] * 7)]
    found, sentences = told(cells, selected_for=["", "time_to_target", "", "time_to_target"])
    assert not sentences and found["selection"].values.tolist() == ["", "time_to_target"]
    assert float(found["algoperf_score"].sel(selection="time_to_target", arm="cnn")) < 0.5
