"""What training showed of each contender, from results.nc: steps to the target and the final metric, by seed."""

from typing import TYPE_CHECKING

import numpy as np

from hornlib.errors import ResultsError
from hornlib.mechanism.contenders import Study
from hornlib.mechanism.record import Entry, variable

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["TARGET", "needs_results", "outcome_variables", "outcomes", "typical_steps"]

TARGET = 0.9
"""Share of the baseline's gain over chance."""

BASELINE = "cnn"
"""Arm whose median final metric is the gain's end; a sweep without it takes its best contender."""


def outcomes(study: Study) -> "xr.Dataset":
    """Return `steps_to_target`, `resolution`, `target_reached` and `final_metric` over (contender, seed).

    The target is chance + 0.9 (A - chance), A the median final validation metric of the arm `cnn` (or of the best
    arm). A run without it counts with its budget, its last evaluation. NaN where there is no run.

    Raises:
        ResultsError: the study has no results.
    """
    from hornlib.statistics.contenders import contenders
    from hornlib.statistics.restricted_mean import restricted_times
    from hornlib.statistics.settings import StatisticsSettings

    settings = StatisticsSettings(target=TARGET, targets=(TARGET,))
    runs = contenders(needs_results(study))
    times = restricted_times(runs, _reference(runs), settings, axes=("step",)).isel(target=0, axis=0)
    diverged = runs["diverged_at_step"].notnull()
    found = {
        "steps_to_target": times["restricted_time"],
        "resolution": times["resolution"],
        "target_reached": times["event"].astype(float),
        "final_metric": runs["final_test_metric"].where(~diverged, runs["chance_level"]),
    }
    known = times["restricted_time"].notnull()
    names = [contender.cell.name for contender in study.contenders]
    return _by_contender({key: values.where(known) for key, values in found.items()}, runs, names, study)


def _by_contender(
    found: "dict[str, xr.DataArray]", runs: "xr.Dataset", names: list[str], study: Study
) -> "xr.Dataset":
    """Put the results' cells and seeds into the study's order; NaN for what the results do not have."""
    import xarray as xr

    rows = {name: row for row, name in enumerate(runs["cell_name"].values.tolist())}
    seeds = {seed: column for column, seed in enumerate(runs["seed"].values.tolist())}
    place = [(rows.get(name), seeds.get(seed)) for name in names for seed in study.seeds]
    shape = (len(names), len(study.seeds))
    gathered = {}
    for key, values in found.items():
        table = values.transpose("contender", "seed").values
        numbers = [np.nan if row is None or column is None else table[row, column] for row, column in place]
        gathered[key] = (("contender", "seed"), np.reshape(numbers, shape))
    return xr.Dataset(gathered, {"contender": names, "seed": list(study.seeds)})


def _reference(runs: "xr.Dataset") -> "xr.DataArray":
    """Return A by dataset: of the baseline, and where a dataset has none, of its best arm."""
    import xarray as xr

    from hornlib.statistics.restricted_mean import baseline_metric

    reference = baseline_metric(runs, BASELINE)
    others = xr.concat(
        [baseline_metric(runs, arm) for arm in dict.fromkeys(runs["arm"].values.tolist())], "arm"
    )
    maximise = (runs["direction"] == "maximise").all()
    best = others.max("arm") if maximise else others.min("arm")
    return reference.fillna(best)


def outcome_variables(found: "xr.Dataset") -> dict[str, Entry]:
    """Return the outcomes as variables of an experiment's Dataset."""
    dims = ("contender", "seed")
    estimator = "90 % of the baseline's gain, confirmed over two evaluations; a miss counts with the budget"
    return {
        "steps_to_target": variable(
            dims, found["steps_to_target"], "training steps to the target", estimator=estimator
        ),
        "resolution": variable(
            dims, found["resolution"], "length of the evaluation interval in which the target was reached"
        ),
        "target_reached": variable(dims, found["target_reached"], "whether the target was reached"),
        "final_metric": variable(dims, found["final_metric"], "final test metric"),
    }


def typical_steps(found: "xr.Dataset") -> np.ndarray:
    """Return each contender's geometric mean of steps to the target over its runs; NaN where it has none."""
    import xarray as xr

    logarithms: xr.DataArray = xr.apply_ufunc(np.log, found["steps_to_target"])
    return np.exp(logarithms.mean("seed").values)


def needs_results(study: Study) -> "xr.Dataset":
    """Return the study's results.

    Raises:
        ResultsError: there are none.
    """
    if study.results is None:
        raise ResultsError(
            f"this experiment reads what the sweep {study.sweep!r} trained, and there is no results.nc of it; "
            f"`snakemake --cores N {study.sweep}` trains it"
        )
    return study.results
