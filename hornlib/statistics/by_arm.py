"""Arms over all datasets at once: interquartile mean of final metrics, performance profiles, AlgoPerf's score."""

import numpy as np
import xarray as xr

from hornlib.statistics.aggregate import interquartile_mean, normalised
from hornlib.statistics.profiles import LARGEST_RATIO, algoperf_score, performance_profile, time_ratios
from hornlib.statistics.restricted_mean import baseline_metric
from hornlib.statistics.settings import StatisticsSettings

__all__ = ["by_arm"]

RATIO_GRID = np.linspace(1, LARGEST_RATIO, 61)


def by_arm(
    ds: xr.Dataset, final: xr.DataArray, times: xr.Dataset, settings: StatisticsSettings
) -> tuple[xr.Dataset, list[str]]:
    """Return what is said of an arm over all datasets, and in sentences what cannot be said.

    An arm with several cells on a dataset takes no part: to choose one of them would be to tune it.

    Args:
        ds: from `contenders`.
        final: final test metric of each run, (contender, seed), diverged ones as chance.
        times: from `restricted_times`.
        settings: baseline, target, draws.

    Returns:
        On (arm, selection), `selection` being what the cells were selected for: `interquartile_mean`,
        `interquartile_mean_bound`, `performance_profile` (.., ratio_grid) and `algoperf_score`.
    """
    places, told = _places(ds)
    chance = ds["chance_level"].reset_coords(drop=True)
    reference = baseline_metric(ds.assign(final_validation_metric=final), settings.baseline)
    own_reference = reference.sel(dataset=ds["dataset"].reset_coords(drop=True)).drop_vars("dataset")
    scores = _placed(normalised(final, chance, own_reference), places)
    middle = interquartile_mean(scores, settings.seed, settings.alpha, settings.bootstrap)
    headline = times.sel(target=settings.target, axis="samples", drop=True)
    known = headline["restricted_time"].notnull()
    usual = headline["time"].where(headline["event"] == 1, np.inf).where(known).median("seed")
    ratio = time_ratios(_placed(usual, places))
    compared = int(ratio.notnull().any(["arm", "selection"]).sum())
    if compared < places.sizes["dataset"]:
        number = places.sizes["dataset"]
        told.append(
            f"Performance profiles cover {compared} of {number} datasets: on the others some arm has not one cell."
        )
    found = xr.Dataset(
        {
            "interquartile_mean": middle["estimate"],
            "interquartile_mean_bound": middle["interval"],
            "performance_profile": performance_profile(ratio, RATIO_GRID.tolist()),
            "algoperf_score": algoperf_score(ratio),
        }
    )
    return found, told


def _places(ds: xr.Dataset) -> tuple[xr.DataArray, list[str]]:
    """Return the position of each arm's only cell on (arm, selection, dataset); -1 where it has none, or several."""
    labels = {
        name: list(dict.fromkeys(ds[name].values.tolist())) for name in ("arm", "selected_for", "dataset")
    }
    places = np.full(tuple(map(len, labels.values())), -1)
    several = set()
    keys = zip(*(ds[name].values.tolist() for name in labels), strict=True)
    for index, key in enumerate(keys):
        place = tuple(own.index(value) for own, value in zip(labels.values(), key, strict=True))
        if places[place] != -1:
            several.add(place)
        places[place] = index
    for place in several:
        places[place] = -1
    arms = sorted({labels["arm"][place[0]] for place in several})
    told = (
        [f"{', '.join(arms)}: several cells on a dataset, and so in no aggregate over datasets."]
        if arms
        else []
    )
    coords = dict(
        zip(("arm", "selection", "dataset"), (np.array(own, object) for own in labels.values()), strict=True)
    )
    return xr.DataArray(places, coords, tuple(coords)), told


def _placed(values: xr.DataArray, places: xr.DataArray) -> xr.DataArray:
    """Return values on (arm, selection, dataset) in place of `contender`."""
    own = values.reset_coords(drop=True).drop_vars("contender")
    return own.isel(contender=places.clip(min=0)).where(places >= 0)
