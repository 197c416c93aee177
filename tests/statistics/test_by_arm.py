"""Arms over all datasets: which cells take part, and hand cases of their scores."""

import numpy as np
import pytest

from hornlib.statistics.by_arm import by_arm
from hornlib.statistics.contenders import contenders, final_metric


@pytest.fixture
def told(results, settings, times_of):
    """A function that gives what is said of the arms of simulated times."""

    def tell(times, rules=None, **how):
        ds = contenders(results(times, **how))
        rules = settings(**(rules or {}))
        times = times_of(ds, rules)
        return by_arm(ds, final_metric(ds), times, rules)

    return tell


TWO = ["digits", "digits", "mnist", "mnist"]


def on_two_datasets(cnn, horn):
    """Return the times of two arms on two datasets, and these datasets."""
    cells = [("cnn", [cnn[0]] * 7), ("horn", [horn[0]] * 7), ("cnn", [cnn[1]] * 7), ("horn", [horn[1]] * 7)]
    return {"times": cells, "dataset": TWO}


def score_of(arms, arm, selection=""):
    return float(arms["algoperf_score"].sel(arm=arm, selection=selection))


def reason_of(arms, arm, selection=""):
    return str(arms["algoperf_reason"].sel(arm=arm, selection=selection).item())


def test_an_arm_twice_as_fast_on_one_of_two_datasets(told):
    arms, sentences = told(**on_two_datasets((100, 100), (50, 100)))
    assert not sentences and reason_of(arms, "horn") == ""
    assert score_of(arms, "horn") == pytest.approx(1)
    # times are rounded up
    assert score_of(arms, "cnn") == pytest.approx((1 + (4 - 2) / 3) / 2, abs=0.05)
    profile = arms["performance_profile"].sel(selection="", arm="cnn")
    assert float(profile.sel(ratio_grid=1)) == 0.5 and float(profile.sel(ratio_grid=4)) == 1


def test_one_dataset_gives_no_score_and_no_profile_but_the_reason(told):
    arms, sentences = told({"cnn": [100] * 7, "horn": [50] * 7})
    assert arms["algoperf_score"].isnull().all() and arms["performance_profile"].isnull().all()
    assert "one dataset" in reason_of(arms, "horn")
    (sentence,) = sentences
    assert sentence.startswith("There is no AlgoPerf score for cnn, horn: one dataset")


def test_an_arm_that_mostly_misses_has_missed(told):
    cells = on_two_datasets((100, 100), (50, 50))
    cells["times"][1] = ("horn", [50] * 3 + [np.inf] * 4)
    arms, _ = told(**cells)
    assert score_of(arms, "horn") == pytest.approx(0.5)


def test_scores_are_relative_to_the_baselines_median(told):
    arms, _ = told({"cnn": [100] * 7, "horn": [100] * 7}, final={"horn": 0.95})
    middle = arms["interquartile_mean"].sel(selection="")
    assert float(middle.sel(arm="cnn")) == pytest.approx(1, abs=1e-3)
    assert float(middle.sel(arm="horn")) == pytest.approx(0.95, abs=2e-3)


def test_arms_of_another_presentation_are_not_ranked_against_the_subject(told):
    """A GRU that reads rows and is four times as fast changes no score of the arms that see the image."""
    plain, _ = told(**on_two_datasets((100, 100), (50, 100)))
    cells = on_two_datasets((100, 100), (50, 100))
    cells["times"] += [("gru", [12] * 7), ("gru", [12] * 7)]
    cells["dataset"] = [*TWO, "digits", "mnist"]
    arms, sentences = told(**cells, presentation=[*["image"] * 4, "rows", "rows"])
    for arm in ("cnn", "horn"):
        assert score_of(arms, arm) == score_of(plain, arm)
    assert np.isnan(score_of(arms, "gru"))
    assert reason_of(arms, "gru") == "no subject of a claim has this presentation"
    assert any("gru" in sentence for sentence in sentences)


def test_a_claims_own_subject_gives_its_presentation_a_score(told):
    cells = on_two_datasets((100, 100), (50, 100))
    cells["times"] += [("gru", [12] * 7), ("horn_rows", [24] * 7), ("gru", [12] * 7), ("horn_rows", [12] * 7)]
    cells["dataset"] = [*TWO, *TWO]
    rules = {
        "claims": {"faster": {"rivals": ["cnn"]}, "rows": {"subject": "horn_rows", "rivals": ["gru"]}},
        "subject": "horn",
    }
    arms, _ = told(**cells, rules=rules, presentation=["image"] * 4 + ["rows"] * 4)
    assert score_of(arms, "gru") == pytest.approx(1)
    assert 0.5 < score_of(arms, "horn_rows") < 1
    assert score_of(arms, "horn") == pytest.approx(1)


def test_a_subject_with_several_cells_leaves_everybody_without_a_score_and_this_is_said(told):
    cells = on_two_datasets((100, 100), (50, 100))
    cells["times"] += [("horn", [60] * 7), ("horn", [60] * 7)]
    arms, sentences = told(**{**cells, "dataset": [*TWO, "digits", "mnist"]})
    assert arms["algoperf_score"].isnull().all()
    assert reason_of(arms, "horn") == "several cells on a dataset"
    assert reason_of(arms, "cnn") == "the subject horn has no score: several cells on a dataset"
    assert sentences[0] == "No aggregate over datasets includes horn: several cells on a dataset."


def test_a_rival_with_several_cells_takes_no_part_and_this_is_said(told):
    cells = on_two_datasets((100, 100), (50, 100))
    cells["times"] += [("mlp", [60] * 7), ("mlp", [70] * 7)]
    arms, sentences = told(**{**cells, "dataset": [*TWO, "digits", "digits"]})
    assert sentences[0] == "No aggregate over datasets includes mlp: several cells on a dataset."
    assert np.isnan(score_of(arms, "mlp")) and score_of(arms, "horn") == pytest.approx(1)


def test_an_arm_that_lacks_a_dataset_leaves_it_out_of_the_profiles_and_this_is_said(told):
    cells = on_two_datasets((100, 100), (50, 100))
    cells["times"] += [("cnn", [100] * 7)]
    arms, sentences = told(**{**cells, "dataset": [*TWO, "cifar10"]})
    assert any("2 of 3 datasets" in sentence for sentence in sentences)
    assert score_of(arms, "horn") == pytest.approx(1)


def test_two_datasets_of_which_only_one_has_all_arms_give_no_score(told):
    cells = [("cnn", [100] * 7), ("horn", [50] * 7), ("cnn", [100] * 7)]
    arms, _ = told(cells, dataset=["digits", "digits", "mnist"])
    assert arms["algoperf_score"].isnull().all()
    assert reason_of(arms, "cnn").startswith("one dataset that all arms have")


def test_an_arm_of_two_presentations_takes_no_part(told):
    arms, _ = told(**on_two_datasets((100, 100), (50, 100)), presentation=["image", "image", "image", "rows"])
    assert reason_of(arms, "horn") == "several presentations"
    assert arms["algoperf_score"].isnull().all()


def test_datasets_of_vectors_and_of_images_are_one_presentation(told):
    arms, _ = told(
        **{**on_two_datasets((100, 100), (50, 100)), "dataset": ["spirals", "spirals", "mnist", "mnist"]},
        presentation=["vector", "vector", "image", "image"],
    )
    assert score_of(arms, "horn") == pytest.approx(1)


def test_tuned_cells_are_aggregated_by_what_they_were_selected_for(told):
    cells = [("cnn", [100] * 7), ("cnn", [90] * 7), ("horn", [100] * 7), ("horn", [30] * 7)] * 2
    selected = ["", "time_to_target", "", "time_to_target"] * 2
    arms, sentences = told(cells, selected_for=selected, dataset=["digits"] * 4 + ["mnist"] * 4)
    assert not sentences and arms["selection"].values.tolist() == ["", "time_to_target"]
    assert score_of(arms, "cnn", "time_to_target") < 0.5 < score_of(arms, "cnn")
