"""Time to target: hand cases, and properties against a plain loop over evaluations."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

from hornlib.errors import ResultsError
from hornlib.results import time_to_target

STEPS = [1, 2, 5, 10, 20, 50]


def dataset(curves, diverged=None, direction="maximise", chance=0.1, steps=STEPS, evaluated=None):
    """Return one cell's runs; `curves` is (seed, step), `evaluated` the steps that the cell has."""
    values = np.array(curves, float)[None]
    num_seeds = values.shape[1]
    steps = np.array(steps)
    samples = np.where(np.isin(steps, steps if evaluated is None else evaluated), 10.0 * steps, np.nan)
    diverged_at = np.array([(diverged or {}).get(seed, np.nan) for seed in range(num_seeds)])[None]
    flops = np.where(steps >= diverged_at[..., None], np.nan, 3.0 * samples)
    dims = ("cell", "seed", "step")
    return xr.Dataset(
        {
            "validation_metric": (dims, values),
            "validation_loss": (dims, -values),
            "samples": (("cell", "step"), samples[None]),
            "training_flops": (dims, flops),
            "seconds": (dims, flops / 100),
            "diverged_at_step": (dims[:2], diverged_at),
            "status": (dims[:2], np.where(np.isnan(diverged_at), "complete", "diverged")),
        },
        coords={
            "cell": ["c"],
            "seed": range(num_seeds),
            "step": steps,
            "direction": ("cell", [direction]),
            "chance_level": ("cell", [chance]),
        },
    )


def single(ds, **options):
    """Return (time, event) of the only run."""
    found = time_to_target(ds, **options)
    return float(found.time.squeeze()), bool(found.event.squeeze())


def test_an_event_is_dated_at_the_first_of_the_confirming_evaluations():
    ds = dataset([[0.1, 0.5, 0.95, 0.91, 0.95, 0.99]])
    assert single(ds, target=0.9) == (5, True)
    assert single(ds, target=0.9, confirm=1) == (5, True)
    assert single(ds, target=0.9, confirm=4) == (5, True)
    assert single(ds, target=0.9, confirm=5) == (50, False)


def test_a_lone_crossing_does_not_count_if_it_is_not_confirmed():
    ds = dataset([[0.1, 0.95, 0.5, 0.91, 0.5, 0.95]])
    assert single(ds, target=0.9, confirm=1) == (2, True)
    assert single(ds, target=0.9, confirm=2) == (50, False)  # the last evaluation alone cannot begin an event


def test_the_first_evaluation_may_be_the_event():
    assert single(dataset([[0.9] * 6]), target=0.9) == (1, True)


def test_a_run_that_never_reaches_is_censored_at_the_budget():
    assert single(dataset([[0.2] * 6]), target=0.9) == (50, False)


def test_steps_at_which_the_cell_was_not_evaluated_are_passed_over():
    ds = dataset([[0.1, np.nan, 0.95, np.nan, 0.95, np.nan]], evaluated=[1, 5, 20])
    assert single(ds, target=0.9, confirm=2) == (5, True)
    assert single(dataset([[0.1, np.nan, 0.1, np.nan, 0.1, np.nan]], evaluated=[1, 5, 20]), target=0.9) == (
        20,
        False,
    )


def test_a_diverged_run_is_censored_at_the_budget_even_if_it_had_reached_the_target():
    nan = np.nan
    ds = dataset([[0.95, 0.95, 0.95, nan, nan, nan], [0.1, 0.2, nan, nan, nan, nan]], diverged={0: 7, 1: 3})
    for on, budget in (("step", 50), ("samples", 500), ("training_flops", 1500), ("seconds", 15)):
        found = time_to_target(ds, target=0.9, on=on)
        assert not found.event.any()
        np.testing.assert_allclose(
            found.time, budget
        )  # nobody has FLOPs there: the rate a step is carried on


def test_a_diverged_run_takes_the_budget_of_its_neighbours():
    nan = np.nan
    ds = dataset([[0.1] * 6, [0.95, 0.95, nan, nan, nan, nan]], diverged={1: 3})
    ds["training_flops"][0, 0, -1] = 4000
    found = time_to_target(ds, target=0.9, on="training_flops")
    assert found.time.values.tolist() == [[4000, 4000]] and not found.event.any()


def test_other_axes_read_x_at_the_event():
    ds = dataset([[0.1, 0.5, 0.95, 0.95, 0.95, 0.95]])
    assert single(ds, target=0.9, on="samples") == (50, True)
    assert single(ds, target=0.9, on="training_flops") == (150, True)
    assert single(ds, target=0.9, on="seconds") == (1.5, True)


def test_calibrated_seconds_are_steps_times_the_step_time_of_the_device_that_knows_the_cell():
    ds = dataset([[0.1, 0.5, 0.95, 0.95, 0.95, 0.95]])
    with pytest.raises(ResultsError, match="hornlib calibrate"):
        time_to_target(ds, target=0.9, on="calibrated_seconds")
    ds["step_time"] = (("cell", "calibration_device"), [[np.nan, 0.25]])
    assert single(ds, target=0.9, on="calibrated_seconds") == (1.25, True)
    assert time_to_target(ds, target=0.9, on="calibrated_seconds").time.attrs["units"] == "s"
    assert single(ds.squeeze("cell"), target=0.9, on="calibrated_seconds") == (1.25, True)


def test_a_metric_that_is_minimised_must_fall_to_the_target():
    ds = dataset([[1.0, 0.9, 0.5, 0.1, 0.05, 0.01]], direction="minimise", chance=1.0)
    assert single(ds, target=0.1) == (10, True)
    assert single(ds, target=0.9, baseline=0.0) == (10, True)  # 1 + 0.9 (0 - 1) = 0.1


def test_a_loss_must_fall_whatever_the_metrics_direction():
    ds = dataset([[-1.0, -0.9, -0.5, -0.1, -0.05, -0.01]])
    assert single(ds, target=0.1, metric="validation_loss") == (10, True)


def test_a_share_is_counted_from_chance_to_the_baseline():
    ds = dataset([[0.1, 0.8, 0.81, 0.82, 0.82, 0.82]], chance=0.1)
    found = time_to_target(ds, target=0.9, baseline=0.9)
    np.testing.assert_allclose(found.level, 0.1 + 0.9 * (0.9 - 0.1))
    assert float(found.time.squeeze()) == 10
    by_cell = time_to_target(ds, target=0.9, baseline=xr.DataArray([0.9], coords={"cell": ["c"]}))
    xr.testing.assert_equal(by_cell.time, found.time)


def test_a_run_without_the_metric_has_no_time():
    ds = dataset([[0.95] * 6, [np.nan] * 6])
    found = time_to_target(ds, target=0.9)
    np.testing.assert_array_equal(found.time, [[1, np.nan]])
    assert found.event.values.tolist() == [[True, False]]


def test_units_status_and_choices_are_kept():
    found = time_to_target(dataset([[0.95] * 6]), target=0.9, on="seconds", confirm=3)
    assert found.time.attrs["units"] == "s" and found.attrs == {
        "on": "seconds",
        "metric": "validation_metric",
        "confirm": 3,
    }
    assert found.status.values.tolist() == [["complete"]]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"on": "sample"}, "did you mean 'samples'"),
        ({"metric": "accuracy"}, "unknown 'accuracy'"),
        ({"confirm": 0}, "confirm: got 0"),
        ({"target": float("nan")}, "target: got nan"),
        ({"metric": "validation_loss", "baseline": 0.9}, "no chance level"),
    ],
)
def test_mistakes_are_told_in_their_own_words(wrong, message):
    with pytest.raises(ResultsError, match=message):
        time_to_target(dataset([[0.9] * 6]), **{"target": 0.9, **wrong})


def test_a_dataset_without_what_is_needed_is_refused():
    with pytest.raises(ResultsError, match="lacks samples"):
        time_to_target(dataset([[0.9] * 6]).drop_vars("samples"), target=0.9)


def plain(curve, evaluated, target, confirm, diverged):
    """Return (step, event) by walking over the evaluations, as a person would."""
    own = [(step, value) for step, value in zip(STEPS, curve, strict=True) if step in evaluated]
    if not diverged:
        for start in range(len(own) - confirm + 1):
            if all(value >= target for _, value in own[start : start + confirm]):
                return own[start][0], True
    return own[-1][0], False


VALUES = st.sampled_from([0.0, 0.5, 0.9, 1.0])


@given(
    curves=st.lists(st.lists(VALUES, min_size=6, max_size=6), min_size=1, max_size=4),
    evaluated=st.sets(st.sampled_from(STEPS), min_size=1),
    confirm=st.integers(1, 4),
    exploded=st.sets(st.integers(0, 3)),
)
def test_it_agrees_with_a_walk_over_the_evaluations(curves, evaluated, confirm, exploded):
    diverged = {seed: 60 for seed in exploded}
    values = np.where(np.isin(STEPS, list(evaluated)), curves, np.nan)
    found = time_to_target(dataset(values, diverged, evaluated=list(evaluated)), target=0.9, confirm=confirm)
    for seed, curve in enumerate(curves):
        expected = plain(curve, evaluated, 0.9, confirm, seed in exploded)
        assert (float(found.time[0, seed]), bool(found.event[0, seed])) == expected


@given(curve=st.lists(VALUES, min_size=6, max_size=6), confirm=st.integers(1, 3))
def test_a_higher_target_and_a_longer_confirmation_never_come_earlier(curve, confirm):
    ds = dataset([curve])
    time, event = single(ds, target=0.5, confirm=confirm)
    for harder in ({"target": 0.9, "confirm": confirm}, {"target": 0.5, "confirm": confirm + 1}):
        later, also = single(ds, **harder)
        assert later >= time and (event or not also)


def test_dense_dimensions_in_any_order_give_the_same_times():
    ds = dataset([[0.1, 0.5, 0.95, 0.95, 0.95, 0.95], [0.1] * 6])
    turned = ds.isel(cell=0).expand_dims(timesteps=[4]).transpose("step", "timesteps", "seed")
    found = time_to_target(turned, target=0.9, on="samples")
    assert set(found.time.dims) == {"timesteps", "seed"}
    assert found.time.sel(timesteps=4).values.tolist() == [50, 500]
