"""The JSON schema of config.yaml, made from the parameter classes; editors complete and check by it."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from hornlib.config.reading import FIRST_TUNING_SEED, RESERVED_SWEEPS, SECTIONS
from hornlib.config.settings import Settings
from hornlib.data.parameters import DataParameters
from hornlib.grid.axes import ENTRY_KEYS, OVERRIDES
from hornlib.grid.matching import SPELLINGS
from hornlib.models import MODELS
from hornlib.parameters import Parameters
from hornlib.parameters.statistics import StatisticsSettings
from hornlib.parameters.training import TrainingParameters
from hornlib.parameters.tuning import TuningParameters
from hornlib.structures import STRUCTURES

__all__ = ["Schema", "config_schema"]

Schema = dict[str, Any]

SEEDS: Schema = {
    "description": "A number of seeds (10 means 0 to 9), or a list of them.",
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": FIRST_TUNING_SEED},
        {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": FIRST_TUNING_SEED - 1},
            "minItems": 1,
            "uniqueItems": True,
        },
    ],
}

ARM: Schema = {
    "description": "Label of what is compared; default: the model's name. Unique in its sweep.",
    "type": "string",
    "pattern": r"^[^./\\\s]([^/\\]{0,62}[^/\\\s])?$",
}

MATCH: Schema = {
    "description": "Find the width at which this arm is as large, or as costly, as another arm.",
    "type": "object",
    "properties": {
        "to": {"type": "string", "description": "Label of the arm to be matched to."},
        "by": {
            "description": "What is made equal: trained parameters, FLOPs of a forward pass, or FLOPs of a training "
            "step (forward, loss, backward, update; counted with torch). `flops` is the older spelling of "
            "`forward_flops`.",
            "enum": list(SPELLINGS),
        },
    },
    "required": ["to", "by"],
    "additionalProperties": False,
}

RANGE: Schema = {
    "description": "In a tuned sweep: what trials draw this parameter from.",
    "type": "object",
    "properties": {
        "tune": {
            "type": "object",
            "properties": {
                "low": {"type": "number"},
                "high": {"type": "number"},
                "scale": {"enum": ["log", "linear"]},
                "default": {"type": "number"},
            },
            "required": ["low", "high"],
            "additionalProperties": False,
        }
    },
    "required": ["tune"],
    "additionalProperties": False,
}


def config_schema() -> Schema:
    """Return the JSON schema of config.yaml; every parameter takes a value or a list of values.

    Draft 7, which the language servers of editors know best.
    """
    sections = {section: {"$ref": f"#/$defs/{section}"} for section in SECTIONS}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "config.yaml of hornlib",
        "type": "object",
        "properties": {
            **Settings.field_schemas(),
            "seeds": SEEDS,
            "statistics": {"$ref": "#/$defs/statistics"},
            "defaults": {
                "description": "Merged deeply into every sweep; the sweep wins.",
                "type": "object",
                "properties": sections,
                "additionalProperties": False,
            },
            "sweeps": {
                "description": "Each sweep is also a target: snakemake --cores 2 <sweep>.",
                "type": "object",
                "minProperties": 1,
                "propertyNames": {
                    "pattern": "^[a-z][a-z0-9_]{0,63}$",
                    "not": {"enum": list(RESERVED_SWEEPS)},
                },
                "additionalProperties": {"$ref": "#/$defs/sweep"},
            },
        },
        "required": ["sweeps"],
        "additionalProperties": False,
        "$defs": {
            "sweep": {
                "type": "object",
                "properties": {
                    "extends": {"description": "The sweep that this one is merged over.", "type": "string"},
                    "seeds": SEEDS,
                    **sections,
                    "statistics": {"$ref": "#/$defs/statistics"},
                    "tuning": {"$ref": "#/$defs/tuning"},
                },
                "additionalProperties": False,
            },
            "statistics": _rules("What is compared, and when a claim holds.", StatisticsSettings),
            "tuning": _rules("Makes a tuned sweep: every arm gets the same trials.", TuningParameters),
            "range": RANGE,
            **{section: _entries(section) for section in SECTIONS},
            "data_entry": _one_kind(DataParameters),
            "model_entry": _by_name(MODELS, _model_keys()),
            "structure_entry": _by_name(STRUCTURES, {}),
            "training_entry": _one_kind(TrainingParameters),
        },
    }


def _rules(description: str, rules: type[Parameters]) -> Schema:
    return {"description": description, **rules.mapping_schema()}


def _model_keys() -> Schema:
    keys = {"arm": ARM, "match": MATCH, **{section: {"$ref": f"#/$defs/{section}"} for section in OVERRIDES}}
    return {key: keys[key] for key in ENTRY_KEYS}


def _entries(section: str) -> Schema:
    """Return the schema of a section: one entry, or a list of several."""
    entry = {"$ref": f"#/$defs/{section}_entry"}
    return {"if": {"type": "array"}, "then": {"items": entry, "minItems": 1}, "else": entry}


def _one_kind(parameters: type[Parameters]) -> Schema:
    return {"type": "object", "properties": _axes(parameters), "additionalProperties": False}


def _by_name(table: Mapping[str, type[Parameters]], also: Schema) -> Schema:
    """Return the schema of an entry whose `name` decides which parameters it has.

    An entry may have no name, because its parent sweep or the defaults name it, or several names. It may then have any
    of the parameters.

    Args:
        table: name -> class of parameters.
        also: schemas of the keys that every entry may have beside them.
    """
    conditions = [
        {
            "if": {"properties": {"name": {"const": name}}, "required": ["name"]},
            "then": {"properties": _axes(members) | also, "additionalProperties": False},
        }
        for name, members in table.items()
    ]
    all_keys = dict.fromkeys(key for members in table.values() for key in members.model_fields)
    return {
        "type": "object",
        "properties": {"name": _axis({"description": _named(table), "enum": list(table)})},
        "propertyNames": {"enum": [*all_keys, *also]},
        "allOf": conditions,
    }


def _named(names: Iterable[str]) -> str:
    return f"One of {', '.join(names)}."


def _axes(parameters: type[Parameters]) -> Schema:
    return {name: _axis(field) for name, field in parameters.field_schemas().items()}


def _axis(field: Schema) -> Schema:
    """Return the schema of a value, a list of values, or a range of a number; description and default stay outside."""
    annotations: Schema = {key: field[key] for key in ("description", "default") if key in field}
    value = {key: part for key, part in field.items() if key not in annotations}
    listed = {"type": "array", "items": value, "minItems": 1, "uniqueItems": True}
    tuned = [{"$ref": "#/$defs/range"}] if "number" in json.dumps(value) else []
    return {**annotations, "anyOf": [value, listed, *tuned]}
