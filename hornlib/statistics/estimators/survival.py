"""The fraction of runs that have reached a target as time goes on, with bands, and the log-rank test."""

import numpy as np
import xarray as xr

from hornlib.statistics.estimators.student import as_bounds

__all__ = ["fraction_reached", "log_rank"]


def fraction_reached(
    time: xr.DataArray, event: xr.DataArray, at: xr.DataArray, alpha: float = 0.05, dim: str = "seed"
) -> xr.Dataset:
    """Return the Kaplan-Meier estimate of the fraction that has reached the target, and pointwise bands.

    F(t) = 1 - prod_{t_i <= t} (1 - d_i / Y_i), d_i events among Y_i runs at risk. The bands are the beta product
    confidence procedure by the method of moments: the survivors' share lies between quantiles of products of
    independent Beta(Y_i - d_i + 1, d_i), the lower one with a further Beta(Y, 1) of the Y still at risk after t.
    Without censoring before t they are Clopper and Pearson's, so that they hold 1 - alpha for five runs too, where
    Greenwood's and the log(-log) bands have no width before the first event.

    Args:
        time: of the event, or of censoring where there is none; NaN where there is no run.
        event: whether the target was reached.
        at: times to evaluate at, with the dimension `time_index`.
        alpha: 1 - confidence of each point, two-sided.
        dim: dimension of the runs.

    Returns:
        `fraction_reached` and `fraction_bound`, NaN where `at` is, or where there is no run.

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
    there = at.notnull() & time.notnull().any(dim)
    bound = as_bounds(low.where(there), high.where(there))
    return xr.Dataset({"fraction_reached": reached.where(there), "fraction_bound": bound})


def _product_limit(
    time: np.ndarray, event: np.ndarray, at: np.ndarray, alpha: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the fraction reached and its bounds; one run a factor, which is the same where events are tied."""
    known = np.isfinite(time)
    time = np.where(known, time, np.inf)
    order = np.lexsort((~event, time), axis=-1)  # at ties, events come before the censored
    time, event = np.take_along_axis(time, order, -1), np.take_along_axis(event, order, -1)
    at_risk = np.maximum(known.sum(-1, keepdims=True) - np.arange(time.shape[-1]), 1)
    passed = (event[..., None, :] & (time[..., None, :] <= at[..., None])).astype(bool)
    survivors = np.where(passed, 1 - 1 / at_risk[..., None, :], 1).prod(-1)
    first = np.where(passed, (at_risk / (at_risk + 1))[..., None, :], 1).prod(-1)
    second = np.where(passed, (at_risk / (at_risk + 2))[..., None, :], 1).prod(-1)
    later = time[..., None, :] > at[..., None]
    censored_now = ~event[..., None, :] & (time[..., None, :] == at[..., None])
    left = ((later & np.isfinite(time)[..., None, :]) | censored_now).sum(-1)
    high = np.where(passed.any(-1), _beta_quantile(1 - alpha / 2, first, second), 1.0)
    low = _beta_quantile(alpha / 2, first * left / (left + 1), second * left / (left + 2))
    return 1 - survivors, 1 - high, 1 - np.where(left > 0, low, 0.0)


def _beta_quantile(share: float, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the quantile of the beta distribution that has these first two moments."""
    from scipy.stats import beta

    # Runs are few, so that thousands of points share a handful of moments.
    firsts, row = np.unique(first.ravel(), return_inverse=True)
    seconds, column = np.unique(second.ravel(), return_inverse=True)
    codes, which = np.unique(row * len(seconds) + column, return_inverse=True)
    one, two = firsts[codes // len(seconds)], seconds[codes % len(seconds)]
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (one - two) / (two - one**2)  # no number where all mass is at 0 or 1; the caller knows these
        return beta.ppf(share, one * ratio, (1 - one) * ratio)[which].reshape(first.shape)


def log_rank(
    first_time: xr.DataArray,
    first_event: xr.DataArray,
    second_time: xr.DataArray,
    second_event: xr.DataArray,
    dim: str = "seed",
) -> xr.DataArray:
    """Return the p-value of the log-rank test between two groups of runs, for all pairs at once.

    chi2 = (sum_t d_1 - d Y_1 / Y)^2 / sum_t d (Y_1 / Y)(Y_2 / Y)(Y - d)/(Y - 1) with one degree of freedom; d events
    among Y runs at risk, d_1 and Y_1 those of the first group. The groups are taken as independent.

    Args:
        first_time, first_event: of the first group, as in `fraction_reached`.
        second_time, second_event: of the second; all other dimensions are broadcast.
        dim: dimension of the runs; both groups must have it, of whatever length.

    Returns:
        p, two-sided; NaN where nothing tells the groups apart because neither has an event at risk.

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
    # Every event speaks for its time; of d tied ones each has the weight 1/d.
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
