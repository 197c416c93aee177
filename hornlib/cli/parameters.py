"""Every parameter that config.yaml takes: meaning, unit, values and default, read from the parameter classes."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from hornlib.cli.schema import Schema
from hornlib.config.settings import Settings
from hornlib.data.parameters import DataParameters
from hornlib.models import MODELS
from hornlib.parameters import Parameters
from hornlib.parameters.importance import ImportanceSettings
from hornlib.parameters.probes import ProbeSettings
from hornlib.parameters.statistics import Claim, StatisticsSettings
from hornlib.parameters.training import TrainingParameters
from hornlib.parameters.tuning import FinalistParameters, TuneRange, TuningParameters
from hornlib.results.coordinates import UNITS as COORDINATE_UNITS
from hornlib.structures import STRUCTURES

__all__ = ["SECTIONS", "TABLES", "Description", "all_descriptions", "descriptions_of"]

SECTIONS: dict[str, type[Parameters]] = {
    "settings": Settings,
    "probes": ProbeSettings,
    "importance": ImportanceSettings,
    "data": DataParameters,
    "training": TrainingParameters,
    "statistics": StatisticsSettings,
    "claims": Claim,
    "tuning": TuningParameters,
    "finalists": FinalistParameters,
    "tune": TuneRange,
}
"""Sections of config.yaml with one class of parameters. `settings` stand at the top of the file."""

TABLES: dict[str, Mapping[str, type[Parameters]]] = {"model": MODELS, "structure": STRUCTURES}
"""Sections whose `name` decides which parameters they have."""

UNITS = {
    **COORDINATE_UNITS,
    "initial_horizon": "unit of time",
    "horizon": "unit of time",
    "num_cycles": "cycles",
    "run_on_cycles": "cycles",
    "epochs": "epochs",
    "steps": "steps",
    "timesteps": "steps",
    "warmup_steps": "steps",
    "batch_size": "examples",
    "train_subset": "examples",
    "evaluation_examples": "examples",
    "precise_examples": "examples",
    "inputs": "examples",
    "examples": "examples",
    "sample": "connections",
    "random_sets": "sets",
    "run_on_inputs": "examples",
    "evaluate_at_epochs": "epochs",
    "checkpoint_minutes": "minutes",
    "most_megabytes": "MB",
    "moments": "probes",
    "patience": "epochs",
    "prune_every": "epochs",
    "update_every": "steps",
    "update_every_epochs": "epochs",
    "epochs_per_round": "epochs",
    "restart_at_epoch": "epochs",
    "rounds": "prunings",
    "score_batches": "batches",
    "batches": "batches",
    "search_steps": "steps",
    "gradient_steps": "steps",
    "stagnation": "generations",
    "start_step": "steps",
    "every_steps": "steps",
    "times": "events",
    "prunings": "prunings",
    "final_units": "units",
    "units_left": "units",
    "most_parameters": "parameters",
    "most_flops": "FLOPs",
    "patch_size": "pixels",
    "opening_pool": "pixels",
    "channels": "channels",
    "inner_channels": "channels",
    "strides": "pixels",
    "kernel_size": "pixels",
    "hidden_nodes": "nodes",
    "blocks_per_stage": "blocks",
    "insertions": "layers",
    "layers_at_once": "layers",
    "per_job": "seeds",
    "min_seeds": "seeds",
    "seeds": "seeds",
    "sequential": "seeds",
    "trials": "trials",
    "threads": "threads",
    "confirm": "evaluations",
    "bootstrap": "draws",
}
"""Unit of a parameter by its name. Of the others, `num_` counts what it names; the rest are shares, rates and words."""

UNITS_IN_SECTION = {("statistics", "alpha"): "probability", ("statistics", "margin"): "unit of the metric"}


class Description(NamedTuple):
    """One parameter of one class.

    Attributes:
        section: of config.yaml; `settings` for the top of the file.
        owner: name of the model or of the structure; "" elsewhere.
        name: key in config.yaml.
        meaning: its docstring, with the source of the default where there is one.
        unit: "" for words, shares and plain numbers.
        values: what is valid, in words.
        default: as config.yaml spells it, or `required`.
    """

    section: str
    owner: str
    name: str
    meaning: str
    unit: str
    values: str
    default: str


def all_descriptions() -> Iterator[Description]:
    """Yield every parameter of every section, model and structure."""
    for section in SECTIONS:
        yield from descriptions_of(section)
    for section, table in TABLES.items():
        for owner in table:
            yield from descriptions_of(section, owner)


def descriptions_of(section: str, owner: str = "") -> list[Description]:
    """Return the parameters of a section, in the order of its class.

    Args:
        section: a key of `SECTIONS`, or of `TABLES` with an `owner`.
        owner: name of a model or of a structure, whose own field `name` is left out.
    """
    parameters = TABLES[section][owner] if owner else SECTIONS[section]
    return [
        Description(
            section,
            owner,
            name,
            schema.get("description", ""),
            unit_of(section, name),
            _values(schema),
            _default(schema),
        )
        for name, schema in parameters.field_schemas().items()
        if not (owner and name == "name")
    ]


def unit_of(section: str, name: str) -> str:
    """Return the unit of a parameter, "" where it has none.

    Args:
        section: of config.yaml.
        name: of the parameter.
    """
    counted = name.removeprefix("num_").replace("_", " ") if name.startswith("num_") else ""
    return UNITS_IN_SECTION.get((section, name), UNITS.get(name, counted))


def _values(schema: Schema) -> str:
    """Return the valid values of a JSON schema in words."""
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_values(option) for option in schema["anyOf"]))
    if "enum" in schema:
        return ", ".join(map(_spelled, schema["enum"]))
    if "const" in schema:
        return _spelled(schema["const"])
    kind = schema.get("type", "")
    if kind in ("integer", "number"):
        return _bounded("whole number" if kind == "integer" else "number", schema)
    if kind == "array":
        return f"list of ({_values(schema.get('items', {})) or 'values'})"
    if kind == "string":
        return "widths such as 32-64-128" if "[1-9][0-9]*" in schema.get("pattern", "") else "text"
    return {"null": "null", "boolean": "true, false", "object": "mapping"}.get(kind, "")


def _default(schema: Schema) -> str:
    if "default" not in schema:
        return "required"
    default = schema["default"]
    if isinstance(default, list) and "widths" in _values(schema):
        return "-".join(map(str, default))
    return _spelled(default)


def _bounded(word: str, schema: Schema) -> str:
    limits = [
        f"{sign} {_spelled(schema[key])}"
        for key, sign in (
            ("minimum", "from"),
            ("exclusiveMinimum", "above"),
            ("maximum", "to"),
            ("exclusiveMaximum", "below"),
        )
        if key in schema
    ]
    return " ".join([word, *limits])


def _spelled(value: Any) -> str:
    """Return a value as config.yaml spells it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return f"[{', '.join(map(_spelled, value))}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {_spelled(item)}' for key, item in value.items())}}}"
    return str(value)
