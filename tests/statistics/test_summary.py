"""The summary of a sweep: the right verdicts on plain cases, and what is said beside them."""

import json
import re

import numpy as np
import pytest
import xarray as xr

from hornlib.parameters.statistics import Claim
from hornlib.statistics.summary import summarise

NAMED = {
    "claims": {
        "faster": {"rivals": ["cnn"]},
        "because_of_oscillation": {"what": "its oscillation", "rivals": ["cnn"], "controls": ["leaky_cnn"]},
        "cheaper": {"axes": ["training_flops", "seconds"], "rivals": ["cnn"]},
    }
}


def verdict(summary, claim="faster"):
    """Return the verdict on a claim over all datasets."""
    return summary["overall_verdict"].sel(claim=claim).item()


def told(summary):
    """Return all limits as one text."""
    return " ".join(json.loads(summary.attrs["limits"]))


def test_twice_as_fast_as_all_is_faster_because_of_oscillation(results, settings, arms):
    summary = summarise(results(arms()), settings(**NAMED))
    assert verdict(summary) == verdict(summary, "because_of_oscillation") == "yes"
    assert verdict(summary, "cheaper") == "not measured"
    pair = summary.sel(contender="horn_cnn", rival="cnn", target=0.9, axis="samples")
    log_times = np.log(summary["restricted_time"].sel(target=0.9, axis="samples"))
    by_hand = np.exp((log_times.sel(contender="horn_cnn") - log_times.sel(contender="cnn")).mean())
    assert pair["ratio"].item() == pytest.approx(by_hand.item())
    assert pair["ratio_bound"].values[0] < pair["ratio"] < pair["ratio_bound"].values[1] < 1
    questions = [line.partition("?")[0] for line in summary.attrs["answer"].splitlines()]
    assert questions == [
        "Does horn_cnn learn faster",
        "Does horn_cnn learn faster because of its oscillation",
        "Is horn_cnn cheaper to train",
    ]
    assert "learn faster? Yes: horn_cnn needs" in summary.attrs["answer"]


def test_a_pair_seen_from_the_other_side_is_its_inverse(results, settings, arms):
    summary = summarise(results(arms()), settings())
    there, back = (
        summary.sel(contender=one, rival=other, axis="samples", target=0.9)
        for one, other in (("horn_cnn", "cnn"), ("cnn", "horn_cnn"))
    )
    assert there["ratio"].item() == pytest.approx(1 / back["ratio"].item())
    assert there["ratio_bound"].values == pytest.approx(1 / back["ratio_bound"].values[::-1])
    assert there["p_value"].item() == back["p_value"].item()


def test_half_as_fast_is_no(results, settings, arms):
    assert verdict(summarise(results(arms(horn=240)), settings(**NAMED))) == "no"


def test_equal_is_never_concluded(results, settings, arms):
    summary = summarise(results(arms(horn=121)), settings(**NAMED))
    assert verdict(summary) == "not shown"
    assert "are not distinguished in samples (ratio" in summary.attrs["answer"]
    assert " equal" not in summary.attrs["answer"]


def test_faster_than_the_cnn_but_not_than_the_control(results, settings, arms):
    summary = summarise(results(arms(leaky=61)), settings(**NAMED))
    assert verdict(summary) == "yes"
    assert verdict(summary, "because_of_oscillation") == "not shown"


def test_beating_one_rival_and_losing_to_another_is_mixed(results, settings, arms):
    summary = summarise(
        results(arms(leaky=30)), settings(claims={"faster": {"rivals": ["cnn", "leaky_cnn"]}})
    )
    assert verdict(summary) == "mixed"


def test_fewer_than_seven_seeds_are_not_enough_data(results, settings, arms):
    summary = summarise(results(arms(num_seeds=6)), settings(**NAMED))
    assert verdict(summary) == verdict(summary, "because_of_oscillation") == "not enough data"
    assert "share n = 6 seeds, and 7 are needed" in summary.attrs["answer"]
    assert "fewer than 7 runs" in told(summary)


def test_below_five_pairs_there_is_no_interval(results, settings, arms):
    summary = summarise(results(arms(num_seeds=4)), settings(**NAMED))
    assert summary["ratio_bound"].isnull().all() and summary["ratio"].notnull().any()


def test_cheaper_needs_flops_and_seconds(results, settings, arms):
    ds = results(arms()).assign_coords(calibration_device=["gpu"])
    ds["step_time"] = (("cell", "calibration_device"), [[0.1], [0.1], [0.1]])
    assert verdict(summarise(ds, settings(**NAMED)), "cheaper") == "yes"
    ds["training_flops"][0] *= 5
    assert verdict(summarise(ds, settings(**NAMED)), "cheaper") == "mixed"
    ds["step_time"][0] = 0.5
    assert verdict(summarise(ds, settings(**NAMED)), "cheaper") == "no"


def test_verdicts_that_differ_over_datasets_are_mixed(results, settings, lognormal):
    entries = [
        ("horn_cnn", lognormal(60, seed=1)),
        ("cnn", lognormal(120, seed=2)),
        ("horn_cnn", lognormal(200, seed=3)),
        ("cnn", lognormal(100, seed=4)),
    ]
    summary = summarise(results(entries, dataset=["digits", "digits", "mnist", "mnist"]), settings())
    assert summary["verdict"].sel(claim="faster").values.tolist() == ["yes", "no"]
    assert verdict(summary) == "mixed"
    at = {"target": 0.9, "axis": "samples", "rival": "cnn"}
    p = summary["p_value"].sel(at).sel(contender=["horn_cnn on digits", "horn_cnn on mnist"]).values
    adjusted = summary["p_holm"].sel(at).sel(contender=["horn_cnn on digits", "horn_cnn on mnist"])
    assert adjusted.values.max() == max(p.max(), 2 * p.min())


def test_a_run_that_reached_and_diverged_never_arrives_and_takes_two_statements(results, settings, arms):
    summary = summarise(results(arms(), diverged=[(0, 0, 500)]), settings(**NAMED))
    assert "1 run of horn_cnn diverged. A diverged run counts as never reaching the target" in told(summary)
    answer = summary.attrs["answer"].splitlines()[0]
    assert (
        "9 of 10 and 10 of 10 runs reached the target, difference of shares -0.1 [" in answer
        and "interval" in answer
    )
    assert summary["ratio_bound"].sel(contender="horn_cnn", rival="cnn").isnull().all()


def test_early_fast_with_a_lower_end_is_told(results, settings, arms):
    summary = summarise(results(arms(), final={"horn_cnn": 0.95}), settings(**NAMED))
    assert verdict(summary) == "yes"
    alone = "Each comparison is tested alone, without a correction for their number."
    end = f"However, its final test metric is worse than that of cnn by more than 0.01. {alone}"
    answers = summary.attrs["answer"].splitlines()
    behind = [
        line for line in answers if "However, its final test metric is worse than that of cnn by" in line
    ]
    assert behind and all(end in line or line.endswith("0.01.") for line in behind)
    assert f"worse than that of cnn by more than the margin of 0.01. {alone}" in told(summary)


def test_final_metrics_of_several_rivals_are_said_to_be_uncorrected_and_of_one_are_not(
    results, settings, arms
):
    ends = {"horn_cnn": 0.95}
    for rivals in (("cnn",), ("cnn", "leaky_cnn")):
        rules = settings(claims={"faster": Claim(rivals=rivals)})
        summary = summarise(results(arms(), final=ends), rules)
        assert "However, its final test metric is worse" in summary.attrs["answer"]
        assert ("without a correction" in summary.attrs["answer"]) == (len(rivals) > 1)


def test_a_grid_has_its_parameters_beside_its_levels(results, settings, lognormal):
    entries = [("horn_cnn", lognormal(60 + 10 * k, seed=k)) for k in range(4)] + [("cnn", lognormal(120))]
    kind = {"kind": "number"}
    ds = results(entries).assign_coords(
        timesteps=("cell", [4, 4, 8, 8, np.nan], kind),
        learning_rate=("cell", [0.1, 0.2, 0.1, 0.2, 0.1], kind),
    )
    summary = summarise(ds, settings())
    assert summary["level"].dims == ("dataset", "target")
    assert "horn_cnn timesteps=4 learning_rate=0.1" in summary["contender"].values
    assert summary["main_effect"].notnull().any()
    assert summary["parameter_level"].values.tolist() == ["timesteps=4", "timesteps=8"]
    assert set(summary["arm_label"].values) == {"horn_cnn", "cnn"}


def test_many_cells_of_the_subject_are_counted(results, settings, lognormal):
    fast = [("horn_cnn", lognormal(50 + k, seed=k)) for k in range(2)]
    slow = [("horn_cnn", lognormal(300 + k, seed=k)) for k in range(2)]

    def said(entries):
        ds = results([*entries, ("cnn", lognormal(120, seed=9))])
        timesteps = [*range(len(entries)), np.nan]
        return summarise(
            ds.assign_coords(timesteps=("cell", timesteps, {"kind": "number"})),
            settings(claims={"faster": {"rivals": ["cnn"]}}),
        ).attrs["answer"]

    assert "Mixed over 4 cells (yes in 2 cells; no in 2 cells): horn_cnn timesteps=" in said([*fast, *slow])
    assert (
        "Yes in both cells: both comparisons say yes. In the least certain one, horn_cnn timesteps="
        in said(fast)
    )
    assert "No in all 3 cells: in the most certain comparison, " in said([*slow, slow[0]])


def test_an_answer_has_a_line_and_few_words_for_each_claim_over_many_datasets(results, settings, lognormal):
    datasets = ["digits", "mnist", "fashion_mnist", "cifar10"]
    times = {"horn_cnn": (60, 120, 200, 90), "cnn": (120,) * 4, "leaky_cnn": (110,) * 4}
    entries = [
        (arm, lognormal(own[place], seed=10 * place + number))
        for place in range(len(datasets))
        for number, (arm, own) in enumerate(times.items())
    ]
    summary = summarise(results(entries, dataset=list(np.repeat(datasets, 3))), settings(**NAMED))
    lines = summary.attrs["answer"].splitlines()
    assert len(lines) == 3
    assert max(len(re.findall("[A-Za-z_]{2,}", line)) for line in lines) <= 50
    assert "over 4 datasets (yes on digits" in lines[0] and "on digits needs" in lines[0]


def test_claims_of_several_subjects_are_answered_together(results, settings, arms, lognormal):
    times = arms() | {"horn": lognormal(60, seed=4), "gru": lognormal(120, seed=5)}
    presentation = ["image", "image", "image", "rows", "rows"]
    rows = {"subject": "horn", "question": "Does HORN by rows learn faster?", "rivals": ["gru"]}
    summary = summarise(
        results(times, presentation=presentation),
        settings(claims={"faster": {"rivals": ["cnn"]}, "rows": rows}),
    )
    assert verdict(summary) == verdict(summary, "rows") == "yes"
    assert summary["claim_subject"].values.tolist() == ["horn_cnn", "horn"]
    assert "Does HORN by rows learn faster? Yes: horn needs" in summary.attrs["answer"]


def test_without_a_claim_that_can_be_asked_there_is_no_verdict(results, settings, arms):
    because = {"what": "its oscillation", "rivals": ["cnn"]}
    summary = summarise(results(arms()), settings(claims={"because": because}))
    assert "claim" not in summary.dims and summary.attrs["answer"].startswith("The sweep asks no question")


def test_a_level_fixed_on_tuning_seeds_is_taken_as_given(results, settings, arms):
    given = xr.DataArray([0.8, 0.2], {"dataset": ["digits", "mnist"]}, "dataset")
    summary = summarise(results(arms()), settings(**NAMED), given)
    assert summary["level"].sel(target=0.9).item() == pytest.approx(0.1 + 0.9 * 0.7)
    assert "not fixed before" not in told(summary)
    unknown = summarise(results(arms()), settings(), given.sel(dataset=["digits"]) * np.nan)
    assert unknown["level"].isnull().all() and "the tuning seeds of cnn have no metric" in told(unknown)


def test_a_level_that_is_not_fixed_yet_leaves_those_of_other_datasets_fixed(results, settings, arms):
    entries = [*arms().items(), *arms().items()]
    ds = results(entries, dataset=["digits"] * 3 + ["mnist"] * 3)
    given = xr.DataArray([0.8], {"dataset": ["digits"]}, "dataset")
    summary = summarise(ds, settings(), given)
    levels = summary["level"].sel(target=0.9)
    alone = summarise(ds, settings())["level"].sel(target=0.9, dataset="mnist")
    assert levels.sel(dataset="digits").item() == pytest.approx(0.1 + 0.9 * 0.7)
    assert levels.sel(dataset="mnist").item() == alone.item() != levels.sel(dataset="digits").item()
    assert "The levels of the targets on mnist come from the baseline's runs" in told(summary)


def test_the_same_results_give_the_same_statistics(results, settings, arms):
    ds = results(arms())
    xr.testing.assert_identical(summarise(ds, settings()), summarise(ds, settings()))


def test_every_variable_has_units_and_a_long_name(results, settings, arms):
    summary = summarise(results(arms()), settings(**NAMED))
    for name, variable in summary.data_vars.items():
        assert {"units", "long_name"} <= set(variable.attrs), name
