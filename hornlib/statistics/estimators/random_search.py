"""Random search with fewer candidates than were trained: what it finds, and what it costs until one is good enough."""

import numpy as np
import xarray as xr

__all__ = ["cost_until_first", "outcome_of_chosen"]


def outcome_of_chosen(
    selection: xr.DataArray,
    outcome: xr.DataArray,
    cost: xr.DataArray,
    direction: str = "maximise",
    dim: str = "candidate",
) -> xr.DataArray:
    """Return the expected outcome of the candidate that is chosen among n drawn without replacement, for n = 1..N.

    With the candidates sorted from the worst to the best by `selection`, y_k the outcome of the k-th one:
    E = sum_k y_k C(k - 1, n - 1) / C(N, n). Choice and outcome are different numbers, such as the validation and the
    test metric, so that the outcome of the chosen one is not too good by the choice. Of candidates with equal
    selections the cheaper one is chosen, then the one that stands first.

    Args:
        selection: what decides; NaN for a run that diverged, which is worse than all others, (dim, ..).
        outcome: what is reported, (dim, ..); the result is NaN where a candidate has none.
        cost: decides between equal selections, (dim, ..).
        direction: of `selection`, maximise or minimise.
        dim: dimension of the candidates.

    Returns:
        (.., num_candidates).

    Reference:
        Dodge et al., Show your work, EMNLP 2019, and Tang et al., Showing your work doesn't always work, ACL 2020,
        equation 5, for the case in which choice and outcome are the same.
    """
    better = selection if direction == "maximise" else -selection
    expected = xr.apply_ufunc(
        _expected_outcome,
        *(values.reset_coords(drop=True) for values in (better, outcome, cost)),
        input_core_dims=[[dim]] * 3,
        output_core_dims=[["num_candidates"]],
        vectorize=True,
    )
    return expected.assign_coords(num_candidates=np.arange(1, selection.sizes[dim] + 1))


def _expected_outcome(better: np.ndarray, outcome: np.ndarray, cost: np.ndarray) -> np.ndarray:
    from scipy.special import comb

    number = len(better)
    badness = np.where(np.isnan(better), np.inf, -better)
    from_worst = outcome[np.lexsort((cost, badness))[::-1]]
    places, draws = np.arange(1, number + 1), np.arange(1, number + 1)[:, None]
    return (comb(places - 1, draws - 1) / comb(number, draws)) @ from_worst


def cost_until_first(cost: xr.DataArray, reached: xr.DataArray, dim: str = "candidate") -> xr.DataArray:
    """Return the expected cost of training candidates one after another, in random order, until one reaches a level.

    A candidate that reaches the level is trained until then, and costs c_i. One that does not is trained to its end,
    and costs m_j. With h candidates that reach it, each of the others stands before all h of them with the probability
    1 / (h + 1): E = mean_i c_i + sum_j m_j / (h + 1). If none reaches it, all are trained to their end.

    Args:
        cost: until the level, or of the whole training of a candidate that misses it, (dim, ..); the result is NaN
            where one is not known.
        reached: whether the candidate reaches the level, (dim, ..).
        dim: dimension of the candidates.
    """
    hits = reached.sum(dim)
    of_hits = cost.where(reached, 0.0).sum(dim) / hits.where(hits > 0)
    of_misses = cost.where(~reached, 0.0).sum(dim, skipna=False)
    expected = of_hits.fillna(0.0) + of_misses / (hits + 1)
    return xr.where(hits > 0, expected, of_misses).where(cost.notnull().all(dim))
