"""Planning: how many seeds each comparison and each claim needs, and which ratio the present seeds can show."""

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.statistics.estimators.power import (
    EFFECTS,
    POWERS,
    conjunction_detectable,
    conjunction_seeds,
    detectable_log_ratio,
    log_ratio_sd,
    sd_scales,
    seeds_needed,
)
from hornlib.statistics.verdicts import ClaimComparison

__all__ = ["DETECTED", "claim_power", "pair_power", "planned"]

DETECTED = 0.8
"""Power with which the detectable ratio is shown."""

MAX_COMPARISONS = 64
"""The power of a claim is computed from so many of its comparisons, those with the largest deviations."""

BOUNDS = ("low", "high")

TEST = "paired t-test of log costs at the headline target, level alpha / m within Holm's family of m"

DEVIATION = "chi-square interval of the deviation alone, for normal log ratios"

ABOUT = {
    "log_ratio_sd": (
        "standard deviation of the log ratio of costs of a pair of runs",
        "over paired seeds",
        "",
    ),
    "seeds_needed": (
        "seeds needed to show a true ratio of costs",
        f"power of one {TEST}, with the measured deviation",
        DEVIATION,
    ),
    "detectable_ratio": (
        "true ratio of costs that the present seeds would show",
        f"power {DETECTED:g} of one {TEST}, with the measured deviation",
        "",
    ),
    "claim_seeds_needed": (
        "seeds needed to show a claim on one dataset",
        f"power of all of the claim's comparisons together, if the true ratio is the same in each: {TEST}, with the "
        "measured deviations and correlations",
        DEVIATION,
    ),
    "claim_detectable_ratio": (
        "true ratio of costs at which the present seeds would show a claim on one dataset",
        f"power {DETECTED:g} of all of the claim's comparisons together: {TEST}, with the measured deviations",
        "",
    ),
    "claim_num_pairs": ("seeds that all of a claim's comparisons share", "", ""),
}
"""Variable -> long name, estimator, interval."""

COORDS = {
    "effect": ("effect", list(EFFECTS), {"units": "1", "long_name": "true ratio of costs"}),
    "power": ("power", list(POWERS), {"units": "1", "long_name": "chance to show the true ratio"}),
    "bound": ("bound", np.array(BOUNDS, object), {"units": "1", "long_name": "end of the interval"}),
}


def planned(
    compared: xr.Dataset,
    rests: Mapping[tuple[str, str], Sequence[ClaimComparison]],
    settings: StatisticsSettings,
) -> xr.Dataset:
    """Return the variables of `pair_power` and, if there are claims, of `claim_power`.

    Args:
        compared: statistics with comparisons and verdicts.
        rests: (dataset, claim) -> comparisons that the claim rests on.
        settings: target, alpha, min_seeds.
    """
    power = pair_power(compared, settings)
    return power.merge(claim_power(compared, rests, settings)) if "claim" in compared.dims else power


def pair_power(compared: xr.Dataset, settings: StatisticsSettings) -> xr.Dataset:
    """Return the deviation, the seeds needed and the detectable ratio of every comparison.

    Args:
        compared: `log_ratio`, `p_value` and `two_part`, with `arm` and `selected_for` on contender.
        settings: target, alpha, min_seeds.

    Returns:
        On (contender, rival, axis): `log_ratio_sd`, `detectable_ratio`, `seeds_needed` (.., effect, power) and its
        bound. NaN if there are fewer than two pairs, or if some runs diverged: the test is then no paired t-test.
    """
    log_ratio = _tested(compared, settings)
    level = settings.alpha / _family_sizes(compared, settings)
    number = log_ratio.count("seed")
    # As in the test, the error is at least that of rounding costs up to evaluations. Tied runs are not exact.
    runs_sd = log_ratio_sd(log_ratio)
    rounding = compared["log_ratio_error"] * number**0.5
    sd = runs_sd.where(runs_sd.isnull() | (runs_sd >= rounding), rounding)
    detectable = xr.apply_ufunc(np.exp, detectable_log_ratio(sd, number, level, DETECTED))

    def needed(deviation: xr.DataArray) -> xr.DataArray:
        return seeds_needed(deviation, level=level, min_seeds=settings.min_seeds)

    bound = xr.concat(
        [needed(sd * sd_scales(number, settings.alpha).sel(bound=end, drop=True)) for end in BOUNDS], "bound"
    )
    variables = {
        "log_ratio_sd": sd,
        "seeds_needed": needed(sd),
        "seeds_needed_bound": bound.transpose(..., "bound"),
        "detectable_ratio": detectable,
    }
    return _described(xr.Dataset({name: values.drop_attrs() for name, values in variables.items()}))


def claim_power(
    compared: xr.Dataset,
    rests: Mapping[tuple[str, str], Sequence[ClaimComparison]],
    settings: StatisticsSettings,
) -> xr.Dataset:
    """Return the seeds that every claim needs on every dataset, and the ratio that the present seeds can show.

    A claim holds if all of its comparisons hold, each at the level of Holm's first step. The seeds that a claim needs
    on one dataset so do not depend on the results on other datasets.

    Args:
        compared: the variables of `pair_power`, with the dimensions `dataset` and `claim` of the verdicts.
        rests: (dataset, claim) -> comparisons that the claim rests on.
        settings: target, alpha, min_seeds.

    Returns:
        `claim_seeds_needed` (dataset, claim, effect, power) and its bound, `claim_detectable_ratio` and
        `claim_num_pairs` (dataset, claim). NaN if a comparison was not measured.
    """
    log_ratio = _tested(compared, settings).transpose("contender", "rival", "axis", "seed")
    sizes = _family_sizes(compared, settings).transpose("contender", "rival", "axis").values
    labels = {name: log_ratio[name].values.tolist() for name in ("rival", "axis")}
    names = {name: compared[name].values.tolist() for name in ("dataset", "claim")}
    shape = tuple(map(len, names.values()))
    needed = np.full((*shape, len(EFFECTS), len(POWERS)), np.nan)
    bound, detectable, shared = np.full((*needed.shape, 2), np.nan), np.full(shape, np.nan), np.zeros(shape)
    for place in np.ndindex(shape):
        items = rests.get((names["dataset"][place[0]], names["claim"][place[1]]), ())
        if not items or any(
            item.rival not in labels["rival"] or item.axis not in labels["axis"] for item in items
        ):
            continue
        at = tuple(
            np.array(
                [
                    (item.contender, labels["rival"].index(item.rival), labels["axis"].index(item.axis))
                    for item in items
                ]
            ).T
        )
        logs = log_ratio.values[at]
        logs = logs[:, np.isfinite(logs).all(0)]
        shared[place] = logs.shape[1]
        if logs.shape[1] < 2:
            continue
        factor, level = _factor(logs), settings.alpha / float(sizes[at].max())
        low, high = sd_scales(xr.DataArray(logs.shape[1]), settings.alpha).values
        seeds = conjunction_seeds(factor, level, (1.0, low, high), min_seeds=settings.min_seeds)
        needed[place], bound[place] = seeds[0], np.moveaxis(seeds[1:], 0, -1)
        detectable[place] = np.exp(conjunction_detectable(factor, logs.shape[1], level, (DETECTED,))[0])
    dims = ("dataset", "claim", "effect", "power")
    return _described(
        xr.Dataset(
            {
                "claim_seeds_needed": (dims, needed),
                "claim_seeds_needed_bound": ((*dims, "bound"), bound),
                "claim_detectable_ratio": (dims[:2], detectable),
                "claim_num_pairs": (dims[:2], shared),
            },
            {"dataset": compared["dataset"], "claim": compared["claim"]},
        )
    )


def _tested(compared: xr.Dataset, settings: StatisticsSettings) -> xr.DataArray:
    """Return the log ratios that a paired t-test judges, (contender, rival, axis, seed); NaN for all others."""
    in_parts = compared["two_part"].sel(target=settings.target, drop=True) == 1
    log_ratio = compared["log_ratio"].where(~in_parts)
    return log_ratio.drop_vars([name for name in log_ratio.coords if name not in log_ratio.dims])


def _family_sizes(compared: xr.Dataset, settings: StatisticsSettings) -> xr.DataArray:
    """Return the number of tests in the family of each comparison, (contender, rival, axis), at least 1.

    A comparison without runs counts as a test, as in `hornlib.statistics.headline`.
    """
    p_value = compared["p_value"].sel(target=settings.target, drop=True)
    tested = (compared["rival_contender"] != "") & xr.ones_like(p_value, bool)
    tested = tested.drop_vars([name for name in tested.coords if name not in tested.dims])
    pairs = zip(compared["arm"].values.tolist(), compared["selected_for"].values.tolist(), strict=True)
    members: dict[tuple[str, str], list[int]] = {}
    for index, family in enumerate(pairs):
        members.setdefault(family, []).append(index)
    sizes = xr.ones_like(tested, float).transpose("contender", ...)
    for rows in members.values():
        sizes[rows] = np.maximum(tested.isel(contender=rows).sum("contender"), 1)
    return sizes


def _factor(logs: np.ndarray) -> np.ndarray:
    """Return F, (comparison, rank): F F' is the covariance over seeds of the log ratios (comparison, seed)."""
    spread = (logs - logs.mean(1, keepdims=True)) / np.sqrt(logs.shape[1] - 1)
    spread = spread[np.argsort(-np.linalg.norm(spread, axis=1), kind="stable")[:MAX_COMPARISONS]]
    left, sizes, _ = np.linalg.svd(spread, full_matrices=False)
    rank = max(int((sizes > 1e-12 * sizes[0]).sum()), 1)
    return left[:, :rank] * sizes[:rank]


def _described(ds: xr.Dataset) -> xr.Dataset:
    for name in ds.data_vars:
        long_name, estimator, interval = ABOUT[str(name).removesuffix("_bound")]
        if str(name).endswith("_bound"):
            ds[name].attrs = {"units": "1", "long_name": f"{long_name}, bounds", "interval": interval}
        else:
            attributes = {"units": "1", "long_name": long_name, "estimator": estimator}
            ds[name].attrs = {key: words for key, words in attributes.items() if words}
    return ds.assign_coords({name: coord for name, coord in COORDS.items() if name in ds.dims})
