"""Poor data: what cannot be concluded is said in a sentence, and nothing raises."""

import json

import numpy as np
import pytest
import xarray as xr

from hornlib.statistics.contenders import contenders
from hornlib.statistics.limits import limits
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


@pytest.fixture(scope="module")
def limits_of(results, settings, arms):
    """A function that gives the limits of results which differ from those of `arms` in what no statistic reads."""
    chosen = settings(**NAMED)
    summary = summarise(results(arms()), chosen)
    return lambda ds: limits(contenders(ds, "cnn"), summary, "horn_cnn", [], chosen)


def nothing_reaches(results, arms):
    return results(dict.fromkeys(arms(), np.full(10, np.inf)), final=1.0)


def all_diverged(results, arms):
    return results(arms(), diverged=[(cell, seed, 1) for cell in range(3) for seed in range(10)])


def full_of_nan(results, arms):
    ds = results(arms())
    ds["validation_metric"] = ds["validation_metric"].where(ds["step"] % 2 == 0)
    return ds


def without_validation(results, arms):
    ds = results(arms())
    for name in ("validation_metric", "final_validation_metric"):
        ds[name] = xr.full_like(ds[name], np.nan)
    return ds


def without_metric(results, arms):
    ds = without_validation(results, arms)
    for name in ("test_metric", "final_test_metric"):
        ds[name] = xr.full_like(ds[name], np.nan)
    return ds


def one_arm(results, arms):
    return results({"horn_cnn": arms()["horn_cnn"]})


def no_baseline(results, arms):
    return results({arm: own for arm, own in arms().items() if arm != "cnn"})


def no_subject(results, arms):
    return results({arm: own for arm, own in arms().items() if arm != "horn_cnn"})


def different_grids(results, arms):
    ds = results(arms())
    ds["samples"] = ds["samples"].where((ds["arm"] != "cnn") | (ds["step"] % 2 == 0))
    return ds


def disjoint_grids(results, arms):
    ds = results(arms())
    ds["samples"] = ds["samples"].where((ds["arm"] == "cnn") == (ds["step"] % 2 == 0))
    return ds


def other_presentation(results, arms):
    return results(arms(), presentation=["rows", "image", "image"])


def mixed_versions(results, arms):
    versions = np.full((3, 10), "1.0", object)
    versions[1, 0] = "1.1"
    return results(arms()).assign(hornlib_version=(("cell", "seed"), versions))


def missing_runs(results, arms):
    return results(arms(), missing=[(0, seed) for seed in range(5)] + [(2, seed) for seed in range(10)])


def partly_calibrated(results, arms):
    ds = results(arms()).assign_coords(calibration_device=["gpu"])
    ds["step_time"] = (("cell", "calibration_device"), [[0.1], [np.nan], [0.1]])
    return ds


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("make", "sentence", "found"),
    [
        (nothing_reaches, "no better than chance", "not measured"),
        (all_diverged, "All runs of horn_cnn, cnn, leaky_cnn diverged", "not measured"),
        (full_of_nan, "evaluations without a number", "yes"),
        (
            without_validation,
            "there is no validation split. Targets, early metrics and the choice of learning rates",
            "yes",
        ),
        (without_metric, "there is no metric", "not measured"),
        (one_arm, "nothing to compare it with", "not measured"),
        (no_baseline, "no arm cnn sets the levels of the targets", "not measured"),
        (no_subject, "no arm with oscillators", "not measured"),
        (different_grids, "evaluated at different steps", "yes"),
        (disjoint_grids, "a pair that shares none is not measured", "not measured"),
        (other_presentation, "cnn has no cell that learns the same data", "not measured"),
        (mixed_versions, "different versions of hornlib: 1.0 (29 runs of", "yes"),
        (missing_runs, "15 runs of 30 are missing", "not enough data"),
        (partly_calibrated, "Seconds of cnn were not measured on gpu", "yes"),
    ],
)
def test_poor_data_end_in_a_sentence_not_in_an_error(results, settings, arms, make, sentence, found):
    summary = summarise(make(results, arms), settings(**NAMED))
    assert sentence in told(summary)
    assert verdict(summary) == found
    assert summary.attrs["answer"]


def test_a_target_that_nobody_reaches_is_not_a_tie(results, settings):
    never = np.full(10, np.inf)
    ds = results({"horn_cnn": never, "cnn": never})
    given = xr.DataArray([1.0], {"dataset": ["digits"]}, "dataset")
    summary = summarise(ds, settings(), given)
    assert verdict(summary) == "too few arrivals" and summary["ratio"].isnull().all()
    assert (
        "in samples, 0 of 10 and 0 of 10 runs reached the target (horn_cnn and cnn), and 7 are needed"
        in summary.attrs["answer"]
    )
    assert "No run of horn_cnn, cnn reaches the 90 % level within the budget." in told(summary)


def test_an_arm_that_is_slow_only_untuned_is_told_apart(results, settings):
    ds = results(
        {"horn_cnn": np.full(10, np.inf), "horn_cnn_2": np.arange(10) + 100.0, "cnn": np.arange(10) + 90.0}
    )
    ds = ds.assign_coords(
        arm=("cell", np.array(["horn_cnn", "horn_cnn", "cnn"], object)),
        selected_for=("cell", np.array(["", "time_to_target", ""], object)),
    )
    said = told(summarise(ds, settings()))
    assert "No run of horn_cnn with default values reaches the 90 % level" in said


def test_a_choice_at_the_edge_of_its_range_is_told_with_the_arms_it_concerns(results, settings, arms):
    ds = results(arms())
    ds["at_edge"] = ("cell", ["learning_rate num_cycles", "", "learning_rate"])
    told = json.loads(summarise(ds, settings()).attrs["limits"])
    (rate,) = [sentence for sentence in told if sentence.startswith("learning_rate of")]
    assert "horn_cnn" in rate and "leaky_cnn" in rate and " cnn" not in rate
    assert any(sentence.startswith("num_cycles of horn_cnn ") for sentence in told)


def test_seconds_that_a_loop_took_are_told_with_the_reason(results, limits_of, arms):
    def told_of(kernels, times=(0.1, 0.1, 0.1)):
        ds = results(arms()).assign_coords(calibration_device=["cpu x"])
        measured = ("cell", "calibration_device")
        ds["step_time"] = (measured, np.array(times)[:, None])
        ds["step_time_kernel"] = (measured, np.array(kernels, object)[:, None])
        return [sentence for sentence in limits_of(ds) if "ratios of implementations" in sentence]

    loop = "loop: there is no C compiler"
    assert told_of(["fused", "none", "fused"]) == told_of(["", "", ""]) == []
    (sentence,) = told_of([loop, "none", loop])
    assert sentence.startswith("Seconds of horn_cnn, leaky_cnn were measured with a loop over torch's calls")
    assert "because there is no C compiler. " in sentence
    assert len(told_of([loop, "none", "loop: no fused kernel covers readout: rms"])) == 2
    assert told_of([loop, "none", "fused"], times=(np.nan, 0.1, 0.1)) == []


def test_batch_norm_statistics_that_lag_are_told_of_the_arms_that_claims_are_about(results, limits_of, arms):
    def lags(**coordinates):
        ds = results(arms()).assign_coords({name: ("cell", values) for name, values in coordinates.items()})
        return [sentence for sentence in limits_of(ds) if "lag behind the weights" in sentence]

    kinds = ["recent", "recent", "precise"]
    (sentence,) = lags(batch_norm_statistics=kinds)
    assert (
        sentence.startswith("horn_cnn, cnn were evaluated ") and "`batch_norm_statistics: recent`" in sentence
    )
    assert len(lags(batch_norm_statistics=["recent", "exponential", "precise"])) == 2
    assert not lags() and not lags(batch_norm_statistics=["precise"] * 3)
    assert not lags(batch_norm_statistics=kinds, readout_norm=["none"] * 3, normalisation=["none"] * 3)
    assert lags(batch_norm_statistics=kinds, readout_norm=["none"] * 3, normalisation=["batch"] * 3)
