"""A cell: one grid point, its full specification and the name that follows from it; free of torch."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import ValidationError

from hornlib.config.messages import describe_validation_error, spelled
from hornlib.config.reading import SECTIONS
from hornlib.data import DATASETS
from hornlib.data.parameters import DataParameters
from hornlib.errors import ConfigError, nearest
from hornlib.models import MODELS
from hornlib.parameters import Cost, ModelParameters, Parameters, Task
from hornlib.parameters.structure import StructureParameters
from hornlib.parameters.training import TrainingParameters
from hornlib.parameters.tuning import Tuned
from hornlib.structures import STRUCTURES
from hornlib.structures.static import StaticParameters

__all__ = [
    "Cell",
    "Selection",
    "Specification",
    "add_cell",
    "changed_json",
    "make_cell",
    "make_tuned",
    "masked_cost",
    "named",
    "parameters_class",
    "parse_specification",
    "validated",
    "with_values",
]

Specification = dict[str, dict[str, Any]]


class Selection(NamedTuple):
    """Choice for a tuned cell.

    Attributes:
        trial: number of the trial, from 0.
        chosen: `training.learning_rate` -> its value.
    """

    trial: int
    chosen: dict[str, float]


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """Data, model, structure and training, each with its parameters; no seed.

    Attributes:
        name: `<dataset>-<model>[-<structure>]-<12 hex digits>`; the digits hash the canonical values of the
            fields that differ from their class defaults, so the name never depends on what else is in a grid.
        tuned: how tuned parameters get their values; None for a cell whose values are all given. The name of a
            tuned cell hashes the ranges and the protocol, never the values, so that it exists before the choice.
        selection: the chosen values and their trial; None before the choice.
    """

    data: DataParameters
    model: ModelParameters
    structure: StructureParameters
    training: TrainingParameters
    name: str
    tuned: Tuned | None = None
    selection: Selection | None = None

    def sections(self) -> dict[str, Parameters]:
        """Return the four parameter objects under their section's name."""
        return {section: getattr(self, section) for section in SECTIONS}

    def specification(self) -> Specification:
        """Return every parameter in canonical form; a run file stores it, and gather compares it."""
        return {section: parameters.canonical() for section, parameters in self.sections().items()}

    def changed(self) -> Specification:
        """Return the parameters that differ from their defaults; the name hashes them."""
        return {section: parameters.changed() for section, parameters in self.sections().items()}

    @property
    def selected_for(self) -> str:
        """Objective that the values were chosen for; "" where all values are given."""
        return "" if self.tuned is None else self.tuned.objective

    def job_specification(self) -> Specification:
        """Return what a job is given: the values that differ from the defaults, paths and execution choices too."""
        given = {section: parameters.given() for section, parameters in self.sections().items()}
        return given if self.tuned is None else {**given, "tuned": self.tuned.document()}

    def resolved(self, selection: Selection) -> "Cell":
        """Return the tuned cell with the values that were chosen; its name stays."""
        return replace(with_values(self, selection.chosen), selection=selection)

    def task(self) -> Task:
        """Return the shapes that the data asks of the model."""
        return self.data.task()

    def cost(self) -> Cost:
        """Return size and work of the network by its masks: each product counts its connections."""
        return masked_cost(self.structure, self.model, self.task())

    def trained_model(self) -> ModelParameters:
        """Return the model of the first training step, which the structure may make of `model`."""
        return self.structure.trained_model(self.model, self.task())

    def computed_cost(self) -> Cost:
        """Return size and work of the network that really runs: products with masked weights count in full."""
        if not self.structure.connections(self.model, self.task()):
            return self.cost()
        return masked_cost(_STATIC, self.trained_model(), self.task())

    def is_masked(self) -> bool:
        """Return whether the cell multiplies zeros: it has masks, and stores more than connections."""
        return self.trained_model() == self.model and bool(
            self.structure.connections(self.model, self.task())
        )


_STATIC = StaticParameters()


@lru_cache(maxsize=65536)
def masked_cost(structure: StructureParameters, model: ModelParameters, task: Task) -> Cost:
    """Return what `structure.cost` returns; many cells share structure, model and task, and differ in training.

    Args:
        structure: gives the number of connections.
        model: the model before the first step.
        task: shapes of inputs and outputs.
    """
    return structure.cost(model, task)


def make_cell(
    data: DataParameters, model: ModelParameters, structure: StructureParameters, training: TrainingParameters
) -> Cell:
    """Return the cell of these parameters, under its name.

    Args:
        data, model, structure, training: the parameters of each section.
    """
    parts = [
        changed_json(data),
        changed_json(model),
        changed_json(structure),
        changed_json(training),
    ]
    return Cell(data, model, structure, training, named(data, model, structure, "\n".join(parts)))


def make_tuned(cell: Cell, tuned: Tuned) -> Cell:
    """Return the tuned twin of a cell: its tuned parameters have the low end of their ranges until they are chosen.

    Args:
        cell: the cell with its default values.
        tuned: ranges and protocol.
    """
    low = with_values(cell, {key: tune_range.low for key, tune_range in tuned.ranges.items()})
    parts = [*map(changed_json, low.sections().values()), json.dumps(tuned.hashed(), sort_keys=True)]
    name = named(cell.data, cell.model, cell.structure, "\n".join(parts))
    return replace(low, tuned=tuned, name=name)


def with_values(cell: Cell, values: Mapping[str, float]) -> Cell:
    """Return the cell with other values of some parameters, under its old name.

    Args:
        cell: as it is.
        values: `section.parameter` -> value.

    Raises:
        ValueError, pydantic.ValidationError: a parameter does not exist, or does not take the value.
    """
    sections = cell.sections()
    for section in dict.fromkeys(key.partition(".")[0] for key in values):
        changes = {
            key.partition(".")[2]: value for key, value in values.items() if key.startswith(f"{section}.")
        }
        sections[section] = validated(section, {**sections[section].given(), **changes})
    return replace(cell, **sections)  # type: ignore[arg-type]


def named(data: DataParameters, model: ModelParameters, structure: StructureParameters, hashed: str) -> str:
    """Return the name `<dataset>-<model>[-<structure>]-<12 hex digits>`.

    Args:
        data, model, structure: the sections whose `name` it has.
        hashed: the text whose SHA-256 hash the digits begin.
    """
    words = [data.name, model.name]
    if structure.name != "static":
        words.append(structure.name)
    return "-".join([*words, hashlib.sha256(hashed.encode()).hexdigest()[:12]])


def add_cell(cells: dict[str, Cell], cell: Cell) -> None:
    """Add a cell under its name, unless the mapping has it.

    Args:
        cells: name -> cell; it is changed.
        cell: the cell to add.

    Raises:
        ValueError: another cell has the same name, since 48 bits of their hashes are equal by chance.
    """
    first = cells.setdefault(cell.name, cell)
    if first is not cell and first.changed() != cell.changed():
        raise ValueError(f"two cells share the name {cell.name}; change any one value of either")


@lru_cache(maxsize=65536)
def changed_json(parameters: Parameters) -> str:
    """Return what a section gives to the hash of a name: equal for two that differ outside the name only."""
    return json.dumps(parameters.changed(), sort_keys=True, separators=(",", ":"))


def parameters_class(section: str, name: object) -> type[Parameters]:
    """Return the parameter class of a section.

    Args:
        section: data, model, structure or training.
        name: the `name` that the section gives; data and training have one class each.

    Raises:
        ValueError: no such model or structure; the message lists the valid names and the nearest.
    """
    if section == "data":
        return DataParameters
    if section == "training":
        return TrainingParameters
    table: Mapping[str, type[Parameters]] = MODELS if section == "model" else STRUCTURES
    if name is None:
        raise ValueError(f"a {section} needs a `name:`; valid: {', '.join(table)}")
    if not isinstance(name, str) or name not in table:
        raise ValueError(
            f"unknown {section} {spelled(name)}{nearest(name, table)}; valid: {', '.join(table)}"
        )
    return table[name]


def validated(section: str, values: Mapping[str, Any]) -> Parameters:
    """Return the parameters of a section.

    Equal values give the same object, since a grid asks for few distinct ones many times. The key of the cache holds
    the type beside the value: True and 1 are equal in Python, and only one of them is a number here.

    Args:
        section: data, model, structure or training.
        values: parameter -> value.

    Raises:
        pydantic.ValidationError: a parameter does not exist, or does not take its value.
        ValueError: no such dataset, model or structure.
    """
    key = tuple(sorted((name, type(value).__name__, value) for name, value in values.items()))
    return _validated(section, key)


@lru_cache(maxsize=65536)
def _validated(section: str, items: tuple[tuple[str, str, Any], ...]) -> Parameters:
    values = {name: value for name, _, value in items}
    name = values.get("name", "static" if section == "structure" else None)
    if section == "data" and "name" in values and name not in DATASETS:
        raise ValueError(
            f"unknown dataset {spelled(name)}{nearest(name, DATASETS)}; valid: {', '.join(DATASETS)}"
        )
    return parameters_class(section, name)(**values)


def parse_specification(specification: Mapping[str, Mapping[str, Any]]) -> Cell:
    """Return the cell of a specification, full or of changed fields only.

    Raises:
        ConfigError: a section or a value is not understood.
    """
    if not isinstance(specification, Mapping) or not set(specification) <= {*SECTIONS, "tuned"}:
        raise ConfigError(
            f"a specification has the sections {', '.join(SECTIONS)}; got {spelled(specification)}"
        )
    sections = {section: _parse_section(section, specification.get(section, {})) for section in SECTIONS}
    cell = make_cell(**sections)  # type: ignore[arg-type]
    if "tuned" not in specification:
        return cell
    try:
        return make_tuned(cell, Tuned.parse(specification["tuned"]))  # type: ignore[arg-type]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ConfigError(f"tuned: not understood ({type(error).__name__}: {error})") from None


def _parse_section(section: str, values: object) -> Parameters:
    if not isinstance(values, Mapping) or any(isinstance(value, list | Mapping) for value in values.values()):
        raise ConfigError(f"{section}: expected parameters, each one value, found {spelled(values)}")
    try:
        return validated(section, values)
    except ValidationError as error:
        fields = tuple(parameters_class(section, values.get("name", "static")).model_fields)
        path, message = next(describe_validation_error(error, fields, section))
        raise ConfigError(f"{'.'.join([section, *map(str, path)])}: {message}") from None
    except ValueError as error:
        raise ConfigError(f"{section}: {error}") from None
