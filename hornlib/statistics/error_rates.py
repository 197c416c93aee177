"""Error rates in planted worlds: wrong words, right words found, and intervals that hold the truth."""

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.statistics.worlds import BASELINE, SUBJECT, WORLD_SETTINGS, World, judge, simulate

__all__ = ["WORDS", "broken", "coverage", "most_allowed", "power", "true_pair", "wrong"]

WORDS = ("yes", "no")

REFUTED = ("no", "mixed")
"""Verdicts by which a claim is refuted."""

TOLERANCE = 3
"""Standard errors of the simulation by which a share may miss its bound."""

TRUTH_SEED, TRUTH_SWEEPS, TRUTH_RUNS = 1_000_000, 20, 1000
"""The large simulation of `true_pair`: 20,000 pairs of runs a dataset, none of which is in another simulation."""


def wrong(judged: xr.Dataset, world: World, claim: str, word: str) -> float:
    """Return the share of sweeps in which some dataset gets this word, `yes` or `no`, although it is wrong there.

    A verdict `mixed` counts as `no`: it refutes the claim, too. NaN where the word is right on every dataset.
    """
    false = np.array([right != word for right in world.right(claim)])
    return float((_given(judged, claim, word) & false).any(1).mean()) if false.any() else np.nan


def most_allowed(world: World, claim: str, word: str, alpha: float) -> float:
    """Return the largest share of sweeps that may get a wrong word."""
    return world.most.get((claim, word), alpha)


def power(judged: xr.Dataset, world: World, claim: str) -> float:
    """Return the share of datasets with a right word that get it; NaN where neither word is right on any."""
    right = world.right(claim)
    shares = [_given(judged, claim, word)[:, place].mean() for place, word in enumerate(right) if word]
    return float(np.mean(shares)) if shares else np.nan


def broken(judged: xr.Dataset, world: World, alpha: float = WORLD_SETTINGS.alpha) -> list[str]:
    """Return every bound of a world that is missed by more than the error of the simulation allows, in words."""
    number, told = judged.sizes["sweep"], []
    for claim in judged["claim"].values.tolist():
        for word in WORDS:
            share, most = wrong(judged, world, claim, word), most_allowed(world, claim, word, alpha)
            if share > most + _allowance(most, number):
                told.append(
                    f"{claim}: a wrong {word} in {100 * share:.1f} % of sweeps, at most {100 * most:.0f} % allowed"
                )
        share, least = power(judged, world, claim), world.power.get(claim, 0.0)
        if share < least - _allowance(least, number):
            told.append(
                f"{claim}: the right word in {100 * share:.1f} % of datasets, at least {100 * least:.0f} % wanted"
            )
    return told


def true_pair(world: World, settings: StatisticsSettings = WORLD_SETTINGS) -> xr.Dataset:
    """Return what is true of subject over baseline in samples, by a large simulation under the same budget rule.

    No other arm is simulated: none of them has an influence on the pair.

    Returns:
        On (dataset): `ratio`, `ratio_if_arrived` and `arrival_difference`.
    """
    large = simulate(world._replace(num_seeds=TRUTH_RUNS), TRUTH_SWEEPS, TRUTH_SEED)
    judged = judge(large.isel(cell=np.flatnonzero(large["arm"].isin([SUBJECT, BASELINE]))), settings)
    ratios = {name: np.exp(np.log(judged[name].values).mean(0)) for name in ("ratio", "ratio_if_arrived")}
    truth = {**ratios, "arrival_difference": judged["arrival_difference"].values.mean(0)}
    return xr.Dataset({name: ("dataset", values) for name, values in truth.items()})


def coverage(judged: xr.Dataset, truth: xr.Dataset) -> dict[str, tuple[float, int]]:
    """Return how often the intervals of subject over baseline hold the truth on every dataset of a sweep.

    Returns:
        Statement -> (share that holds, number of sweeps that make the statement).
        `interval`: of the ratio; no arm has both diverged runs and others.
        `interval of arrivals`: the same interval, against the true ratio of runs that arrive.
        `two parts`: what stands for the interval elsewhere, the difference of the shares that arrived and, where it
        has an interval, the ratio of the runs that did.
    """

    def holds(name: str, true: str) -> xr.DataArray:
        bound = judged[f"{name}_bound"]
        low, high = bound.isel(bound=0), bound.isel(bound=1)
        return ((low <= truth[true]) & (truth[true] <= high)).where(low.notnull())

    parts = holds("arrival_difference", "arrival_difference")
    parts = parts * holds("ratio_if_arrived", "ratio_if_arrived").fillna(1.0)
    statements = {
        "interval": holds("ratio", "ratio"),
        "interval of arrivals": holds("ratio", "ratio_if_arrived"),
        "two parts": parts.where(judged["two_part"] == 1),
    }
    by_sweep = {name: held.min("dataset") for name, held in statements.items()}
    return {name: (float(held.mean()), int(held.count())) for name, held in by_sweep.items()}


def _given(judged: xr.Dataset, claim: str, word: str) -> np.ndarray:
    """Return whether a dataset gets this word, `yes` or `no`, (sweep, dataset)."""
    verdict = judged["verdict"].sel(claim=claim)
    return verdict.isin(REFUTED if word == "no" else [word]).transpose("sweep", "dataset").values


def _allowance(share: float, number: int) -> float:
    return TOLERANCE * float(np.sqrt(share * (1 - share) / number))
