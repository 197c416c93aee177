"""The summary of a sweep: from its results to its statistics, through every step of the flow."""

import json
from collections.abc import Mapping

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.statistics.appendix import Tuning, appendix
from hornlib.statistics.arithmetic_means import restricted_means
from hornlib.statistics.axes import COST_AXES, axes_of_cost
from hornlib.statistics.conclusions import conclusions
from hornlib.statistics.contenders import contenders, final_metric, subject_of
from hornlib.statistics.estimators.final import non_inferior
from hornlib.statistics.headline import compare
from hornlib.statistics.limits import limits
from hornlib.statistics.pairs import pairs_of, pairs_on
from hornlib.statistics.planning import planned
from hornlib.statistics.restricted_mean import baseline_metric, events_on, references_of, restricted_times
from hornlib.statistics.rivals import rivals_of
from hornlib.statistics.verdicts import verdicts
from hornlib.statistics.wording import answer, sentences

__all__ = ["core", "reference_of", "summarise"]

ABOUT = (
    "cell_name",
    "label",
    "short_label",
    "arm",
    "dataset",
    "presentation",
    "model",
    "selected_for",
    "num_parameters",
    "forward_flops",
)
"""Coordinates of a contender that statistics.nc has."""

RENAMED = {"arm": "arm_label", "level": "parameter_level"}
"""Dimension of the appendix -> its name in statistics.nc, where `arm` and `level` are variables of the core."""


def summarise(
    ds: xr.Dataset,
    settings: StatisticsSettings,
    reference: xr.DataArray | None = None,
    tunings: Mapping[str, Tuning] | None = None,
) -> xr.Dataset:
    """Return the statistics of one sweep.

    Poor data raise no error. Everything that cannot be concluded is a sentence of the attribute `limits`.

    Args:
        ds: from `open_results(path, sweep=...)`.
        settings: claims, targets, alpha.
        reference: A, (dataset,), the baseline's final validation metric on tuning seeds, which sets the levels of the
            targets. For datasets without it, and for None, the median of the baseline's runs in `ds`; a limit says so.
        tunings: name of a tuned cell -> its tuning.

    Returns:
        The group of statistics.nc. Its main dimensions are (contender, rival, target, axis, seed, dataset, claim).
    """
    cells = contenders(ds, settings.baseline)
    subject = subject_of(cells, settings.subject)
    fixed = [] if reference is None else reference["dataset"].values.tolist()
    reference = reference_of(cells, settings.baseline, reference)
    result = core(cells, reference, settings)
    judged, rests = verdicts(result, subject, settings)
    result = result.merge(judged)
    result = result.merge(planned(result, rests, settings), compat="no_conflicts")
    result = result.merge(sentences(result, rests, settings))
    secondary, more_limits = appendix(cells, result, settings, tunings)
    secondary = secondary.rename({name: new for name, new in RENAMED.items() if name in secondary.dims})
    result = result.merge(secondary.drop_vars([name for name in result.data_vars if name in secondary]))
    # not `dataset`, which is a dimension of statistics.nc
    described = {"units": "1", "long_name": "dataset of the contender"}
    result = result.assign_coords(contender_dataset=("contender", cells["dataset"].values, described))
    result.attrs = {
        "sweep": str(ds.attrs.get("sweep", "")),
        "subject": subject,
        "baseline": settings.baseline,
        "target": settings.target,
        "calibration_device": cells.attrs["calibration_device"],
        "settings": settings.model_dump_json(),
        "axis_units": json.dumps({axis: about.units for axis, about in COST_AXES.items()}),
        "limits": json.dumps([*limits(cells, result, subject, fixed, settings), *more_limits]),
    }
    return result.assign_attrs(answer=answer(result, settings))


def reference_of(ds: xr.Dataset, baseline: str, reference: xr.DataArray | None = None) -> xr.DataArray:
    """Return A for every dataset of a sweep, (dataset,), in the order of the sweep.

    Args:
        ds: from `contenders`.
        baseline: label of the baseline's arm.
        reference: A of some datasets; the others, and all for None, have the median of the baseline's runs in `ds`.
    """
    datasets = np.array(list(dict.fromkeys(ds["dataset"].values.tolist())), object)
    compared = baseline_metric(ds, baseline).reindex(dataset=datasets)
    if reference is None:
        return compared
    is_fixed = xr.DataArray(np.isin(datasets, reference["dataset"].values), {"dataset": datasets}, "dataset")
    return xr.where(is_fixed, reference.reindex(dataset=datasets), compared, keep_attrs=True)


def core(
    ds: xr.Dataset,
    reference: xr.DataArray,
    settings: StatisticsSettings,
    family: tuple[str, ...] = ("arm", "selected_for"),
    axes: tuple[str, ...] | None = None,
) -> xr.Dataset:
    """Return times, ratios, tests and conclusions, which the verdicts rest on.

    Args:
        ds: from `contenders`.
        reference: A, (dataset,).
        settings: targets, baseline, alpha.
        family: contenders that share these coordinates are one family of Holm's correction.
        axes: of cost; None: all axes of the results.

    Returns:
        The variables of `restricted_times`, `compare` and `restricted_means`, and `conclusion` (contender, rival,
        axis), `num_diverged` (contender) and `non_inferior` (contender, rival).
    """
    axes = axes_of_cost(ds) if axes is None else axes
    references = references_of(ds, reference, settings.baseline)
    events = events_on(ds, references, settings, axes)
    times = restricted_times(ds, references, events, settings, axes)
    rivals = rivals_of(ds)
    families = np.array(
        ["\0".join(key) for key in zip(*(ds[name].values for name in family), strict=True)], object
    )
    pairs = pairs_on(ds, references, events, pairs_of(rivals), settings, axes)
    compared = compare(pairs, rivals, families, axes, settings).assign_coords(seed=ds["seed"])
    result = times.merge(compared).merge(restricted_means(times, settings))
    result = result.assign_coords(
        {name: ("contender", ds[name].values, ds[name].attrs) for name in ABOUT if name in ds.coords}
    )
    result["conclusion"] = conclusions(result, settings)
    result["num_diverged"] = _described((ds["status"] == "diverged").sum("seed"), "runs that diverged")
    end = non_inferior(_gain(ds, rivals), settings.margin, settings.alpha, settings.min_seeds)
    result["non_inferior"] = _described(end, "whether the final test metric is worse by at most the margin")
    return result


def _gain(ds: xr.Dataset, rivals: xr.DataArray) -> xr.DataArray:
    """Return how much better each run's final test metric is than its rival's, (contender, rival, seed)."""
    better = xr.where(ds["direction"] == "maximise", 1.0, -1.0)
    final = (final_metric(ds) * better).transpose("contender", "seed")
    gain = np.where(
        (rivals.values >= 0)[..., None], final.values[:, None] - final.values[rivals.values], np.nan
    )
    coords = {name: rivals[name] for name in ("contender", "rival")}
    return xr.DataArray(gain, coords, ("contender", "rival", "seed"))


def _described(values: xr.DataArray, long_name: str) -> xr.DataArray:
    return values.drop_attrs(deep=False).assign_attrs(units="1", long_name=long_name)
