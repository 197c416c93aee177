"""Error rates in planted worlds: how often a verdict is wrong, how often it is right, and coverage of intervals."""

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from planted.worlds import BASELINE, SUBJECT, WORLD_SETTINGS, World, judge, simulate

__all__ = ["WORDS", "broken", "coverage", "most_allowed", "power", "true_pair", "wrong"]

WORDS = ("yes", "no")

REFUTED = ("no", "mixed")
"""Verdicts that refute a claim."""

TOLERANCE = 3
"""A share may miss its bound by so many standard errors of the simulation."""

TRUTH_SEED, TRUTH_SWEEPS, TRUTH_RUNS = 1_000_000, 20, 1000
"""The large simulation of `true_pair` has 20,000 pairs of runs on each dataset. Its seed is used nowhere else."""


def wrong(judged: xr.Dataset, world: World, claim: str, word: str) -> float:
    """Return the share of sweeps in which some dataset gets a word that is wrong there.

    The verdict `mixed` counts as `no`, because it refutes the claim, too.

    Args:
        judged: from `judge`.
        world: the truth.
        claim: name of the claim.
        word: `yes` or `no`.

    Returns:
        NaN if the word is right on every dataset.
    """
    false = np.array([right != word for right in world.right(claim)])
    return float((_given(judged, claim, word) & false).any(1).mean()) if false.any() else np.nan


def most_allowed(world: World, claim: str, word: str, alpha: float) -> float:
    """Return the largest share of sweeps that may get a wrong word: `world.most` if it names one, else alpha."""
    return world.most.get((claim, word), alpha)


def power(judged: xr.Dataset, world: World, claim: str) -> float:
    """Return the share of datasets that get the right word; NaN if no dataset has a right word."""
    right = world.right(claim)
    shares = [_given(judged, claim, word)[:, place].mean() for place, word in enumerate(right) if word]
    return float(np.mean(shares)) if shares else np.nan


def broken(judged: xr.Dataset, world: World, alpha: float = WORLD_SETTINGS.alpha) -> list[str]:
    """Return a sentence for every bound that is missed by more than `TOLERANCE` standard errors."""
    number, sentences = judged.sizes["sweep"], []
    for claim in judged["claim"].values.tolist():
        for word in WORDS:
            share, most = wrong(judged, world, claim, word), most_allowed(world, claim, word, alpha)
            if share > most + _allowance(most, number):
                sentences.append(
                    f"{claim}: a wrong {word} in {100 * share:.1f} % of sweeps, at most {100 * most:.0f} % allowed"
                )
        share, least = power(judged, world, claim), world.power.get(claim, 0.0)
        if share < least - _allowance(least, number):
            sentences.append(
                f"{claim}: the right word in {100 * share:.1f} % of datasets, at least {100 * least:.0f} % wanted"
            )
    return sentences


def true_pair(world: World, settings: StatisticsSettings = WORLD_SETTINGS) -> xr.Dataset:
    """Return the true ratio of samples of the subject over the baseline, from a large simulation.

    The budget of a pair follows the same rule as in real sweeps. Other arms have no influence on a pair, so that they
    are not simulated.

    Args:
        world: the truth.
        settings: target.

    Returns:
        On (dataset): `ratio`, `ratio_if_arrived` and `arrival_difference`.
    """
    large = simulate(world._replace(num_seeds=TRUTH_RUNS), TRUTH_SWEEPS, TRUTH_SEED)
    judged = judge(large.isel(cell=np.flatnonzero(large["arm"].isin([SUBJECT, BASELINE]))), settings)
    ratios = {name: np.exp(np.log(judged[name].values).mean(0)) for name in ("ratio", "ratio_if_arrived")}
    truth = {**ratios, "arrival_difference": judged["arrival_difference"].values.mean(0)}
    return xr.Dataset({name: ("dataset", values) for name, values in truth.items()})


def coverage(judged: xr.Dataset, truth: xr.Dataset) -> dict[str, tuple[float, int]]:
    """Return how often the intervals of the subject over the baseline contain the truth on every dataset of a sweep.

    Args:
        judged: from `judge`.
        truth: from `true_pair`.

    Returns:
        Statement -> (share of sweeps in which it is true, number of sweeps that make it).
        `interval`: the interval of the ratio contains the true ratio. Sweeps in which some, but not all, runs of an
        arm diverged have no such interval.
        `interval of arrivals`: the same interval contains the true ratio of the runs that arrive.
        `two parts`: the statement of the other sweeps. The interval of the difference of shares contains the true
        difference and, if there is an interval of the ratio of runs that arrived, it contains that ratio.
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
    """Return whether each dataset gets this word, `yes` or `no`, (sweep, dataset)."""
    verdict = judged["verdict"].sel(claim=claim)
    return verdict.isin(REFUTED if word == "no" else [word]).transpose("sweep", "dataset").values


def _allowance(share: float, number: int) -> float:
    return TOLERANCE * float(np.sqrt(share * (1 - share) / number))
