"""Conclusions: what each comparison of a contender with a rival shows, in one word."""

import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings

__all__ = ["conclusions"]


def conclusions(compared: xr.Dataset, settings: StatisticsSettings) -> xr.DataArray:
    """Return the conclusion of each comparison at the headline target, (contender, rival, axis) words.

    `not measured`: there is no pair of runs, no level to reach, or no common measure of the cost.
    `not enough data`: there are fewer than `min_seeds` pairs of runs.
    `too few arrivals`: fewer than `min_seeds` runs of both arms together reached the target within the budget.
    `yes`: the contender is cheaper; `no`: the rival is cheaper. The test rejects at alpha after Holm's correction.
    `not distinguished`: none of these. It does not mean that the two arms are equal.

    Args:
        compared: from `hornlib.statistics.headline.compare`.
        settings: target, alpha, min_seeds.
    """
    at = compared.sel(target=settings.target, drop=True)
    arrivals = at["arrived"] + at["rival_arrived"]
    rejected = at["p_holm"] <= settings.alpha
    word = xr.where(
        rejected & (at["favours"] > 0),
        "yes",
        xr.where(rejected & (at["favours"] < 0), "no", "not distinguished"),
    )
    word = xr.where(arrivals >= settings.min_seeds, word, "too few arrivals")
    word = xr.where(compared["num_pairs"] < settings.min_seeds, "not enough data", word)
    word = xr.where(arrivals.notnull(), word, "not measured").transpose("contender", "rival", "axis")
    described = {
        "units": "1",
        "long_name": "whether the contender reaches the target at less cost than the rival",
    }
    return word.astype(object).assign_attrs(described)
