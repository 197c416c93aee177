"""Descriptions of all variables of the appendix: long names, units, estimators and intervals."""

from typing import NamedTuple

import xarray as xr

__all__ = ["described"]

METRIC = "metric's own"
COST = "see the attribute axis_units"
STUDENT = "Student's over seeds with n - 2 degrees of freedom"
WILSON = "Wilson's"
BOOTSTRAP = "studentised bootstrap over seeds"


class _About(NamedTuple):
    """Attributes of a variable and of its interval."""

    long_name: str
    estimator: str = ""
    interval: str = ""
    units: str = "1"


ABOUT = {
    "time_point": _About("cost at which the fraction reached is computed", units=COST),
    "fraction_reached": _About(
        "fraction of runs that have reached the target",
        "Kaplan-Meier over seeds, misses censored at the budget",
    ),
    "fraction_mean": _About(
        "fraction of runs that have reached the target",
        interval="beta product, pointwise (Clopper-Pearson if uncensored)",
    ),
    "log_rank_p": _About(
        "p-value of the log-rank test on samples", "log-rank test of two independent groups, chi2"
    ),
    "early_metric": _About(
        "validation metric early in training", "last evaluation at or before the step", units=METRIC
    ),
    "early_metric_mean": _About(
        "mean early validation metric", "mean over seeds, diverged runs as chance", STUDENT, METRIC
    ),
    "epoch_step": _About("last step of the first epoch"),
    "area": _About(
        "area under the validation curve over log steps",
        "trapezoid rule of metric d ln s / ln S from step 1, diverged runs as chance",
        units=METRIC,
    ),
    "area_mean": _About("mean area under the validation curve", "mean over seeds", STUDENT, METRIC),
    "final_metric": _About("final test metric", "last evaluation, diverged runs as chance", units=METRIC),
    "final_metric_mean": _About("mean final test metric", "mean over seeds", STUDENT, METRIC),
    "divergence_rate": _About("share of runs that diverged", "share of the runs that ended", WILSON),
    "reached_rate": _About(
        "share of runs that reached the target", "share of runs, within the budget", WILSON
    ),
    "final_difference": _About(
        "final test metric minus the rival's", "mean over paired seeds", f"{STUDENT}, paired", METRIC
    ),
    "non_inferior": _About(
        "whether the final test metric is worse than the rival's by at most the margin",
        "two one-sided paired t tests at level alpha",
    ),
    "probability_of_improvement": _About(
        "probability that a run's final test metric is better than one of the rival's",
        "Mann-Whitney's U over the number of pairs",
        "Newcombe's method 5, arms independent",
    ),
    "cost_parameters": _About("trained parameters of the last evaluation", "median over complete runs"),
    "cost_forward_flops": _About(
        "forward FLOPs per example of the network at the end of training",
        "median over complete runs",
        units="FLOP",
    ),
    "cost_training_flops": _About("training FLOPs of a run", "mean over seeds", units="FLOP"),
    "cost_seconds": _About("seconds of a run", "calibrated step time, summed over steps", units="s"),
    "cost_peak_memory": _About("peak memory of training", units="byte"),
    **{
        f"pareto_{name}": _About(
            f"whether no contender has a better mean final test metric at no more {name.replace('_', ' ')}",
            "non-dominated among the contenders of a dataset",
        )
        for name in ("parameters", "forward_flops", "training_flops", "seconds", "peak_memory")
    },
    "expected_best": _About(
        "expected best score of a number of trials",
        "mean over all draws without replacement; restricted mean samples, or final validation metric",
        units="samples, or the metric's own",
    ),
    "tuning_cost": _About("cost of all trials of the arm", units=COST),
    "time_with_tuning": _About(
        "restricted mean time including the cost of tuning", "mean over seeds plus all trials", units=COST
    ),
    "tuning_trials": _About("trials of the arm"),
    "tuned_parameters": _About("parameters that the trials of the arm vary"),
    "tuning_finalists": _About("trials that were trained again with fresh seeds before the choice"),
    "at_edge": _About("tuned parameters whose chosen value is the smallest or largest tried"),
    "interquartile_mean": _About(
        "interquartile mean of normalised final test metrics",
        "mean of the middle half over datasets and seeds; 0 is chance, 1 the baseline's median",
        "bootstrap over seeds within datasets: its standard error, Student's quantile",
    ),
    "performance_profile": _About(
        "share of datasets on which the arm's time is within the ratio of the best time of its presentation",
        "median times over seeds in samples; a miss is infinite",
    ),
    "algoperf_score": _About("AlgoPerf's score", "integral of the performance profile from 1 to 4, over 3"),
    "algoperf_reason": _About("why the arm has no AlgoPerf score"),
    "at_best_learning_rate": _About(
        "whether the cell is at the learning rate that is best for its other parameters",
        "chosen on validation by all seeds",
    ),
    "main_effect": _About(
        "main effect of a parameter's level",
        "mean over the other axes minus the grand mean, mean over seeds",
        BOOTSTRAP,
    ),
    "interaction": _About(
        "two-way interaction of levels",
        "cell means minus the grand mean and the two main effects, mean over seeds",
        BOOTSTRAP,
    ),
    "first_order_share": _About(
        "share of variance of a parameter alone", "analysis of variance, minus the noise of seeds"
    ),
    "total_share": _About(
        "share of variance of a parameter with its interactions",
        "analysis of variance, minus the noise of seeds",
        "middle 95 % of the draws of a bootstrap over seeds",
    ),
    "interaction_share": _About(
        "share of variance of a two-way interaction", "analysis of variance, minus the noise of seeds"
    ),
    "largest_in_draws": _About(
        "share of bootstrap draws in which the parameter's total share is largest", "bootstrap over seeds"
    ),
    "difference_p": _About(
        "p-value of the hypothesis that all cells are equal",
        "F test of a block design, with random exchanges of cells within seeds",
    ),
    "difference_p_holm": _About(
        "p-value of the hypothesis that all cells are equal, corrected over the datasets",
        "F test with random exchanges of cells within seeds, Holm's correction",
    ),
    "leading_parameter": _About(
        "parameter with the largest influence, nothing if none can be named",
        "largest total share, if the test of any difference rejects and 95 % of the draws agree",
    ),
    "noise_share": _About(
        "share of a single run's variance that comes from its seed", "residual of runs and cells"
    ),
    "arrived_share": _About(
        "share of the runs at the best learning rates that reach the target within the budget that all cells share"
    ),
    "factorial_cells": _About("cells of the factorial"),
    "factorial_seeds": _About("seeds of every cell of the factorial"),
}

COORDINATES = {
    "axis": _About("axis of cost"),
    "bound": _About("end of the interval"),
    "effect": _About("true ratio of costs"),
    "power": _About("probability of showing the true ratio"),
    "early_step": _About("training steps"),
    "selection": _About("objective of tuned cells"),
    "ratio_grid": _About("ratio to the best time"),
    "num_trials": _About("trials"),
    "outcome": _About("outcome that parameters influence"),
    "level": _About("level of a parameter"),
    "level_axis": _About("parameter of the level"),
    "level_place": _About("position of the level among the levels of its parameter"),
    "level_pair": _About("levels of two parameters"),
    "axis_name": _About("parameter"),
    "axis_pair": _About("two parameters"),
    "arm": _About("arm"),
}


CORE = frozenset({"contender", "rival", "seed", "dataset", "target"})
"""Coordinates that `hornlib.statistics.summary.core` describes."""


def described(ds: xr.Dataset) -> xr.Dataset:
    """Return the Dataset with units, long names, estimators and intervals of all variables.

    Args:
        ds: from `appendix`, (contender, target, axis, ..).

    Raises:
        KeyError: a variable has no row in `ABOUT` or `COORDINATES`.
    """
    ds = ds.copy()
    for name in ds.variables:
        if name not in CORE:
            ds[name].attrs = _attributes(str(name))
        if ds[name].dtype.kind == "U":
            ds[name] = ds[name].astype(object)
    return ds


def _attributes(name: str) -> dict[str, str]:
    """Return the attributes of a variable, or of the interval of a variable, which is called `<name>_bound`."""
    if about := ABOUT.get(name) or COORDINATES.get(name):
        words = {"units": about.units, "long_name": about.long_name, "estimator": about.estimator}
        return {key: word for key, word in words.items() if word}
    stem = name.removesuffix("_bound")
    estimate = ABOUT.get(f"{stem}_mean") or ABOUT.get(stem)
    if estimate is None or stem == name:
        raise KeyError(f"{name}: this variable has no row in ABOUT of hornlib/statistics/descriptions.py")
    return {
        "units": estimate.units,
        "long_name": f"{estimate.long_name}, bounds",
        "interval": estimate.interval,
    }
