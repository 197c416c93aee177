"""Successive halving, read off the recorded curves of candidates that were all trained to the end."""

from collections.abc import Sequence

import numpy as np
import xarray as xr

from hornlib.errors import ResultsError

__all__ = ["cost_until_level", "halving_rungs", "num_candidates_at", "successive_halving"]


def halving_rungs(num_candidates: int, last_step: int, eta: int = 2) -> list[float]:
    """Return the training steps r_k = R eta^(k - K) at which candidates are compared, k = 0..K, ascending.

    R is the length of a whole training, and K the largest whole number with eta^K <= n. Every rung then costs about as
    much as any other one: fewer candidates are trained for longer.

    Args:
        num_candidates: n, number of candidates before the first rung.
        last_step: R, training steps of a whole training.
        eta: factor by which candidates become fewer from rung to rung, from 2 on.

    Raises:
        ResultsError: eta is below 2.

    Reference:
        Li et al., Hyperband, JMLR 18 (2018), section 3.1, with the letters of that paper.
    """
    _check_eta(eta)
    rungs = [float(last_step)]
    while eta ** len(rungs) <= num_candidates:
        rungs.append(last_step / eta ** len(rungs))
    return rungs[::-1]


def num_candidates_at(num_candidates: int, num_rungs: int, eta: int = 2) -> list[int]:
    """Return how many candidates are trained until each rung, floor(n eta^-k) but at least one.

    Args:
        num_candidates: n, number of candidates before the first rung.
        num_rungs: number of rungs.
        eta: factor by which candidates become fewer from rung to rung.
    """
    return [max(1, num_candidates // eta**rung) for rung in range(num_rungs)]


def successive_halving(
    metric: xr.DataArray,
    cost: xr.DataArray,
    rungs: Sequence[float],
    eta: int = 2,
    direction: str = "maximise",
    dim: str = "candidate",
) -> xr.Dataset:
    """Return whom successive halving would have stopped at which rung, whom it chooses, and what that would have cost.

    All n candidates are trained until the first rung. There the best floor(n / eta) stay, and the others are stopped;
    the best floor(n / eta^2) of them stay at the second rung, and so on. The best candidate at the last rung is chosen.
    A run that is stopped at a recorded evaluation is the run that was recorded, up to there: seed, order of the
    examples and schedule are those of the whole training. With one rung, the last step, this is random search: every
    candidate is trained to the end.

    A rung between two evaluations is judged at the earlier one. Of candidates with equal metrics the one that has cost
    less is better, then the one that stands first. A run that has diverged is worse than all others; it costs what it
    had cost at its last evaluation.

    Args:
        metric: what decides, e.g. the validation metric, (dim, .., step) with the coordinate `step`. NaN where there is
            no evaluation, and after a run diverged.
        cost: cost so far, e.g. training FLOPs, (dim, .., step); it may lack other dimensions.
        rungs: training steps at which candidates are compared, ascending, e.g. from `halving_rungs`. The last one is
            the length of the training.
        eta: factor by which candidates become fewer from rung to rung, from 2 on.
        direction: maximise or minimise.
        dim: dimension of the candidates.

    Returns:
        `chosen` (..): position of the chosen candidate; -1 if a candidate is missing, or if all of them diverged.
        `stopped_at` (dim, ..): training step at which a candidate was stopped; the last rung for one that was not.
        `cost` (..): cost of all candidates together; NaN if a candidate is missing.
        `num_candidates` (rung): number of candidates that are trained until a rung, whose training step is the
        coordinate `rung`.

    Raises:
        ResultsError: eta is below 2, rungs do not ascend, or nobody was evaluated at or before the first rung.

    Reference:
        Jamieson and Talwalkar, Non-stochastic best arm identification and hyperparameter optimization, AISTATS 2016,
        algorithm 1 (eta = 2); Li et al., Hyperband, JMLR 18 (2018), algorithm 1 (any eta).
    """
    _check_eta(eta)
    steps = _evaluations_at(metric, rungs)
    sizes = num_candidates_at(metric.sizes[dim], len(steps), eta)
    metric, cost = xr.broadcast(metric.reset_coords(drop=True), cost.reset_coords(drop=True))
    better = metric if direction == "maximise" else -metric
    up_to_rung = [cost.where(cost["step"] <= step).max("step") for step in steps]
    spent = xr.concat(up_to_rung, "rung")
    last_rung, chosen, total = xr.apply_ufunc(
        _halve,
        better.sel(step=steps).drop_vars("step").rename(step="rung"),
        spent,
        metric.notnull().any("step"),
        input_core_dims=[[dim, "rung"], [dim, "rung"], [dim]],
        output_core_dims=[[dim], [], []],
        kwargs={"sizes": sizes},
    )
    return xr.Dataset(
        {
            "chosen": chosen,
            "stopped_at": last_rung.copy(data=np.asarray(steps)[last_rung.values]),
            "cost": total,
            "num_candidates": ("rung", sizes),
        },
        coords={"rung": steps},
    )


def cost_until_level(
    metric: xr.DataArray,
    cost: xr.DataArray,
    stopped_at: xr.DataArray,
    level: float,
    direction: str = "maximise",
    dim: str = "candidate",
) -> xr.Dataset:
    """Return what a search over candidates that train side by side costs until the first of them reaches a level.

    All candidates that have not been stopped take the same number of training steps. The search ends at the first
    evaluation t at which one of them reaches the level: E = sum_i c_i(min(t, s_i)), s_i the step at which candidate i
    is stopped. A search in which none reaches it costs all that it spends.

    Args:
        metric: what must reach the level, (dim, .., step) with the coordinate `step`; NaN where there is no evaluation.
        cost: cost so far, (dim, .., step).
        stopped_at: from `successive_halving`, (dim, ..).
        level: of the metric; one evaluation that reaches it suffices.
        direction: maximise or minimise.
        dim: dimension of the candidates.

    Returns:
        `cost` (..) and `reached` (..); the cost is NaN if a candidate is missing.
    """
    step = metric["step"]
    is_good = metric >= level if direction == "maximise" else metric <= level
    first = step.where(is_good & (step <= stopped_at)).min([dim, "step"])
    until = stopped_at.where(first.isnull(), np.minimum(stopped_at, first))
    spent = cost.where(step <= until).max("step")
    complete = metric.notnull().any("step").all(dim)
    return xr.Dataset({"cost": spent.sum(dim).where(complete), "reached": first.notnull() & complete})


def _check_eta(eta: int) -> None:
    if eta < 2:
        raise ResultsError(f"eta: got {eta}; candidates become fewer by a whole number from 2 on")


def _evaluations_at(metric: xr.DataArray, rungs: Sequence[float]) -> list[int]:
    """Return the last training step at or before each rung at which any candidate was evaluated."""
    if list(rungs) != sorted(set(rungs)) or not rungs:
        raise ResultsError(f"rungs: got {list(rungs)}; they are ascending training steps, at least one")
    evaluated = metric.notnull().any([name for name in metric.dims if name != "step"])
    steps = metric["step"].values[evaluated.values]
    if not len(steps) or rungs[0] < steps[0]:
        first = f"the first evaluation is after step {steps[0]}" if len(steps) else "there is no evaluation"
        raise ResultsError(f"rungs: the first one is {rungs[0]:g}, and {first}; begin later")
    return [int(steps[steps <= rung][-1]) for rung in rungs]


def _halve(
    score: np.ndarray, spent: np.ndarray, is_run: np.ndarray, sizes: Sequence[int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the last rung of each candidate, the position of the chosen one, and the cost of all.

    Args:
        score: at each rung, larger is better; NaN after a run diverged, (.., candidate, rung).
        spent: cost so far, (.., candidate, rung).
        is_run: whether the candidate was trained at all, (.., candidate).
        sizes: number of candidates that are trained until each rung.

    Returns:
        (.., candidate), (..) and (..).
    """
    last_rung = np.zeros(is_run.shape, int)
    stays = np.ones(is_run.shape, bool)
    for rung, size in enumerate([*sizes[1:], 1]):
        badness = np.where(np.isnan(score[..., rung]), np.inf, -score[..., rung])
        order = np.lexsort((spent[..., rung], badness, ~stays), axis=-1)
        stays = np.argsort(order, axis=-1) < size
        last_rung = np.where(stays & (rung + 1 < len(sizes)), rung + 1, last_rung)
    chosen = stays.argmax(-1)
    ends_well = np.isfinite(np.take_along_axis(score[..., -1], chosen[..., None], -1)[..., 0])
    complete = is_run.all(-1)
    total = np.take_along_axis(spent, last_rung[..., None], -1)[..., 0].sum(-1)
    return last_rung, np.where(complete & ends_well, chosen, -1), np.where(complete, total, np.nan)
