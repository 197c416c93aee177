"""The Dataset of an experiment: variables with units and long names, and the sentence that sums it up."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hornlib.mechanism.contenders import Study
from hornlib.mechanism.effects import Effect
from hornlib.results.analysis_files import EXPERIMENT_FILE
from hornlib.results.netcdf import load_dataset, write_dataset

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["axis", "effect_variables", "finished", "open_experiment", "variable", "write"]

Entry = tuple[Any, Any, dict[str, str]]


def variable(
    dims: str | Sequence[str], values: Any, long_name: str, units: str = "1", **attributes: str
) -> Entry:
    """Return dimensions, numbers and attributes as `xarray.Dataset` takes them.

    Args:
        dims: names of the dimensions.
        values: the numbers, an array with these dimensions.
        long_name, units: attributes of the variable.
        attributes: further attributes, e.g. estimator.
    """
    return dims, np.asarray(values), {"units": units, "long_name": long_name, **attributes}


def axis(name: str, values: Any, long_name: str, units: str = "1") -> dict[str, Entry]:
    """Return the coordinate of a dimension.

    Args:
        name: name of the dimension.
        values: values along it.
        long_name, units: attributes of the coordinate.
    """
    return {name: variable(name, values, long_name, units)}


def effect_variables(
    name: str, dims: Sequence[str], effects: Sequence[Effect], long_name: str, estimator: str
) -> dict[str, Entry]:
    """Return variables with the estimates of one effect, their bounds (dimension `bound`) and numbers of pairs.

    Args:
        name: name of the variable. The bounds are `<name>_bound` and the numbers of pairs `num_<name>`.
        dims: dimensions of the estimates.
        effects: estimates with intervals, in the order of the dimensions.
        long_name, estimator: attributes of the variables.
    """
    bounds = np.array([effect[1:3] for effect in effects], float).reshape(len(effects), 2)
    estimates = np.array([effect.estimate for effect in effects], float)
    interval = "two-sided, 95 %"
    return {
        name: variable(dims, estimates, long_name, estimator=estimator),
        f"{name}_bound": variable(
            (*dims, "bound"), bounds, f"bounds of {long_name}", estimator=estimator, interval=interval
        ),
        f"num_{name}": variable(dims, [effect.num for effect in effects], f"pairs behind {long_name}"),
    }


def finished(
    experiment: str, question: str, study: Study, variables: dict[str, Entry], sentence: str, **axes: Entry
) -> "xr.Dataset":
    """Return the Dataset of an experiment.

    Args:
        experiment: name of the experiment.
        question: what it asks, and which answer would refute which explanation.
        study: sweep and seeds.
        variables: the numbers.
        sentence: the result: an effect size with its interval, or that nothing was distinguished. Where the variables
            have `target_reached`, the contenders with runs that miss it are named after that.
        axes: coordinates.
    """
    import xarray as xr

    if "target_reached" in variables:
        sentence = " ".join([sentence, *_misses(study, variables)])
    if any("bound" in entry[0] for entry in variables.values()):
        axes |= axis("bound", ["low", "high"], "end of the interval")
    if any("seed" in entry[0] for entry in variables.values()):
        axes |= axis("seed", list(study.seeds), "seed")
    attributes = {
        "experiment": experiment,
        "question": question,
        "sentence": sentence,
        "sweep": study.sweep,
        "num_seeds": len(study.seeds),
    }
    return xr.Dataset(variables, axes, attributes)


def _misses(study: Study, variables: dict[str, Entry]) -> Iterator[str]:
    """Yield which contenders have runs that miss the target: their ratios are nearer to 1 than the true ones."""
    reached, steps = (np.asarray(variables[name][1]) for name in ("target_reached", "steps_to_target"))
    missing: dict[str, dict[str, list[str]]] = {}
    for contender, runs in zip(study.contenders, reached, strict=True):
        if (runs == 0).any():
            share = f"{int(np.nansum(runs))} of {np.isfinite(runs).sum()} runs"
            # Labels that differ in the last value alone are merged: horn learning_rate=0.1, 0.3.
            *words, last = contender.label.rpartition("=")
            missing.setdefault(share, {}).setdefault("".join(words), []).append(last)
    if missing:
        budgets = " or ".join(f"{budget:.0f}" for budget in np.unique(steps[reached == 0]))
        listed = "; ".join(
            f"{share} of {', '.join(start + ', '.join(ends) for start, ends in arms.items())}"
            for share, arms in sorted(missing.items())
        )
        yield (
            f"A run that misses the target counts with the budget of its dataset, {budgets} steps, so that ratios over "
            f"it are too near to 1, and ranks tie. The target is reached by {listed}."
        )


def write(ds: "xr.Dataset", path: Path) -> Path:
    """Write the Dataset, completely or not at all, and return its path.

    Args:
        ds: Dataset of an experiment.
        path: the netCDF file.

    Raises:
        ResultsError: the folder is full or cannot be written.
    """
    write_dataset(path, EXPERIMENT_FILE, ds)
    return path


def open_experiment(path: str | Path) -> "xr.Dataset":
    """Read an experiment's Dataset into memory.

    Raises:
        ResultsError: the file does not exist, is damaged, or has another schema.
    """
    return load_dataset(Path(path), EXPERIMENT_FILE)
