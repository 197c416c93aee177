"""The summary of a sweep: results in, statistics out, from contenders to verdicts and what limits them."""

import json
from collections.abc import Mapping

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.statistics.appendix import Tuning, appendix
from hornlib.statistics.arithmetic_means import restricted_means
from hornlib.statistics.conclusions import conclusions
from hornlib.statistics.contenders import contenders, final_metric, subject_of
from hornlib.statistics.estimators.final import non_inferior
from hornlib.statistics.headline import compare
from hornlib.statistics.limits import limits
from hornlib.statistics.pairs import pairs_of, pairs_on
from hornlib.statistics.planning import planned
from hornlib.statistics.restricted_mean import (
    UNITS,
    axes_of_cost,
    baseline_metric,
    events_on,
    labelled_times,
    references_of,
)
from hornlib.statistics.rivals import rivals_of
from hornlib.statistics.verdicts import verdicts
from hornlib.statistics.wording import answer, sentences

__all__ = ["core", "summarise"]

ABOUT = (
    "cell_name",
    "arm",
    "dataset",
    "presentation",
    "model",
    "selected_for",
    "num_parameters",
    "forward_flops",
)
"""Coordinates of a contender that the statistics keep."""

APART = {"arm": "arm_label", "level": "parameter_level"}
"""Dimensions of the appendix -> what they are called beside a contender's `arm` and the targets' `level`."""


def summarise(
    ds: xr.Dataset,
    settings: StatisticsSettings,
    reference: xr.DataArray | None = None,
    tunings: Mapping[str, Tuning] | None = None,
) -> xr.Dataset:
    """Return the statistics of one sweep. Poor data never raise: what cannot be said stands in `limits`.

    Args:
        ds: from `open_results(path, sweep=...)`.
        settings: whom the claims are about, against whom, how certain.
        reference: A, the final validation metric that sets the levels, by dataset, as it was fixed on tuning
            seeds; None: the median of the baseline's runs here, and `limits` say so.
        tunings: what is known of the tuning of tuned cells, by the cell's name.
    """
    found = contenders(ds, settings.baseline)
    subject = subject_of(found, settings.subject)
    given = reference is not None
    if reference is None:
        reference = baseline_metric(found, settings.baseline)
    reference = reference.reindex(
        dataset=np.array(list(dict.fromkeys(found["dataset"].values.tolist())), object)
    )
    result = core(found, reference, settings)
    judged, rests = verdicts(result, subject, settings)
    result = result.merge(judged)
    result = result.merge(planned(result, rests, settings), compat="no_conflicts")
    result = result.merge(sentences(result, rests, settings))
    beside, told = appendix(found, result, settings, tunings)
    beside = beside.rename({name: new for name, new in APART.items() if name in beside.dims})
    result = result.merge(beside.drop_vars([name for name in result.data_vars if name in beside]))
    # not `dataset`, which is a dimension here
    described = {"units": "1", "long_name": "dataset of the contender"}
    result = result.assign_coords(contender_dataset=("contender", found["dataset"].values, described))
    result.attrs = {
        "sweep": str(ds.attrs.get("sweep", "")),
        "subject": subject,
        "baseline": settings.baseline,
        "target": settings.target,
        "calibration_device": found.attrs["calibration_device"],
        "settings": settings.model_dump_json(),
        "axis_units": json.dumps(UNITS),
        "limits": json.dumps([*limits(found, result, subject, given, settings), *told]),
    }
    return result.assign_attrs(answer=answer(result, settings))


def core(
    ds: xr.Dataset,
    reference: xr.DataArray,
    settings: StatisticsSettings,
    apart: tuple[str, ...] = ("arm", "selected_for"),
    axes: tuple[str, ...] | None = None,
) -> xr.Dataset:
    """Return times, ratios, tests and conclusions: everything that verdicts are made of.

    Args:
        ds: from `contenders`.
        reference: A by dataset.
        settings: targets, baseline, how certain.
        apart: coordinates of contenders by which Holm's correction tells families apart.
        axes: of cost; None: all that the results have.
    """
    axes = axes_of_cost(ds) if axes is None else axes
    references = references_of(ds, reference, settings.baseline)
    events = events_on(ds, references, settings, axes)
    times = labelled_times(ds, references, events, settings, axes)
    rivals = rivals_of(ds)
    families = np.array(
        ["\0".join(key) for key in zip(*(ds[name].values for name in apart), strict=True)], object
    )
    pairs = pairs_on(ds, references, events, pairs_of(rivals), settings, axes)
    compared = compare(pairs, rivals, families, axes, settings).assign_coords(seed=ds["seed"])
    result = times.merge(compared).merge(restricted_means(times, settings))
    result = result.assign_coords({name: ("contender", ds[name].values, ds[name].attrs) for name in ABOUT})
    result["conclusion"] = conclusions(result, settings)
    result["num_diverged"] = _described((ds["status"] == "diverged").sum("seed"), "runs that diverged")
    end = non_inferior(_gain(ds, rivals), settings.margin, settings.alpha, settings.min_seeds)
    result["non_inferior"] = _described(end, "whether the final test metric is at most the margin worse")
    return result


def _gain(ds: xr.Dataset, rivals: xr.DataArray) -> xr.DataArray:
    """Return by how much each run's final test metric is better than its rival's; diverged runs have chance."""
    better = xr.where(ds["direction"] == "maximise", 1.0, -1.0)
    final = (final_metric(ds) * better).transpose("contender", "seed")
    gain = np.where(
        (rivals.values >= 0)[..., None], final.values[:, None] - final.values[rivals.values], np.nan
    )
    coords = {name: rivals[name] for name in ("contender", "rival")}
    return xr.DataArray(gain, coords, ("contender", "rival", "seed"))


def _described(values: xr.DataArray, long_name: str) -> xr.DataArray:
    return values.drop_attrs(deep=False).assign_attrs(units="1", long_name=long_name)
