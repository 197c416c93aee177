"""Axes: an entry of a section, in which every list is an axis, becomes a parameter object for each point."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from hornlib.config.messages import describe_validation_error, spelled
from hornlib.config.reading import SECTIONS, Config
from hornlib.config.yaml_file import KeyPath
from hornlib.errors import ConfigError
from hornlib.grid.cell import parameters_class, validated
from hornlib.parameters import Parameters

__all__ = ["ENTRY_KEYS", "OVERRIDES", "expand_axes", "refuse_too_many"]

OVERRIDES = tuple(section for section in SECTIONS if section != "model")
"""Sections that a model's entry may override for itself."""

ENTRY_KEYS = ("arm", "match", *OVERRIDES)
"""What a model's entry may say beside the model's own parameters."""

MOST_CELLS = 100_000
"""More cells of one entry are a slip of the pen: a product of axes that nobody could train, or plan."""


def expand_axes(config: Config, section: str, values: Mapping[str, Any], path: KeyPath) -> list[Parameters]:
    """Return the parameters of every point of an entry.

    Args:
        config: makes the errors, which say where a key stands.
        section: data, model, structure or training.
        values: key -> a value, or a list of values.
        path: where the entry stands.

    Raises:
        ConfigError: an empty or doubled axis, an unknown key, a value that its parameter does not take.
    """
    axes: dict[str, list[Any]] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            tuned = (
                "; ranges belong to a sweep with `tuning:`, and there to `model` and `training`"
                if "tune" in value
                else ""
            )
            raise config.error((*path, key), f"expected a value or a list, found a mapping{tuned}")
        if isinstance(value, list):
            _check_axis(config, value, (*path, key))
        axes[key] = value if isinstance(value, list) else [value]
    refuse_too_many(config, math.prod(map(len, axes.values())), path)
    points = [
        _validated(config, section, dict(zip(axes, point, strict=True)), path)
        for point in itertools.product(*axes.values())
    ]
    for key, several in axes.items():
        if len(several) > 1 and any(key in type(point)._unnamed_fields() for point in points):
            raise config.error(
                (*path, key),
                "not part of a cell's name, so that a list of it makes no other cells; give one value",
            )
    if len(set(points)) < len(points):
        raise config.error(path, "a value stands twice in a list, spelt in two ways; take one of them out")
    return points


def refuse_too_many(config: Config, number: int, path: KeyPath) -> None:
    """Raise an error if an entry has more cells than anybody can train.

    Args:
        config: makes the error, which says where the entry stands.
        number: cells of the entry.
        path: where the entry stands.
    """
    if number > MOST_CELLS:
        raise config.error(path, f"its axes make {number:,} cells; {MOST_CELLS:,} at most")


def _check_axis(config: Config, values: Sequence[Any], path: KeyPath) -> None:
    if not values:
        raise config.error(path, "the list is empty; an axis needs at least one value")
    seen: set[tuple[bool, Any]] = set()
    for value in values:
        if isinstance(value, list | dict):
            raise config.error(
                path, f"{spelled(value)} within an axis; a list-valued parameter is written 32-64-128"
            )
        if (isinstance(value, bool), value) in seen:
            raise config.error(path, f"the value {spelled(value)} stands twice in the list")
        seen.add((isinstance(value, bool), value))


def _validated(config: Config, section: str, values: Mapping[str, Any], path: KeyPath) -> Parameters:
    try:
        return validated(section, values)
    except ValidationError as error:
        owner = f"model {values['name']}" if section == "model" else section
        fields = tuple(parameters_class(section, values.get("name", "static")).model_fields)
        fields += ENTRY_KEYS if section == "model" else ()
        messages = [
            str(config.error((*path, *key), message))
            for key, message in describe_validation_error(error, fields, owner)
        ]
        raise ConfigError("\n".join(messages)) from None
    except ValueError as error:
        raise config.error((*path, "name"), str(error)) from None
