"""The headline estimator: the paired ratio of restricted mean times, its interval and its test."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.statistics.holm import holm
from hornlib.statistics.intervals import FEWEST, by_known_columns, log_ratio_interval, resampling_weights
from hornlib.statistics.paired_t import paired_t_p
from hornlib.statistics.settings import StatisticsSettings

__all__ = ["BOUNDS", "compare", "holm_within", "ratio_of", "restricted_means"]

BOUNDS = ("low", "high")

LAST = ("target", "axis", "seed")

RATIO = (
    "ratio of restricted mean times over paired seeds: mean of min(T, budget) of the contender over that of the "
    "rival; a run that diverges or never reaches the target has T infinite"
)
INTERVAL = "studentised bootstrap over pairs on the logarithm, with at least the variance of rounding up to evaluations"
TEST = "two-sided paired t-test of log restricted times, with at least the variance of rounding up to evaluations"


class _Times(NamedTuple):
    """Restricted times as plain arrays, (contender, target, axis, seed); NaN where there is no run."""

    restricted: np.ndarray
    event: np.ndarray
    resolution: np.ndarray

    def pick(self, rows: np.ndarray) -> "_Times":
        return _Times(*(values[rows].reshape(-1, values.shape[-1]) for values in self))


def restricted_means(times: xr.Dataset, settings: StatisticsSettings) -> xr.Dataset:
    """Return every contender's restricted mean time and its interval.

    Args:
        times: from `restricted_times`.
        settings: draws and alpha.

    Returns:
        `restricted_mean` (contender, target, axis), `restricted_mean_bound` (.., bound), NaN below five runs,
        and `num_seeds` (contender): runs that count on the axis of samples.
    """
    plain = _plain(times)
    rows = plain.pick(np.arange(len(plain.restricted)))
    nobody = _Times(np.ones_like(rows.restricted), np.ones_like(rows.event), np.zeros_like(rows.resolution))
    mean, bounds, _, num = _ratios(rows, nobody, settings)
    shape = plain.restricted.shape[:-1]
    coords = {name: times[name] for name in ("contender", "target", "axis")}
    result = _labelled(mean.reshape(shape), bounds.reshape(*shape, 2), coords, "restricted_mean")
    described = {"units": "1", "long_name": "runs that count"}
    most = num.reshape(shape).max((1, 2), initial=0).astype(float)
    result["num_seeds"] = ("contender", most, described)
    return result


def compare(times: xr.Dataset, rivals: xr.DataArray, settings: StatisticsSettings) -> xr.Dataset:
    """Return the ratio of every contender to each of its rivals, with interval and test.

    ratio = mean_i min(T_i, budget) / mean_i min(T'_i, budget) over the seeds i that both have; below 1 the
    contender is faster. NaN where neither arm reaches the target in any seed: both means are the budget then.

    Args:
        times: from `restricted_times`.
        rivals: from `rivals_of`.
        settings: draws, alpha, seed.

    Returns:
        `ratio`, `ratio_bound`, `p_value` on (contender, rival, target, axis), intervals below five pairs NaN;
        `num_pairs` (contender, rival), the pairs known at the headline's target, in samples where they are.
    """
    plain = _plain(times)
    first, columns = np.nonzero(rivals.values >= 0)
    second = rivals.values[first, columns]
    unordered, which = np.unique(np.sort([first, second], axis=0), axis=1, return_inverse=True)
    swapped = (first > second)[:, None, None]
    a, b = (plain.pick(rows) for rows in unordered)
    ratio, bounds, p_value, num = _ratios(a, b, settings)
    shape = (unordered.shape[1], *plain.restricted.shape[1:-1])
    ratio, bounds = ratio.reshape(shape)[which.ravel()], bounds.reshape(*shape, 2)[which.ravel()]
    ratio = np.where(swapped, 1 / ratio, ratio)
    bounds = np.where(swapped[..., None], 1 / bounds[..., ::-1], bounds)
    own = {name: times[name] for name in ("target", "axis")}
    coords = {**{name: rivals[name] for name in ("contender", "rival")}, **own}

    def spread(values: np.ndarray) -> np.ndarray:
        dense = np.full((*rivals.shape, *values.shape[1:]), np.nan)
        dense[first, columns] = values
        return dense

    result = _labelled(spread(ratio), spread(bounds), coords, "ratio")
    described = {"units": "1", "long_name": "p-value", "estimator": TEST}
    dims = ("contender", "rival", "target", "axis")
    result["p_value"] = (dims, spread(p_value.reshape(shape)[which.ravel()]), described)
    known = num.reshape(shape)[which.ravel()][:, list(times["target"].values).index(settings.target)].max(1)
    described = {"units": "1", "long_name": "pairs of runs with the same seed"}
    result["num_pairs"] = (dims[:2], np.nan_to_num(spread(known)).astype(np.int64), described)
    return result.assign_coords(rival_contender=rivals["rival_contender"])


def ratio_of(restricted: xr.DataArray, rivals: xr.DataArray) -> xr.DataArray:
    """Return the ratio of restricted mean times alone, (contender, rival).

    Args:
        restricted: restricted times, (contender, seed).
        rivals: from `rivals_of`.
    """
    values = restricted.transpose("contender", "seed").values
    own, other = np.broadcast_arrays(values[:, None], values[rivals.values])
    known = np.isfinite(own) & np.isfinite(other) & (rivals.values >= 0)[..., None]
    total, other_total = (np.where(known, part, 0).sum(-1) for part in (own, other))
    ratio = np.divide(total, other_total, out=np.full(rivals.shape, np.nan), where=other_total > 0)
    return xr.DataArray(
        ratio, {name: rivals[name] for name in ("contender", "rival")}, ("contender", "rival")
    )


def holm_within(p_values: xr.DataArray, *families: np.ndarray) -> xr.DataArray:
    """Return Holm's p-values, corrected within each family of contenders against each rival arm.

    Args:
        p_values: (contender, rival).
        families: labels of the contenders; those that agree in all make up a family. An arm's cells on all
            datasets are one: each is a further chance to find a difference.
    """
    adjusted = np.full(p_values.shape, np.nan)
    members: dict[tuple[str, ...], list[int]] = {}
    for index, key in enumerate(zip(*families, strict=True)):
        members.setdefault(key, []).append(index)
    for rows in members.values():
        for column in range(p_values.shape[1]):
            adjusted[rows, column] = holm(p_values.values[rows, column])
    return p_values.copy(data=adjusted).assign_attrs(
        units="1", long_name="p-value after Holm's correction over datasets and cells", estimator=TEST
    )


def _plain(times: xr.Dataset) -> _Times:
    names = ("restricted_time", "event", "resolution")
    return _Times(*(times[name].transpose("contender", *LAST).values for name in names))


def _ratios(
    first: _Times, second: _Times, settings: StatisticsSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return ratio (row,), bounds (row, 2), p-value (row,) and number of pairs (row,)."""
    known = np.isfinite(first.restricted) & np.isfinite(second.restricted)
    ratio, p_value = np.full(len(known), np.nan), np.full(len(known), np.nan)
    bounds = np.full((len(known), 2), np.nan)
    informative = known.any(1) & ((first.event + second.event) * known).any(1)
    candidates = np.flatnonzero(informative)
    for rows, columns in by_known_columns(known[candidates]):
        here = np.ix_(candidates[rows], columns)
        a, b = first.restricted[here], second.restricted[here]
        ratio[here[0].ravel()] = a.mean(1) / b.mean(1)
        num_pairs = len(columns)
        if num_pairs > 1:
            error = (first.resolution[here] / a) ** 2 + (second.resolution[here] / b) ** 2
            p_value[here[0].ravel()] = paired_t_p(np.log(a) - np.log(b), error.sum(1) / 12 / num_pairs**2)
        if num_pairs >= FEWEST:
            rounding = _rounding(first.resolution[here], a) + _rounding(second.resolution[here], b)
            weights = resampling_weights(settings.bootstrap, num_pairs, settings.seed)
            bounds[here[0].ravel()] = np.exp(log_ratio_interval(a, b, weights, settings.alpha, rounding))
    return ratio, bounds, p_value, known.sum(1)


def _rounding(resolution: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the variance of the log mean if each event lies anywhere in its interval: r^2 / 12 each."""
    return (resolution**2).sum(1) / 12 / times.sum(1) ** 2


def _labelled(
    values: np.ndarray, bounds: np.ndarray, coords: dict[str, xr.DataArray], name: str
) -> xr.Dataset:
    """Return an estimate and its bounds as variables."""
    dims = tuple(coords)
    if name == "ratio":
        about = {"units": "1", "long_name": "ratio of restricted mean times", "estimator": RATIO}
    else:
        about = {
            "units": "see the attribute axis_units",
            "long_name": "restricted mean time",
            "estimator": "mean over seeds of min(T, budget)",
        }
    confident = {**about, "long_name": f"{about['long_name']}, bounds", "interval": INTERVAL}
    return xr.Dataset(
        {name: (dims, values, about), f"{name}_bound": ((*dims, "bound"), bounds, confident)},
        coords={**coords, "bound": ("bound", np.array(BOUNDS, object))},
    )
