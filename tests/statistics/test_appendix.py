"""The appendix of a sweep: complete, described, written and read again, and patient with poor data."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from hornlib.statistics.appendix import appendix
from hornlib.statistics.contenders import contenders, final_metric
from hornlib.statistics.descriptions import described
from hornlib.statistics.estimators.student import student_interval
from hornlib.statistics.estimators.survival import fraction_reached, log_rank

ARMS = ("cnn", "horn", "leaky_cnn")


@pytest.fixture(scope="module")
def inputs(settings, times_of):
    """A function that gives what `appendix` takes of a simulated sweep."""

    def make(ds, **values):
        rules = settings(**values)
        ds = contenders(ds)
        return ds, times_of(ds, rules), rules

    return make


@pytest.fixture(scope="module")
def sweep(results, lognormal):
    """Three arms, one diverged run and one missing run."""
    times = {arm: lognormal(median) for arm, median in zip(ARMS, (100, 70, 90), strict=True)}
    return results(times, final={"horn": 0.995}, diverged=[(1, 2, 50)], missing=[(0, 4)])


@pytest.fixture(scope="module")
def made(sweep, inputs):
    """Its contenders, times and appendix."""
    ds, times, rules = inputs(sweep)
    found, told = appendix(ds, times, rules)
    return SimpleNamespace(ds=ds, times=times, found=found, told=told)


def test_every_variable_says_what_it_is(made):
    for name, variable in made.found.variables.items():
        if name in ("contender", "rival", "seed", "dataset", "target"):
            continue  # the core's own
        assert variable.attrs.get("long_name") and variable.attrs.get("units"), name
        if name.endswith("_bound"):
            assert variable.attrs["interval"], name


def test_a_variable_without_a_description_is_refused(made):
    with pytest.raises(
        KeyError, match=r"new_estimate: this variable has no row in ABOUT of hornlib/statistics/desc"
    ):
        described(made.found.assign(new_estimate=1.0))
    with pytest.raises(KeyError, match="new_estimate_bound"):
        described(made.found.assign(new_estimate_bound=1.0))


def test_no_name_is_one_that_xarray_takes(made):
    names = {*map(str, made.found.variables), *map(str, made.found.dims)}
    assert not names & {"method", "cell", "size", "name", "data", "values", "mean", "rank", "std"}


def test_it_is_read_as_it_was_written(made, tmp_path):
    made.found.to_netcdf(tmp_path / "appendix.nc", engine="netcdf4")
    with xr.open_dataset(tmp_path / "appendix.nc", engine="netcdf4") as read:
        xr.testing.assert_equal(read.load(), made.found)
        assert read["area_mean"].attrs == made.found["area_mean"].attrs


def test_the_same_sweep_gives_the_same_appendix_in_any_order_of_its_cells(sweep, inputs, made):
    ds, times, rules = inputs(sweep.isel(cell=[2, 0, 1]))
    turned, _ = appendix(ds, times, rules)
    order = {dim: made.found[dim] for dim in ("contender", "rival", "arm")}
    xr.testing.assert_allclose(turned.sel(order), made.found)


def test_the_fraction_reached_is_that_of_each_contender_alone(made):
    where = {"contender": "horn", "target": 0.9, "axis": "samples"}
    own = made.times.sel(where).reset_coords(drop=True)
    at = made.found["time_point"].sel(dataset="digits", axis="samples", drop=True)
    alone = fraction_reached(own["restricted_time"], own["event"], at)
    np.testing.assert_allclose(made.found["fraction_reached"].sel(where), alone["fraction_reached"])
    np.testing.assert_allclose(made.found["fraction_bound"].sel(where), alone["fraction_bound"])
    assert at[-1] == made.times["budget"].sel(axis="samples").max()


def test_curves_end_at_the_share_that_arrived(made):
    last = made.found["fraction_reached"].isel(time_index=-1).sel(axis="samples")
    np.testing.assert_allclose(last, made.found["reached_rate"])


def test_pairs_are_compared_with_their_own_rivals(made):
    time, event = (made.times[name].sel(target=0.9, axis="samples") for name in ("restricted_time", "event"))
    alone = log_rank(*(v.sel(contender=c, drop=True) for c in ("horn", "cnn") for v in (time, event)))
    assert made.found["log_rank_p"].sel(contender="horn", rival="cnn", target=0.9).item() == pytest.approx(
        alone.item()
    )
    assert np.isnan(made.found["log_rank_p"].sel(contender="horn", rival="horn")).all()


def test_final_metrics_are_paired_by_seed_and_a_diverged_run_is_chance(made):
    final = made.found["final_metric"]
    assert final.sel(contender="horn", seed=2).item() == 0.1 and np.isnan(final.sel(contender="cnn", seed=4))
    difference = final.sel(contender="horn", drop=True) - final.sel(contender="cnn", drop=True)
    expected = student_interval(difference)
    pair = {"contender": "horn", "rival": "cnn"}
    assert made.found["final_difference"].sel(pair).item() == pytest.approx(expected["estimate"].item())
    np.testing.assert_allclose(made.found["final_difference_bound"].sel(pair), expected["interval"])


def test_fronts_are_of_the_parameters_that_training_ended_with(results, inputs):
    """Pruned to the size of its rival and as good, an arm stands on the front beside it."""
    ds = results({"cnn": [60] * 7, "horn": [60] * 7})
    last = np.arange(ds.sizes["step"]) == ds.sizes["step"] - 1
    ds["num_parameters"][1] = np.where(last, 500.0, 900.0)
    contender, times, rules = inputs(ds)
    found, _ = appendix(contender, times, rules)
    assert found["cost_parameters"].values.tolist() == [500, 500]
    assert found["pareto_parameters"].values.tolist() == [1, 1]


def test_rates_count_runs_that_ended(made):
    assert made.found["divergence_rate"].sel(contender="horn").item() == pytest.approx(0.1)
    low, high = made.found["divergence_rate_bound"].sel(contender="cnn").values
    expected = stats.binomtest(0, 9).proportion_ci(method="wilson")
    np.testing.assert_allclose([low, high], [expected.low, expected.high], atol=1e-12)


def test_one_epoch_is_among_the_early_steps_of_a_known_dataset(results, lognormal, inputs):
    ds = results({"cnn": lognormal(100), "horn": lognormal(80)}, batch_size=[64.0, 64.0])
    found, _ = appendix(*inputs(ds))
    step = int(found["epoch_step"].values[0])
    assert step in found["early_step"].values
    assert found["early_metric_mean"].sel(early_step=step).notnull().all()


def test_tuning_is_told_of_tuned_cells(results, lognormal, inputs):
    ds = results(
        [("cnn", lognormal(100)), ("horn", lognormal(80))], selected_for=["time_to_target", "final_metric"]
    )
    ds, times, rules = inputs(ds)
    costs = {"samples": 1e6, "training_flops": 1e12}
    tunings = {
        "cell-0": SimpleNamespace(scores=[3.0, 1.0, 2.0], cost=costs),
        "cell-1": SimpleNamespace(scores=[0.3, 0.1], cost=costs),
    }
    found, _ = appendix(ds, times, rules, tunings)
    best = found["expected_best"].values
    np.testing.assert_allclose(best, [[2, 4 / 3, 1], [0.2, 0.3, np.nan]])
    usual = times["restricted_time"].sel(target=0.9, axis="samples").mean("seed")
    np.testing.assert_allclose(found["time_with_tuning"].sel(axis="samples"), usual + 1e6)
    assert np.isnan(found["time_with_tuning"].sel(axis="seconds")).all()


def lonely(results, lognormal):
    return results({"horn": lognormal(80)})


def hopeless(results, lognormal):
    return results({"cnn": [np.inf] * 8, "horn": [np.inf] * 8}, final=0.9)


def exploded(results, lognormal):
    runs = [(cell, seed, 3) for cell in range(2) for seed in range(8)]
    return results({"cnn": lognormal(100, 8), "horn": lognormal(80, 8)}, diverged=runs)


def missing(results, lognormal):
    return results(
        {"cnn": lognormal(100, 8), "horn": lognormal(80, 8)}, missing=[(1, seed) for seed in range(8)]
    )


def single(results, lognormal):
    return results({"cnn": [100.0], "horn": [80.0]})


def blind(results, lognormal):
    ds = results({"cnn": lognormal(100), "horn": lognormal(80)})
    metrics = ("validation_metric", "test_metric", "final_validation_metric", "final_test_metric")
    return ds.assign({name: ds[name] * np.nan for name in metrics})


@pytest.mark.parametrize("scene", [lonely, hopeless, exploded, missing, single, blind])
def test_poor_data_are_told_and_raise_nothing(results, lognormal, inputs, scene, tmp_path):
    ds, times, rules = inputs(scene(results, lognormal))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found, told = appendix(ds, times, rules)
    found.to_netcdf(tmp_path / "appendix.nc", engine="netcdf4")
    assert all(sentence.endswith(".") for sentence in told)


def test_a_sweep_without_a_test_metric_is_told(results, lognormal, inputs):
    found, told = appendix(*inputs(blind(results, lognormal)))
    assert "No run has a test metric, so that final metrics are not compared." in told
    assert np.isnan(found["final_metric_mean"]).all()


def test_datasets_keep_their_order_whichever_has_a_grid(results, lognormal, inputs):
    cells = [
        ("horn", lognormal(80)),
        ("cnn", lognormal(90)),
        ("horn", lognormal(70)),
        ("horn", lognormal(90)),
    ]
    ds = results(cells, dataset=["mnist", "mnist", "digits", "digits"], timesteps=[8.0, np.nan, 4.0, 8.0])
    ds["timesteps"].attrs["kind"] = "number"
    found, _ = appendix(*inputs(ds))
    assert found["dataset"].values.tolist() == ["mnist", "digits"]
    known = found["main_effect"].sel(outcome="final_metric").notnull().any("level")
    assert known.values.tolist() == [False, True]


def test_final_metric_takes_the_test_split(made):
    expected = made.ds["final_test_metric"].sel(contender="leaky_cnn").values
    np.testing.assert_array_equal(final_metric(made.ds).sel(contender="leaky_cnn"), expected)
