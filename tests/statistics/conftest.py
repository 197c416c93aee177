"""What tests of the statistics share: sweeps of simulated learning curves, as `open_results` gives them."""

import numpy as np
import pytest
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.statistics.axes import axes_of_cost
from hornlib.statistics.restricted_mean import baseline_metric, events_on, references_of, restricted_times

STEPS = np.array(sorted({round(10 ** (k / 12)) for k in range(37)}))


def make_results(times, *, final=1.0, steps=STEPS, dataset="digits", diverged=(), missing=(), **coordinates):
    """Return a sweep whose runs reach 90 % of the gain at given steps.

    A curve is chance + final (1 - chance) (1 - exp(-s/tau)), with tau such that the level .91 of a baseline
    that ends at 1 is reached at the time given (never where it is infinite).

    Args:
        times: arm -> steps to the level for each seed; or a list of (arm, steps) for several cells an arm.
        final: what is reached in the end, of all arms, or by arm.
        steps: evaluations of all arms.
        dataset: of all cells, or one for each.
        diverged: (cell, seed, step) at which runs explode.
        missing: (cell, seed) without a run.
        coordinates: name -> values, one a cell.
    """
    entries = list(times.items()) if isinstance(times, dict) else list(times)
    arms = [arm for arm, _ in entries]
    reached = np.array([own for _, own in entries], float)
    ends = np.array([final.get(arm, 1.0) if isinstance(final, dict) else final for arm in arms])
    rate = -np.log(np.clip(1 - 0.9 / ends, 1e-9, 1))[:, None] / reached
    curve = 0.1 + 0.9 * ends[:, None, None] * (1 - np.exp(-rate[..., None] * steps))
    num_cells, num_seeds = reached.shape
    diverged_at = np.full((num_cells, num_seeds), np.nan)
    status = np.full((num_cells, num_seeds), "complete", object)
    for cell, seed, step in diverged:
        diverged_at[cell, seed], status[cell, seed] = step, "diverged"
    for cell, seed in missing:
        status[cell, seed] = "missing"
    gone = (steps >= diverged_at[..., None]) | (status == "missing")[..., None]
    curve = np.where(gone, np.nan, curve)
    flops = np.where(gone, np.nan, 1e6 * steps)
    samples = np.where((status == "missing").all(1)[:, None], np.nan, 64.0 * steps)
    known = {
        "arm": arms,
        "model": [arm.split(" ")[0] for arm in arms],
        "dataset": [dataset] * num_cells if isinstance(dataset, str) else dataset,
        "direction": ["maximise"] * num_cells,
        "metric": ["accuracy"] * num_cells,
        "chance_level": [0.1] * num_cells,
        "forward_flops": [1000] * num_cells,
        **coordinates,
    }
    curves = {
        name: curve
        for name in ("validation_metric", "test_metric", "validation_loss", "test_loss", "training_loss")
    }
    curves |= {
        "training_flops": flops,
        "seconds": flops / 1e9,
        "num_parameters": np.where(gone, np.nan, 500.0),
    }
    dims = ("cell", "seed", "step")
    return xr.Dataset(
        {name: (dims, values) for name, values in curves.items()}
        | {f"final_{name}": (dims[:2], values[..., -1]) for name, values in curves.items()}
        | {
            "samples": (("cell", "step"), samples),
            "diverged_at_step": (dims[:2], diverged_at),
            "status": (dims[:2], status),
        },
        coords={
            "cell": [f"cell-{index}" for index in range(num_cells)],
            "seed": np.arange(num_seeds),
            "step": steps,
            **{name: ("cell", np.array(values)) for name, values in known.items()},
        },
        attrs={"mixed_versions": ""},
    )


def make_times(ds, settings, reference=None, axes=None):
    """Return the restricted times of contenders.

    Args:
        ds: from `contenders`.
        settings: targets, baseline.
        reference: A by dataset; None: the baseline's own.
        axes: of cost; None: all that the results have.
    """
    axes = axes_of_cost(ds) if axes is None else axes
    reference = baseline_metric(ds, settings.baseline) if reference is None else reference
    references = references_of(ds, reference, settings.baseline)
    return restricted_times(ds, references, events_on(ds, references, settings, axes), settings, axes)


@pytest.fixture(scope="session")
def times_of():
    """`make_times`."""
    return make_times


@pytest.fixture(scope="session")
def results():
    """`make_results`."""
    return make_results


@pytest.fixture(scope="session")
def lognormal():
    """A function that gives times around a median, one a seed."""

    def draw(median, num_seeds=10, sd=0.2, seed=0):
        return median * np.exp(sd * np.random.default_rng([seed, int(median)]).standard_normal(num_seeds))

    return draw


@pytest.fixture(scope="session")
def settings():
    """A function that gives settings with fewer draws."""
    return lambda **values: StatisticsSettings(**{"bootstrap": 1000, **values})


@pytest.fixture(scope="session")
def arms(lognormal):
    """A function that gives the times of three arms."""

    def make(horn=60, cnn=120, leaky=120, num_seeds=10):
        return {
            "horn_cnn": lognormal(horn, num_seeds, seed=1),
            "cnn": lognormal(cnn, num_seeds, seed=2),
            "leaky_cnn": lognormal(leaky, num_seeds, seed=3),
        }

    return make
