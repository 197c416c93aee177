"""What was compared: arms, data, training and target in words, and one row of numbers for each arm."""

import datetime
import inspect
from collections.abc import Container, Mapping

import numpy as np
import xarray as xr

from hornlib.data import DATASETS
from hornlib.models import MODELS
from hornlib.parameters.statistics import StatisticsSettings
from hornlib.report.blocks import Block, Facts, Heading
from hornlib.report.comparisons import comparison, headline
from hornlib.report.evidence import ReportEvidence, SweepEvidence
from hornlib.report.series import datasets, drawn
from hornlib.report.tables import Estimate, Number, Row, table
from hornlib.report.wording import counted_range, number, percentage, slug
from hornlib.results.opening import axes_of
from hornlib.statistics.contenders import selection_words
from hornlib.statistics.phrases import short_labels
from hornlib.structures import STRUCTURES

__all__ = ["arm_table", "compared", "origin"]

MOST_VALUES = 6
"""Values of a parameter that are listed one by one; of more, the smallest and the largest are named."""

MOST_PARAMETERS = 4
"""Parameters that are named to tell arms of the same model apart."""

TRAINING = {
    "epochs": "epochs",
    "steps": "steps",
    "batch_size": "batch size",
    "optimizer": "optimiser",
    "learning_rate": "learning rate",
    "schedule": "schedule",
}
"""Coordinate of results.nc -> its name in the sentence on training."""

EVOLUTION = {
    "steps": "generations",
    "num_individuals": "individuals",
    "batch_size": "examples of a generation",
}
"""The same for models that are evolved."""

RATIO_AXES = {
    "samples": "ratio of examples",
    "training_flops": "ratio of FLOPs",
    "seconds": "ratio of seconds",
}
"""Axis of cost -> heading of its column."""


def origin(evidence: ReportEvidence) -> str:
    """Return sentences on the sweeps, the configuration, the date and the host."""
    names = ", ".join(sweep.name for sweep in evidence.sweeps) or "none"
    words = "Sweep" if len(evidence.sweeps) == 1 else "Sweeps"
    files = ", ".join(str(path) for path in evidence.configuration)
    sentences = [f"{words}: {names}" + (f", configured in {files}." if files else ".")]
    if evidence.source == "partial.nc":
        sentences.append("The sweep is not finished. The page shows the runs that exist.")
    if finished := str(evidence.last_run.get("finished", "")):
        host, device = (str(evidence.last_run.get(name, "unknown")) for name in ("host", "device"))
        sentences.append(f"The last run finished on {_date(finished)} on the host {host} ({device}).")
    return " ".join(sentences)


def _date(moment: str) -> str:
    try:
        when = datetime.datetime.fromisoformat(moment)
    except ValueError:
        return moment
    return f"{when.day} {when:%B %Y}"


def compared(sweep: SweepEvidence) -> list[Block]:
    """Return what the sweep compares, in words: its arms, data, training and target."""
    if sweep.results is None:
        return []
    ds = sweep.results
    facts: list[tuple[str, str]] = []
    first_arms: dict[str, str] = {}
    for arm in dict.fromkeys(ds["arm"].values.astype(str).tolist()):
        model = str(ds["model"].values[ds["arm"].values == arm][0])
        first = first_arms.setdefault(model, arm)
        facts.append(
            (arm, _arm_words(ds, arm, _model_words(model) if first == arm else f"The model of {first}."))
        )
    facts += [("Data", _data_words(ds)), ("Training", _training_words(ds))]
    if target := _target_words(sweep):
        facts.append(("Target", target))
    return [Facts([(term, meaning) for term, meaning in facts if meaning])]


def _arm_words(ds: xr.Dataset, arm: str, model_words: str) -> str:
    """Return the model of an arm, what distinguishes the arm from others of that model, and what varies within it."""
    cells = ds.isel(cell=np.flatnonzero(ds["arm"].values == arm))
    model = str(cells["model"].values[0])
    relatives = ds.isel(cell=np.flatnonzero(ds["model"].values == model))
    axes = axes_of(cells, model) if cells.sizes["cell"] > 1 else []
    varying = [
        ", ".join(dict.fromkeys(selection_words(word) or "not tuned" for word in cells[axis].values.tolist()))
        if axis == "selected_for"
        else f"{_plain(axis)} {_values(cells[axis].values)}"
        for axis in axes
    ]
    distinguishing = [
        f"{_plain(name)} {_values(cells[name].values)}"
        for name in _distinguishing(cells, relatives, MODELS[model].model_fields if model in MODELS else ())
    ]
    words = [model_words]
    if distinguishing:
        words.append(f"Here {', '.join(distinguishing[:MOST_PARAMETERS])}.")
    if structure := _structure_words(ds, cells):
        words.append(structure)
    if varying:
        words.append(f"{cells.sizes['cell']} cells: {'; '.join(varying)}.")
    return " ".join(words)


def _structure_words(ds: xr.Dataset, cells: xr.Dataset) -> str:
    """Return the structure of an arm, and what tells it from others of that structure; "" for static networks.

    Args:
        ds: the sweep.
        cells: those of the arm.
    """
    name = str(cells["structure"].values[0]) if "structure" in cells.coords else "static"
    if name not in STRUCTURES or not STRUCTURES[name].code:
        return ""
    relatives = ds.isel(cell=np.flatnonzero(ds["structure"].values == name))
    first = [field for field in ("rule", "density") if field in cells.coords]
    fields = dict.fromkeys([*first, *_distinguishing(cells, relatives, STRUCTURES[name].model_fields)])
    values = {field: _values(cells[field].values) for field in fields}
    words = [f"{_plain(field)} {value}" for field, value in values.items() if value not in ("", "none")]
    return f"Structure {_plain(name)}{': ' if words else ''}{', '.join(words[:MOST_PARAMETERS])}."


def _distinguishing(cells: xr.Dataset, relatives: xr.Dataset, fields: Container[str]) -> list[str]:
    """Return the parameters that are constant in an arm and differ in others; text before numbers.

    Args:
        cells: those of the arm.
        relatives: the cells that they are told from.
        fields: names of the parameters.
    """
    names = [
        str(name)
        for name, values in relatives.coords.items()
        if values.dims == ("cell",)
        and str(name) in fields
        and len(np.unique(values.values)) > 1
        and len(np.unique(cells[name].values)) == 1
    ]
    return sorted(names, key=lambda name: relatives[name].dtype.kind in "fi")


def _model_words(model: str) -> str:
    """Return the first sentence of the documentation of a model."""
    parameters = MODELS.get(model)
    if parameters is None:
        return f"The model {model}."
    sentence = " ".join((inspect.getdoc(parameters) or "").split("\n\n")[0].split())
    return sentence or f"The model {model}."


def _plain(name: str) -> str:
    return name.replace("_", " ")


def _values(values: np.ndarray) -> str:
    """Return the distinct values of a parameter as words."""
    distinct = list(dict.fromkeys(values.tolist()))
    words = [
        value if isinstance(value, str) else "none" if value != value else f"{value:,g}" for value in distinct
    ]
    if len(words) <= MOST_VALUES:
        return ", ".join(words)
    if isinstance(distinct[0], str):
        return f"{len(words)} values"
    return f"{np.nanmin(values):,g} to {np.nanmax(values):,g}"


def _data_words(ds: xr.Dataset) -> str:
    """Return each dataset with its description, and how the examples reach the networks."""
    sentences = []
    for name in dict.fromkeys(ds["dataset"].values.astype(str).tolist()):
        declaration = DATASETS.get(name)
        sentences.append(f"{name}: {declaration.description.rstrip('.')}." if declaration else f"{name}.")
    if "presentation" in ds.coords:
        arms: dict[str, dict[str, None]] = {}
        for presentation, arm in zip(ds["presentation"].values.astype(str), ds["arm"].values, strict=True):
            arms.setdefault(presentation, {})[str(arm)] = None
        if len(arms) == 1:
            sentences.append(f"Examples are presented as {_plain(next(iter(arms)))}.")
        else:
            parts = [f"as {_plain(name)} to {', '.join(labels)}" for name, labels in arms.items()]
            sentences.append(f"Examples are presented {'; '.join(parts)}.")
    return " ".join(sentences)


def _training_words(ds: xr.Dataset) -> str:
    """Return how the arms are trained; evolution has generations, and neither an optimiser nor a learning rate."""
    models = ds["model"].values.astype(str)
    evolved = np.array([model in MODELS and MODELS[model].trainer == "evolution" for model in models], bool)
    words = _named_values(ds.isel(cell=np.flatnonzero(~evolved)), TRAINING)
    if evolved.any():
        cells = ds.isel(cell=np.flatnonzero(evolved))
        arms = ", ".join(dict.fromkeys(cells["arm"].values.astype(str).tolist()))
        values = "".join(f", {value}" for value in _named_values(cells, EVOLUTION))
        words.append(f"{arms}: evolution without gradients{values}")
    return f"{', '.join(words)}; {ds.sizes['seed']} seeds." if words else f"{ds.sizes['seed']} seeds."


def _named_values(cells: xr.Dataset, names: Mapping[str, str]) -> list[str]:
    """Return the values of some parameters with their names; of epochs and steps the value stands first.

    Args:
        cells: a part of a sweep; without cells there are no words.
        names: coordinate -> its name.
    """
    if not cells.sizes["cell"]:
        return []
    columns = {name: cells[name].values for name in names if name in cells.coords}
    if "steps" in columns:
        has_steps = np.isfinite(columns["steps"].astype(float))
        columns["steps"] = columns["steps"][has_steps]
        if "epochs" in columns:
            columns["epochs"] = columns["epochs"][
                ~has_steps
            ]  # given steps are trained whatever the epochs say
    values = {name: _values(column) for name, column in columns.items() if len(column)}
    return [
        f"{value} {names[name]}" if name in ("epochs", "steps") else f"{names[name]} {value}"
        for name, value in values.items()
        if value != "none"
    ]


def _target_words(sweep: SweepEvidence) -> str:
    """Return the level of the target on every dataset, as a value of the metric."""
    if sweep.statistics is None or "level" not in sweep.statistics or sweep.results is None:
        return ""
    ds, results = headline(sweep.statistics, sweep.settings), sweep.results
    baseline = str(ds.attrs.get("baseline", "")) or "the baseline"
    parts = []
    for dataset in datasets(ds):
        level = float(ds["level"].sel(dataset=dataset))
        if not np.isfinite(level):
            continue
        places = np.flatnonzero(results["dataset"].values.astype(str) == dataset.split(",")[0].split(" ")[0])
        place = int(places[0]) if len(places) else 0
        metric = str(results["metric"].values[place])
        chance = float(results["chance_level"].values[place])
        where = f" on {dataset}" if ds.sizes["dataset"] > 1 else ""
        parts.append(
            f"a validation {_plain(metric)} of {_metric(level, metric)}{where} (chance: {_metric(chance, metric)})"
        )
    if not parts:
        return ""
    return (
        f"A run arrives when it reaches {'; '.join(parts)}. This is {100 * sweep.settings.target:g} % of what "
        f"{baseline} gains over chance in its whole training."
    )


def _metric_name(sweep: SweepEvidence) -> str:
    """Return the metric of a sweep's datasets, "metric" where they have several."""
    names = set() if sweep.results is None else {str(name) for name in sweep.results["metric"].values}
    return _plain(*names) if len(names) == 1 else "metric"


def _metric(value: float, metric: str) -> str:
    return percentage(value) if metric == "accuracy" else number(value)


def _name(ds: xr.Dataset, index: int) -> str:
    """Return a contender's label without the dataset, with its objective where contenders have several."""
    label = short_labels(ds)[str(ds["contender"].values[index])]
    objectives = ds["selected_for"].values.astype(str)
    if len(set(objectives)) == 1:
        return label
    return f"{label}, {selection_words(objectives[index]) or 'not tuned'}"


def arm_table(sweep: SweepEvidence) -> list[Block]:
    """Return the summary: one row for each arm and dataset, its fastest cell, with ratios of cost to a rival."""
    if sweep.statistics is None or not sweep.statistics.sizes.get("contender"):
        return []
    ds, settings = headline(sweep.statistics, sweep.settings), sweep.settings
    axes = [axis for axis in RATIO_AXES if axis in ds["axis"].values] if "axis" in ds.dims else []
    several = ds.sizes["dataset"] > 1
    rows: list[Row] = []
    for dataset in datasets(ds):
        for index in drawn(ds, dataset):
            rival = _rival(ds, index, settings)
            rows.append(
                [
                    _name(ds, index),
                    *([dataset] if several else []),
                    _known(ds, "num_parameters", index),
                    _examples(ds, index),
                    rival or "–",
                    *(_ratio(ds, index, axis, rival) for axis in axes),
                    _known(ds, "final_metric_mean", index),
                    _known(ds, "num_seeds", index),
                ]
            )
    if not rows:
        return []
    columns = [
        "arm, fastest cell",
        *(["dataset"] if several else []),
        "parameters",
        "examples to the target",
        "rival",
        *(f"{RATIO_AXES[axis]}" for axis in axes),
        f"final test {_metric_name(sweep)}",
        "n",
    ]
    caption = (
        "One row for each arm: of its cells the one with the smallest restricted mean of training examples, chosen on "
        "these runs. A ratio below 1 means that the arm needs less than its rival to reach the target; in brackets the "
        f"interval. n = {counted_range(ds['num_seeds'].values) if 'num_seeds' in ds else '0'} seeds a cell."
    )
    return [
        Heading("The arms in numbers", slug("arms", sweep.name)),
        table(slug("arms", sweep.name, "table"), caption, columns, rows),
    ]


def _rival(ds: xr.Dataset, index: int, settings: StatisticsSettings) -> str:
    """Return the arm that a contender's row is compared with: the baseline, or the fastest rival of its claims."""
    if "rival_contender" not in ds:
        return ""
    arm = str(ds["arm"].values[index])
    rivals = {
        str(rival): str(label)
        for rival, label in zip(ds["rival"].values, ds["rival_contender"].values[index], strict=True)
        if label
    }
    baseline = str(ds.attrs.get("baseline", ""))
    if baseline in rivals:
        return baseline
    subject = str(ds.attrs.get("subject", ""))
    named = [
        rival
        for claim in settings.asked().values()
        if (claim.subject or subject) == arm
        for rival in claim.rivals
        if rival in rivals
    ]
    times = {rival: _restricted_mean(ds, rivals[rival]) for rival in named}
    return min(times, key=lambda rival: times[rival]) if times else ""


def _restricted_mean(ds: xr.Dataset, contender: str) -> float:
    if "restricted_mean" not in ds or contender not in ds["contender"].values:
        return np.inf
    value = float(ds["restricted_mean"].sel(contender=contender, axis="samples"))
    return value if np.isfinite(value) else np.inf


def _ratio(ds: xr.Dataset, index: int, axis: str, rival: str) -> float:
    """Return the ratio of costs with its interval, in words where it may not be shown."""
    unknown = float("nan")
    if not rival:
        return unknown
    pair = comparison(ds, index, rival, axis)
    return Estimate(pair.ratio, pair.low, pair.high) if pair.has_ratio else Number(unknown, pair.word)


def _known(ds: xr.Dataset, name: str, index: int) -> float:
    return float(ds[name].values[index]) if name in ds.variables else float("nan")


def _examples(ds: xr.Dataset, index: int) -> float:
    """Return the restricted mean of training examples to the target, with its interval."""
    if "restricted_mean" not in ds or "samples" not in ds["axis"].values:
        return float("nan")
    at = ds[[name for name in ("restricted_mean", "restricted_mean_bound") if name in ds]]
    at = at.isel(contender=index).sel(axis="samples")
    value = float(at["restricted_mean"])
    if "restricted_mean_bound" not in at:
        return value
    low, high = (float(at["restricted_mean_bound"].sel(bound=end)) for end in ("low", "high"))
    return Estimate(value, low, high)
