"""Ways to arrive at a network: what each of them spends, search included, and what it has for that."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import xarray as xr
from sparse_pairs import MARGIN, Estimate, accuracies, labels_of, of_label, paired_ratio, total

from hornlib import time_to_target
from hornlib.results.target_times import ROUNDING
from hornlib.statistics.contenders import final_metric
from hornlib.statistics.estimators.random_search import cost_until_first
from hornlib.statistics.estimators.successive_halving import (
    cost_until_level,
    halving_rungs,
    successive_halving,
)

__all__ = [
    "BASELINE",
    "CANDIDATES",
    "ETA",
    "SEARCHES",
    "TRAINED",
    "Costs",
    "Ratio",
    "Way",
    "can_be_searched",
    "candidates_of",
    "common_level",
    "halved",
    "known_ways",
    "last_network_from",
    "ratio_of",
    "ways_of",
]

BASELINE = "large"
"""Arm that every way is compared with."""

CANDIDATES = "profile"
"""Arm whose cells are the candidates of the searches."""

ETA = 2
"""Factor by which successive halving thins out its candidates, as Jamieson and Talwalkar (2016) published it."""

TRAINED = {
    "large": "the large network as it is",
    "small": "a small network as it is",
    "gradmax": "growth (GradMax)",
    "unit_pruning": "pruning of units, fine-tuned",
    "weight_pruning": "pruning of weights, fine-tuned",
    "plain_sgd": "the large network, SGD without momentum",
    "beta_lasso": "beta-LASSO",
    "neat": "NEAT",
}
"""Arm that is one training -> its words."""

SEARCHES = {
    "random_search": "random search",
    "first_good": "random search that stops at the first good profile",
    "successive_halving": "successive halving",
}
"""Search that is read off the runs of the candidates -> its words."""


class Costs(NamedTuple):
    """Training FLOPs until a level of the validation metric.

    Attributes:
        flops: (seed,), until the level, or all that was spent where it is missed; NaN where a run is missing.
        reached: (seed,), whether it is reached.
    """

    flops: xr.DataArray
    reached: xr.DataArray


class Way(NamedTuple):
    """One way to arrive at a network. All arrays are (seed,), and NaN where a run is missing.

    Attributes:
        words: how tables call it.
        spent: training FLOPs of the whole way, the search included; NaN where the way ends at the level.
        accuracy: last test accuracy, %; a diverged run has chance.
        parameters: trained parameters of the last network; of beta-LASSO its weights that are not exactly 0, without
            biases and norms.
        best: best validation metric of the last network.
        costs_to: level of the validation metric -> `Costs` with the last network.
        early_costs_to: the same with whatever network there is; None where the network never changes.
    """

    words: str
    spent: xr.DataArray
    accuracy: xr.DataArray
    parameters: xr.DataArray
    best: xr.DataArray
    costs_to: Callable[[float], Costs]
    early_costs_to: Callable[[float], Costs] | None = None


class Ratio(NamedTuple):
    """A paired ratio of costs.

    Attributes:
        estimate: geometric mean over the seeds whose baseline reached the level.
        is_bound: whether some of these runs missed the level. They count with all that they spent, so that the ratio is
            a lower bound.
    """

    estimate: Estimate
    is_bound: bool

    def words(self) -> str:
        """Return 'value [low, high]', or 'at least value' for a lower bound, which has no interval; '-' without one."""
        if not self.is_bound:
            return self.estimate.words()
        return f"at least {self.estimate.value:.2f}" if np.isfinite(self.estimate.value) else "-"


def ways_of(ds: xr.Dataset) -> dict[str, Way]:
    """Return name -> way, for the arms that have a complete run, and for the searches over the candidates.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
    """
    ways = {
        arm: _trained(ds, labels_of(ds, arm)[0], words)
        for arm, words in TRAINED.items()
        if labels_of(ds, arm)
    }
    candidates = candidates_of(ds)
    if can_be_searched(candidates):
        ways |= _searches(candidates)
    return ways


def _trained(ds: xr.Dataset, label: str, words: str) -> Way:
    """Return the way of a cell whose every run is one training."""
    run = of_label(ds, label).reset_coords(drop=True)
    size = _size(run)
    start = last_network_from(size, run["samples"].notnull())
    whole = ds.isel(contender=np.flatnonzero(ds["contender"].values == label))
    last = whole.assign(validation_metric=whole["validation_metric"].where(ds["step"] >= start))
    is_one_network = bool((start == start.min()).all() and start.min() == _first_evaluation(run))
    spent = xr.DataArray(total(ds, label, "training_flops"), {"seed": ds["seed"].values}, ("seed",))
    complete = run["status"] == "complete"
    return Way(
        words,
        spent,
        accuracies(ds, label),
        size.where(ds["step"] >= start).max("step").where(complete),
        last["validation_metric"].isel(contender=0).max("step").reset_coords(drop=True).where(complete),
        lambda level: _costs(last, level),
        None if is_one_network else lambda level: _costs(whole, level),
    )


def _size(run: xr.Dataset) -> xr.DataArray:
    """Return the number of trained parameters over steps; of beta-LASSO, of the weights that are not exactly 0.

    These are entries of matrices and kernels, without biases and norms.
    """
    if "num_nonzeros" in run and run["num_nonzeros"].notnull().any():
        return run["num_nonzeros"]
    return run["num_parameters_over_steps"]


def _first_evaluation(run: xr.Dataset) -> float:
    return float(run["step"].where(run["samples"].notnull()).min())


def last_network_from(size: xr.DataArray, evaluated: xr.DataArray) -> xr.DataArray:
    """Return the training step of the first evaluation from which on the number of parameters stays as it is, (seed,).

    Before it the network is not the one that the training ends with: it still grows, loses weights, or evolves.

    Args:
        size: number of parameters, (seed, step); NaN where there is no evaluation.
        evaluated: whether there is an evaluation, (step,).
    """
    step = size["step"]
    last = step.where(size.notnull()).max("step")
    at_end = size.where(step == last).max("step")
    last_change = step.where(size.notnull() & (size != at_end)).max("step").fillna(-1)
    return step.where(evaluated & (step > last_change)).min("step")


def _costs(one: xr.Dataset, level: float) -> Costs:
    """Return the costs of the runs of one contender.

    Args:
        one: a contender, with the dimension `contender` of length 1.
        level: of the validation metric; one evaluation that reaches it suffices.
    """
    reached = (
        time_to_target(one, level, "training_flops", confirm=1).isel(contender=0).reset_coords(drop=True)
    )
    return Costs(reached["time"], reached["event"])


def candidates_of(ds: xr.Dataset) -> xr.Dataset:
    """Return the candidates of the searches, (candidate, seed, step); a seed that lacks one of them is left out.

    Args:
        ds: from `hornlib.statistics.contenders.contenders`.
    """
    candidates = ds.isel(contender=np.flatnonzero(ds["arm"].values == CANDIDATES))
    tests = 100 * final_metric(candidates)
    candidates = candidates.assign(accuracy=tests).rename(contender="candidate")
    complete = (candidates["status"].isin(["complete", "diverged"])).all("candidate")
    return candidates.isel(seed=np.flatnonzero(complete))


def can_be_searched(candidates: xr.Dataset) -> bool:
    """Return whether there are two candidates that share a seed.

    Args:
        candidates: from `candidates_of`.
    """
    return candidates.sizes["candidate"] > 1 and candidates.sizes["seed"] > 0


def halved(candidates: xr.Dataset, eta: int = ETA) -> xr.Dataset:
    """Return successive halving read off the runs of the candidates; see `successive_halving`.

    Args:
        candidates: from `candidates_of`.
        eta: factor by which candidates become fewer; 1 never stops one, which is random search.
    """
    last = int(candidates["step"].where(candidates["samples"].notnull()).max())
    rungs = [float(last)] if eta == 1 else halving_rungs(candidates.sizes["candidate"], last, eta)
    metric, flops = (
        candidates[name].reset_coords(drop=True) for name in ("validation_metric", "training_flops")
    )
    return successive_halving(metric, flops, rungs, max(eta, 2))


def _searches(candidates: xr.Dataset) -> dict[str, Way]:
    """Return name -> search over the candidates."""
    bare = candidates.reset_coords(["direction", "chance_level"]).reset_coords(drop=True)
    bare = bare.set_coords(["direction", "chance_level"])
    best = candidates["validation_metric"].max("step").reset_coords(drop=True)
    unknown = xr.full_like(best.isel(candidate=0, drop=True), np.nan)

    def until_first(level: float) -> Costs:
        reached = time_to_target(bare, level, "training_flops", confirm=1)
        events = reached["event"].reset_coords(drop=True)
        costs = cost_until_first(reached["time"].reset_coords(drop=True), events)
        return Costs(costs, events.any("candidate"))

    number = candidates.sizes["candidate"]
    return {
        "random_search": _search(candidates, halved(candidates, 1), f"random search, {number} profiles"),
        "first_good": Way(
            SEARCHES["first_good"], unknown, unknown, unknown, best.max("candidate"), until_first
        ),
        "successive_halving": _search(
            candidates, halved(candidates), f"successive halving, {number} profiles, eta {ETA}"
        ),
    }


def _search(candidates: xr.Dataset, halving: xr.Dataset, words: str) -> Way:
    """Return the way of a search whose candidates train side by side until they are stopped.

    To a level it costs what all of them have cost when the first one reaches it.

    Args:
        candidates: from `candidates_of`.
        halving: from `halved`.
        words: of the way.
    """
    chosen, stopped_at = halving["chosen"], halving["stopped_at"]
    metric, flops = (
        candidates[name].reset_coords(drop=True) for name in ("validation_metric", "training_flops")
    )

    def of_chosen(values: xr.DataArray) -> xr.DataArray:
        bare = values.reset_coords(drop=True).drop_vars("candidate", errors="ignore")
        return bare.isel(candidate=chosen.clip(min=0)).where(chosen >= 0)

    def until_level(level: float) -> Costs:
        costs = cost_until_level(metric, flops, stopped_at, level - ROUNDING)
        return Costs(costs["cost"], costs["reached"])

    size = of_chosen(candidates["num_parameters_over_steps"].max("step"))
    return Way(
        words,
        halving["cost"],
        of_chosen(candidates["accuracy"]),
        size,
        metric.where(metric["step"] <= stopped_at).max(["candidate", "step"]),
        until_level,
    )


def common_level(*ways: Way) -> float:
    """Return a validation metric that the last network of every run reaches: half a point below the weakest run's best.

    Args:
        ways: to be compared.
    """
    return min((float(way.best.min()) for way in ways), default=np.nan) - MARGIN


def ratio_of(costs: Costs, baseline: Costs) -> Ratio:
    """Return the paired ratio of costs over the seeds whose baseline reached the level.

    Args:
        costs: of a way.
        baseline: of another way, to the same level.
    """
    flops, reached, rival = xr.align(
        costs.flops, costs.reached, baseline.flops.where(baseline.reached), join="inner"
    )
    is_pair = (flops.notnull() & rival.notnull()).values
    return Ratio(
        paired_ratio(flops.values, rival.values), bool((is_pair & ~reached.values.astype(bool)).any())
    )


def known_ways(ways: Mapping[str, Way]) -> Iterator[tuple[str, Way]]:
    """Yield the ways in the order of the tables."""
    for name in (*TRAINED, *SEARCHES):
        if name in ways:
            yield name, ways[name]
