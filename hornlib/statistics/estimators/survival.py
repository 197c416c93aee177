"""Survival analysis: the fraction of runs that have reached a target over time, and the log-rank test."""

import numpy as np
import xarray as xr

from hornlib.statistics.estimators.student import as_bounds

__all__ = ["fraction_reached", "log_rank"]


def fraction_reached(
    time: xr.DataArray, event: xr.DataArray, at: xr.DataArray, alpha: float = 0.05, dim: str = "seed"
) -> xr.Dataset:
    """Return the Kaplan-Meier estimate of the fraction of runs that have reached the target, with pointwise bands.

    F(t) = 1 - prod_{t_i <= t} (1 - d_i / Y_i) with d_i events among Y_i runs at risk. The bands are those of the beta
    product confidence procedure, by the method of moments. The share of survivors lies between quantiles of products of
    independent Beta(Y_i - d_i + 1, d_i). The lower quantile has a further factor Beta(Y, 1) for the Y runs that are
    still at risk after t. Without censoring before t the bands are those of Clopper and Pearson. They cover 1 - alpha
    even for five runs, while Greenwood's and the log(-log) bands have no width before the first event.

    Args:
        time: (.., dim), time of the event, or of censoring for a run without an event; NaN where a run is missing.
        event: (.., dim), whether the target was reached.
        at: (.., time_index), times at which the fraction is computed.
        alpha: 1 - confidence of each point, two-sided.
        dim: dimension of the runs.

    Returns:
        `fraction_reached` (.., time_index) and `fraction_bound` (.., time_index, bound); NaN where `at` is NaN, or
        without runs.

    Reference:
        Kaplan and Meier, J. Am. Stat. Assoc. 53 (1958); Fay, Brittain and Proschan, Biostatistics 14 (2013),
        section 3.
    """
    reached, low, high = xr.apply_ufunc(
        _product_limit,
        time,
        event.astype(bool) & time.notnull(),
        at,
        input_core_dims=[[dim], [dim], ["time_index"]],
        output_core_dims=[["time_index"]] * 3,
        kwargs={"alpha": alpha},
    )
    is_defined = at.notnull() & time.notnull().any(dim)
    bound = as_bounds(low.where(is_defined), high.where(is_defined))
    return xr.Dataset({"fraction_reached": reached.where(is_defined), "fraction_bound": bound})


def _product_limit(
    time: np.ndarray, event: np.ndarray, at: np.ndarray, alpha: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the fraction reached and its bounds, (.., time_index); every run is one factor, also for tied events."""
    is_run = np.isfinite(time)
    time = np.where(is_run, time, np.inf)
    order = np.lexsort((~event, time), axis=-1)  # at equal times, events come before censored runs
    time, event = np.take_along_axis(time, order, -1), np.take_along_axis(event, order, -1)
    at_risk = np.maximum(is_run.sum(-1, keepdims=True) - np.arange(time.shape[-1]), 1)
    passed = (event[..., None, :] & (time[..., None, :] <= at[..., None])).astype(bool)
    survivors = np.where(passed, 1 - 1 / at_risk[..., None, :], 1).prod(-1)
    first = np.where(passed, (at_risk / (at_risk + 1))[..., None, :], 1).prod(-1)
    second = np.where(passed, (at_risk / (at_risk + 2))[..., None, :], 1).prod(-1)
    later = time[..., None, :] > at[..., None]
    censored_now = ~event[..., None, :] & (time[..., None, :] == at[..., None])
    num_at_risk = ((later & np.isfinite(time)[..., None, :]) | censored_now).sum(-1)
    high = np.where(passed.any(-1), _beta_quantile(1 - alpha / 2, first, second), 1.0)
    low = _beta_quantile(
        alpha / 2, first * num_at_risk / (num_at_risk + 1), second * num_at_risk / (num_at_risk + 2)
    )
    return 1 - survivors, 1 - high, 1 - np.where(num_at_risk > 0, low, 0.0)


def _beta_quantile(share: float, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the quantile of the beta distribution with these first two moments."""
    from scipy.stats import beta

    # There are few runs, so that thousands of points have only a few different moments.
    firsts, row = np.unique(first.ravel(), return_inverse=True)
    seconds, column = np.unique(second.ravel(), return_inverse=True)
    codes, which = np.unique(row * len(seconds) + column, return_inverse=True)
    one, two = firsts[codes // len(seconds)], seconds[codes % len(seconds)]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (one - two) / (two - one**2)  # NaN if all mass is at 0 or 1, which the caller handles
        return beta.ppf(share, one * ratio, (1 - one) * ratio)[which].reshape(first.shape)


def log_rank(
    first_time: xr.DataArray,
    first_event: xr.DataArray,
    second_time: xr.DataArray,
    second_event: xr.DataArray,
    dim: str = "seed",
) -> xr.DataArray:
    """Return the p-value of the log-rank test between two groups of runs, for all pairs at once.

    chi2 = (sum_t d_1 - d Y_1 / Y)^2 / sum_t d (Y_1 / Y)(Y_2 / Y)(Y - d)/(Y - 1) with one degree of freedom. There are d
    events among Y runs at risk, and d_1 among Y_1 of the first group. The groups are taken as independent.

    Args:
        first_time, first_event: (.., dim), times and events of the first group, as in `fraction_reached`.
        second_time, second_event: (.., dim), those of the second group. All other dimensions are broadcast.
        dim: dimension of the runs. The groups may have different numbers of runs.

    Returns:
        (..), two-sided p-value; NaN if no group has an event while both groups are at risk.

    Reference:
        Mantel, Cancer Chemotherapy Reports 50 (1966).
    """
    other = f"other_{dim}"
    return xr.apply_ufunc(
        _log_rank,
        first_time,
        first_event.astype(bool) & first_time.notnull(),
        second_time.rename({dim: other}),
        (second_event.astype(bool) & second_time.notnull()).rename({dim: other}),
        input_core_dims=[[dim], [dim], [other], [other]],
    )


def _log_rank(
    first_time: np.ndarray, first_event: np.ndarray, second_time: np.ndarray, second_event: np.ndarray
) -> np.ndarray:
    from scipy.stats import chi2

    number = first_time.shape[-1]
    time, event = _joined(first_time, second_time), _joined(first_event, second_event)
    risk = time[..., None, :] >= time[..., :, None]
    now = (time[..., None, :] == time[..., :, None]) & event[..., None, :]
    at_risk, first_at_risk = risk.sum(-1), risk[..., :number].sum(-1)
    events, first_events = now.sum(-1), now[..., :number].sum(-1)
    # Every event represents its time. Each of d events at one time has the weight 1/d.
    weight = event / np.maximum(events, 1)
    share = first_at_risk / np.maximum(at_risk, 1)
    surprise = (weight * (first_events - events * share)).sum(-1)
    variance = weight * events * share * (1 - share) * (at_risk - events) / np.maximum(at_risk - 1, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return chi2.sf(surprise**2 / variance.sum(-1), 1)


def _joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    shape = np.broadcast_shapes(first.shape[:-1], second.shape[:-1])
    parts = [np.broadcast_to(part, (*shape, part.shape[-1])) for part in (first, second)]
    return np.concatenate(parts, axis=-1)
