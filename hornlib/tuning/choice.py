"""The choice: the trial of an arm that is best on validation, and the cost of all trials."""

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hornlib.data.parameters import DataParameters
from hornlib.errors import ResultsError
from hornlib.grid.cell import Cell, Selection
from hornlib.grid.finalists import FinalistStage
from hornlib.parameters.tuning import Objective, Tuned
from hornlib.results.divergence import final_with_chance
from hornlib.results.same_data import TrainedFile, different_data
from hornlib.results.selection_file import Choice

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["TuningRuns", "baseline_metric", "choose", "pick_finalists"]


class TuningRuns(NamedTuple):
    """The runs that tuned one arm.

    Attributes:
        trials: all trials with the seeds of the first stage.
        finalists: the best trials with the seeds of the second stage; None where there is no second stage.
    """

    trials: "xr.Dataset"
    finalists: "xr.Dataset | None" = None


class Ranking(NamedTuple):
    """Trials by one objective: their indices in the dataset, the best one first, and the score of each trial."""

    order: list[int]
    scores: list[float]


def choose(cell: Cell, arm: TuningRuns, baseline: TuningRuns | None) -> Choice:
    """Choose the trial with the smallest restricted mean time, or the best last metric, on validation over its seeds.

    A run that diverged counts as chance in the last metric, and as the whole budget in the time. Between equal
    times the better last metric decides, then the earlier trial.

    With a second stage the choice is made among the k finalists of this objective, over the seeds of both stages. The
    seeds of the first stage count although they chose the finalists, which makes their scores too good there. In
    simulations the pooled mean was never worse than the mean over the fresh seeds alone. The share of sweeps in which
    two equal arms differ at 5 % falls from 8 to 11 % without a second stage to 6 to 7 % with 8 fresh seeds of the
    best 4 (benchmarks/finalists.md).

    Args:
        cell: the tuned cell, before its values are set.
        arm: runs of its arm.
        baseline: runs of the baseline, for the objective time_to_target; None for other objectives.

    Raises:
        ResultsError: no trial has a validation metric, the finalists do not follow from the trials, or the runs were
            trained on different examples.
    """
    tuned = cell.tuned
    if tuned is None:
        raise ValueError(f"{cell.name} is not tuned")
    _refuse_different_data(stage for stage in (*arm, *(baseline or ())) if stage is not None)
    reference = np.nan if baseline is None else _final_level(tuned, baseline)
    first = _rank(tuned.objective, arm.trials, tuned, reference)
    finalists, judged = _candidates(tuned, tuned.objective, arm, baseline)
    last = first if arm.finalists is None else _rank(tuned.objective, judged, tuned, reference)
    best = int(judged["trial"].values[last.order[0]])
    values = {key: arm.trials[key].values.tolist() for key in tuned.ranges}
    return Choice(
        cell.name,
        Selection(best, {key: parameter_values[best] for key, parameter_values in values.items()}),
        _outermost(values, best),
        first.scores,
        float(reference),
        _cost(arm),
        tuple(finalists),
    )


def pick_finalists(
    stage: FinalistStage, trials: "xr.Dataset", baseline: "xr.Dataset | None"
) -> dict[Objective, list[int]]:
    """Return the k best trials of every objective after the first stage, in ascending order.

    Args:
        stage: objectives, target and k.
        trials: runs of the arm in the first stage.
        baseline: runs of the baseline in the first stage, for time_to_target; None for other objectives.

    Raises:
        ResultsError: no trial has a validation metric.
    """
    reference = np.nan if baseline is None else baseline_metric(baseline)
    return {
        objective: sorted(_rank(objective, trials, stage, reference).order[: stage.trials])
        for objective in stage.objectives
    }


def baseline_metric(trials: "xr.Dataset") -> float:
    """Return A: the median over tuning seeds of the last validation metric of the trial where its mean is best."""
    final = _final_metric(trials)
    maximise = str(trials["direction"].item()) == "maximise"
    best = int(np.nanargmax(final) if maximise else np.nanargmin(final))
    last = trials["validation_metric"].isel(trial=best, step=-1)
    return float(last.fillna(trials["chance_level"]).median())


def _refuse_different_data(stages: Iterable["xr.Dataset"]) -> None:
    files = []
    for stage in stages:
        document = json.loads(stage.attrs["document"])
        data = document.get("arm", document)["cell"]["data"]  # finalists name their arm
        files.append(TrainedFile(f"{stage.attrs['arm']}.nc", DataParameters(**data), stage.attrs))
    if problems := different_data(files):
        raise ResultsError("\n".join(problems))


def _final_level(tuned: Tuned, baseline: TuningRuns) -> float:
    """Return A over the tuning seeds of both stages. It judges the finalists, which the A of the first stage chose."""
    _, judged = _candidates(tuned, "final_metric", baseline, None)
    return baseline_metric(judged)


def _candidates(
    tuned: Tuned, objective: Objective, arm: TuningRuns, baseline: TuningRuns | None
) -> tuple[list[int], "xr.Dataset"]:
    """Return the finalists of an objective and their runs in both stages. With one stage: no finalists, all trials."""
    import xarray as xr

    if arm.finalists is None:
        return [], arm.trials
    reference = np.nan if baseline is None else baseline_metric(baseline.trials)
    finalists = sorted(_rank(objective, arm.trials, tuned, reference).order[: tuned.finalist_trials])
    if not set(finalists) <= set(arm.finalists["trial"].values.tolist()):
        raise ResultsError(
            f"{arm.finalists.attrs['arm']}.nc: its finalists do not follow from the trials of now. "
            "Delete it and give the same command again: only the finalists are trained anew"
        )
    both = [stage.sel(trial=finalists) for stage in (arm.trials, arm.finalists)]
    return finalists, xr.concat(
        both,
        "seed",
        data_vars="minimal",
        coords="minimal",
        compat="equals",
        join="exact",
        combine_attrs="override",
    )


def _rank(
    objective: Objective, runs: "xr.Dataset", rules: Tuned | FinalistStage, reference: float
) -> Ranking:
    """Rank the trials by one objective, over all seeds of the dataset."""
    from hornlib.results.target_times import time_to_target

    final = _final_metric(runs)
    if not np.isfinite(final).any():
        raise ResultsError(
            f"{runs.attrs['arm']}: no trial has a validation metric; give data.validation above 0"
        )
    badness = -final if str(runs["direction"].item()) == "maximise" else final
    scores, first_key = final, badness
    if objective == "time_to_target":
        times = time_to_target(runs, rules.target, on="samples", confirm=rules.confirm, baseline=reference)
        scores = first_key = times["time"].mean("seed").values
    keys = (np.arange(len(final)), badness, first_key)
    order = np.lexsort([np.where(np.isnan(key), np.inf, key) for key in keys])
    return Ranking(order.tolist(), scores.tolist())


def _final_metric(trials: "xr.Dataset") -> np.ndarray:
    """Return the mean last validation metric of every trial, (trial,). A diverged run counts as chance."""
    last = trials["validation_metric"].isel(step=-1)
    final = final_with_chance(last, trials["diverged_at_step"], trials["chance_level"])
    return np.asarray(final.mean("seed").values)


def _cost(arm: TuningRuns) -> dict[str, float]:
    """Return the cost of both stages together."""
    stages = [_stage_cost(stage) for stage in arm if stage is not None]
    return {key: sum(stage[key] for stage in stages) for key in stages[0]}


def _stage_cost(trials: "xr.Dataset") -> dict[str, float]:
    runs = trials.sizes["trial"] * trials.sizes["seed"]
    flops = trials["training_flops"].max("step")
    return {
        "samples": float(trials["samples"].values[-1] * runs),
        "training_flops": float(flops.fillna(flops.max()).sum()),
        "seconds": float(trials["seconds"].max("step").sum()),
    }


def _outermost(values: Mapping[str, list[float]], trial: int) -> list[str]:
    """Return the parameters in which a trial has the smallest or largest value. The optimum may lie beyond it."""
    return [key for key, tried in values.items() if tried[trial] in (min(tried), max(tried))]
