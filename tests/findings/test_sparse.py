"""The numbers and the words of the findings on sparse training, on results whose truth is known."""

import numpy as np
import pytest
import sparse_pairs
import sparse_sentence
import xarray as xr

STEPS = np.array([1, 2, 5, 10, 20])


def arm(steps_to_half, last, seeds=8, flops=1.0, step_time=np.nan):
    """Return validation and test accuracies (seed, step), FLOPs of a step, and seconds of a step."""
    random = np.random.default_rng(int(100 * last))
    speed = steps_to_half * np.exp(0.05 * random.standard_normal(seeds))[:, None]
    curve = last * STEPS / STEPS[-1] * (speed + STEPS[-1]) / (speed + STEPS)
    return curve, flops, step_time


def contenders(arms):
    """Return the arms as `hornlib.statistics.contenders.contenders` gives them; a run is paired with its seed."""
    curves = np.stack([curve for curve, _, _ in arms.values()])
    shape, dims = curves.shape, ("contender", "seed", "step")
    costs = np.array([flops for _, flops, _ in arms.values()])[:, None, None] * STEPS * np.ones(shape)
    names = list(arms)
    return xr.Dataset(
        {
            "validation_metric": (dims, curves),
            "test_metric": (dims, curves),
            "final_test_metric": (dims[:2], curves[..., -1]),
            "training_flops": (dims, costs),
            "job_seconds": (dims, costs / 1e3),
            "seconds": (("contender", "step"), np.full((len(arms), len(STEPS)), np.nan)),
            "step_time": ("contender", [step_time for _, _, step_time in arms.values()]),
            "samples": (("contender", "step"), np.tile(10.0 * STEPS, (len(arms), 1))),
            "diverged_at_step": (dims[:2], np.full(shape[:2], np.nan)),
            "status": (dims[:2], np.full(shape[:2], "complete", object)),
        },
        coords={
            "contender": names,
            "arm": ("contender", [name.split()[0] for name in names]),
            "direction": ("contender", ["maximise"] * len(names)),
            "chance_level": ("contender", [0.1] * len(names)),
            "seed": np.arange(shape[1]),
            "step": STEPS,
        },
    )


def test_costs_to_equal_accuracy_are_compared_at_a_level_that_every_run_reached():
    curve, *_ = arm(5, 0.9)
    ds = contenders({"rigl": (curve, 2.0, np.nan), "static": (curve, 1.0, np.nan)})
    pair = sparse_pairs.pair_of(ds, "rigl", "static")
    assert pair.level == pytest.approx(curve.max(1).min() - 0.005)
    assert {axis: pair.ratios[axis].number for axis in sparse_pairs.AXES} == dict.fromkeys(
        sparse_pairs.AXES, 8
    )
    assert pair.ratios["samples"].value == pytest.approx(1)
    assert pair.ratios["training_flops"].value == pair.ratios["seconds"].value == pytest.approx(2)
    assert pair.difference.value == 0


def test_calibrated_seconds_are_not_compared_with_the_clock_of_a_job():
    curve, *_ = arm(5, 0.9)
    ds = contenders({"rigl": (curve, 2.0, np.nan), "static": (curve, 1.0, np.nan)})
    assert np.isfinite(sparse_pairs.pair_of(ds, "rigl", "static").ratios["seconds"].value)
    ds["seconds"][0] = 0.1 * STEPS
    assert np.isnan(sparse_pairs.pair_of(ds, "rigl", "static").ratios["seconds"].value)


def test_a_run_that_diverged_and_a_lucky_evaluation_do_not_decide_the_level():
    curve, *_ = arm(5, 0.9)
    ds = contenders({"rigl": (curve, 1.0, np.nan), "static": (curve, 1.0, np.nan)})
    lucky = ds.copy(deep=True)
    weakest = int(curve.max(1).argmin())
    lucky["validation_metric"][0, weakest, 2:] = lucky["validation_metric"][0, weakest, -1].item()
    lucky["validation_metric"][0, weakest, -1] += 0.004
    assert (
        sparse_pairs.costs_to(lucky, "rigl", sparse_pairs.pair_of(lucky, "rigl", "static").level, "samples")[
            weakest
        ]
        <= 10 * STEPS[2]
    )
    lucky["status"][1, 0], lucky["validation_metric"][1, 0] = "diverged", 0.1
    assert sparse_pairs.common_level(lucky, ["rigl", "static"]) > 0.5


@pytest.mark.parametrize(
    ("shift", "seeds", "words"),
    [
        (0.02, 8, "rigl is better"),
        (-0.02, 8, "static is better"),
        (0.0, 8, "not shown; "),
        (0.02, 6, "no verdict, n = 6"),
    ],
)
def test_a_verdict_needs_seven_seeds_and_an_interval_without_0(shift, seeds, words):
    noise = 0.003 * np.resize([1, -1, 0.5, -0.5], seeds)[:, None]
    curve = np.tile(0.9 * STEPS / STEPS[-1], (seeds, 1))
    ds = contenders({"rigl": (curve + shift + noise, 1.0, np.nan), "static": (curve, 1.0, np.nan)})
    pair = sparse_pairs.pair_of(ds, "rigl", "static")
    assert pair.verdict().startswith(words)
    assert pair.difference.value == pytest.approx(100 * (shift + noise.mean()))


def test_the_detectable_difference_is_that_of_a_paired_t_test():
    """A power of .8 at this difference, by simulation."""
    noise = 0.01 * np.array([1, -1, 2, -2, 0.5, -0.5, 1.5, -1.5])[:, None]
    curve = np.full((8, len(STEPS)), 0.5)
    pair = sparse_pairs.pair_of(contenders({"a": (curve + noise, 1, 0), "b": (curve, 1, 0)}), "a", "b")
    spread = 100 * noise[:, 0].std(ddof=1)
    draws = pair.detectable + spread * np.random.default_rng(0).standard_normal((20_000, 8))
    t = draws.mean(1) / (draws.std(1, ddof=1) / np.sqrt(8))
    assert (t > 2.3646).mean() == pytest.approx(0.8, abs=0.01)


def test_the_sentence_holds_ratios_and_points_of_the_trained_arms():
    sparse, dense = arm(5, 0.88, seeds=3, step_time=0.02), arm(5, 0.90, seeds=1, step_time=0.2)
    sweeps = {
        "fashion": contenders({"set": sparse, "rigl": sparse}),
        "fashion_dense": contenders({"dense": dense}),
    }
    rows = list(sparse_sentence.beside_dense(sweeps))
    assert [row.label for row in rows] == ["fashion, set", "fashion, rigl"]
    assert [row.seconds for row in rows] == pytest.approx([0.1, 0.1])
    assert [row.points for row in rows] == pytest.approx([-2, -2])
    assert rows[0].where == "step 20, n = 3 and 1"
    text = next(sparse_sentence.sentence(sweeps))
    assert "trains in 0.10 of the dense network's seconds" in text and "ends -2.00 points" in text
    assert "(not measured)" in text


@pytest.mark.parametrize("step_times", [(np.nan, 0.2), (0.02, np.nan), (np.nan, np.nan)])
def test_without_a_calibration_seconds_are_left_open_and_points_are_not(step_times):
    """A run's share of its job's clock would compare three runs at once with a lone one."""
    sparse, dense = (
        arm(5, last, seeds=seeds, step_time=seconds)
        for last, seeds, seconds in zip((0.88, 0.90), (3, 1), step_times, strict=True)
    )
    sweeps = {"fashion": contenders({"set": sparse}), "fashion_dense": contenders({"dense": dense})}
    text, _, _, _, row, *_ = sparse_sentence.sentence(sweeps)
    assert "trains in .. of" in text and "(a calibration is missing for 1 of 1 arms)" in text
    assert "ends -2.00 points" in text
    assert row.startswith("| fashion, set | .. | -2.00 |") and "the seconds were not calibrated" in row


def test_without_a_trained_dense_network_points_are_those_from_the_published_one_and_no_range():
    sweeps = {"fashion": contenders({"set": arm(5, 0.88, seeds=3, step_time=0.02)})}
    (row,) = sparse_sentence.beside_dense(sweeps)
    assert np.isnan(row.seconds) and row.points == pytest.approx(88 - 90.88)
    assert "trains in .. of" in next(sparse_sentence.sentence(sweeps))


def test_the_timed_step_of_a_dense_network_without_runs_gives_the_ratio_of_seconds():
    sweeps = {"fashion": contenders({"set": arm(5, 0.88, seeds=3, step_time=0.02)})}
    (row,) = sparse_sentence.beside_dense(sweeps, {"fashion_dense": 0.2})
    assert row.seconds == pytest.approx(0.1) and not row.has_dense
    text = next(sparse_sentence.sentence(sweeps, {"fashion_dense": 0.2}))
    assert "trains in 0.10 of" in text and "ends .. points" in text


@pytest.mark.parametrize(
    ("seeds", "words"), [(8, "; a difference is not shown"), (3, "; no verdict below 7 seeds")]
)
def test_the_sentence_says_what_is_not_shown(seeds, words):
    random = np.random.default_rng(0)
    curves = [np.sort(random.uniform(0.5, 0.9, (seeds, len(STEPS))), 1) for _ in range(2)]
    ds = contenders({"rigl": (curves[0], 1.0, np.nan), "static": (curves[1], 1.0, np.nan)})
    text = next(sparse_sentence.sentence({"mnist_density_2": ds}))
    assert words in text and f"n = {seeds}, 95 % interval" in text
