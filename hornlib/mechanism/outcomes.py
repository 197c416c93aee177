"""Training results of the contenders from results.nc: steps to the target and final metric of every seed."""

from typing import TYPE_CHECKING

import numpy as np

from hornlib.errors import ResultsError
from hornlib.mechanism.contenders import Study
from hornlib.mechanism.record import Entry, variable
from hornlib.results.divergence import final_with_chance

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["TARGET", "needs_results", "outcome_variables", "outcomes", "typical_steps"]

TARGET = 0.9
"""Share of the gain over chance of the cell that sets the target."""

BASELINE = "cnn"
"""Arm whose median final metric defines the gain. A sweep without this arm uses its best cell."""


def outcomes(study: Study) -> "xr.Dataset":
    """Return `steps_to_target`, `resolution`, `target_reached`, `target_level` and `final_metric`, (contender, seed).

    The target is chance + 0.9 (A - chance), where A is the median final validation metric of the best cell of the arm
    `cnn`, or of the best cell of all without this arm. All contenders of a dataset have one budget, in steps (see
    `hornlib.statistics.common_budget`). A run that misses the target or diverges counts with this budget, so that arms
    that train for fewer steps do not look faster. NaN where there is no run.

    Raises:
        ResultsError: the study has no results.
    """
    from hornlib.statistics.contenders import contenders

    runs = contenders(needs_results(study))
    times = _times(runs)
    final = final_with_chance(runs["final_test_metric"], runs["diverged_at_step"], runs["chance_level"])
    is_measured = times["steps_to_target"].notnull()
    values = {name: array.where(is_measured) for name, array in {**times, "final_metric": final}.items()}
    return _by_contender(values, runs, [contender.cell.name for contender in study.contenders], study)


def _times(runs: "xr.Dataset") -> "dict[str, xr.DataArray]":
    """Return the times of all runs, (contender, seed), restricted to one budget for each dataset."""
    import xarray as xr

    from hornlib.parameters.statistics import StatisticsSettings
    from hornlib.statistics.common_budget import within_common_budget
    from hornlib.statistics.restricted_mean import references_of

    settings = StatisticsSettings(target=TARGET, targets=(TARGET,))
    reference = _reference(runs)
    shape = (runs.sizes["contender"], runs.sizes["seed"])
    values = {name: np.full(shape, np.nan) for name in ("steps_to_target", "resolution", "target_reached")}
    levels = np.full(shape, np.nan)
    for dataset in dict.fromkeys(runs["dataset"].values.tolist()):
        members = np.flatnonzero(runs["dataset"].values == dataset)
        dataset_runs = runs.isel(contender=members)
        references = references_of(dataset_runs, reference, BASELINE)
        side = within_common_budget(dataset_runs, references, settings, ("step",))
        chance = dataset_runs["chance_level"].values[:, None]
        levels[members] = chance + TARGET * (float(reference.sel(dataset=dataset)) - chance)
        if side is not None:
            for name, numbers in zip(values, (side.restricted, side.resolution, side.arrived), strict=True):
                values[name][members] = numbers[:, 0, 0]
    values["target_level"] = levels
    return {name: xr.DataArray(numbers, dims=("contender", "seed")) for name, numbers in values.items()}


def _by_contender(
    arrays: "dict[str, xr.DataArray]", runs: "xr.Dataset", names: list[str], study: Study
) -> "xr.Dataset":
    """Return the arrays with cells and seeds in the order of the study; NaN for missing runs."""
    import xarray as xr

    rows = {name: row for row, name in enumerate(runs["cell_name"].values.tolist())}
    seeds = {seed: column for column, seed in enumerate(runs["seed"].values.tolist())}
    indices = [(rows.get(name), seeds.get(seed)) for name in names for seed in study.seeds]
    shape = (len(names), len(study.seeds))
    gathered = {}
    for key, values in arrays.items():
        table = values.transpose("contender", "seed").values
        numbers = [np.nan if row is None or column is None else table[row, column] for row, column in indices]
        gathered[key] = (("contender", "seed"), np.reshape(numbers, shape))
    return xr.Dataset(gathered, {"contender": names, "seed": list(study.seeds)})


def _reference(runs: "xr.Dataset") -> "xr.DataArray":
    """Return A for each dataset: the best median over seeds of a cell of the baseline, or of any cell without one.

    An arm may have cells that are made to be bad, such as those of other learning rates, or with frozen recurrence. A
    median over all cells of an arm would lower the target by them.
    """
    import xarray as xr

    final = final_with_chance(
        runs["final_validation_metric"], runs["diverged_at_step"], runs["chance_level"]
    ).median("seed")
    maximise = bool((runs["direction"] == "maximise").all())
    datasets = list(dict.fromkeys(runs["dataset"].values.tolist()))
    best = []
    for dataset in datasets:
        has_median = (runs["dataset"].values == dataset) & np.isfinite(final.values)
        of_baseline = has_median & (runs["arm"].values == BASELINE)
        medians = final.values[of_baseline if of_baseline.any() else has_median]
        best.append((medians.max() if maximise else medians.min()) if len(medians) else np.nan)
    return xr.DataArray(best, {"dataset": datasets}, "dataset")


def outcome_variables(reached: "xr.Dataset") -> dict[str, Entry]:
    """Return the results of `outcomes` as variables of an experiment's Dataset."""
    dims = ("contender", "seed")
    estimator = "90 % of the gain of cnn, or of the best cell; a miss counts with the budget of all arms"
    return {
        "steps_to_target": variable(
            dims, reached["steps_to_target"], "training steps to the target", estimator=estimator
        ),
        "resolution": variable(
            dims, reached["resolution"], "length of the evaluation interval in which the target was reached"
        ),
        "target_reached": variable(dims, reached["target_reached"], "whether the target was reached"),
        "target_level": variable(
            "contender", reached["target_level"].max("seed"), "validation metric of the target"
        ),
        "final_metric": variable(dims, reached["final_metric"], "final test metric"),
    }


def typical_steps(reached: "xr.Dataset") -> np.ndarray:
    """Return the geometric mean of steps to the target over runs, (contenders,); NaN for contenders without runs."""
    import xarray as xr

    logarithms: xr.DataArray = xr.apply_ufunc(np.log, reached["steps_to_target"])
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
