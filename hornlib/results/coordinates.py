"""Coordinates of results.nc that are parameters: every field of every class, under one name with one meaning."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from hornlib.data.parameters import DataParameters
from hornlib.grid.cell import Cell
from hornlib.models import MODELS
from hornlib.parameters import Parameters, Value
from hornlib.parameters.training import TrainingParameters
from hornlib.results.declaration import Variable
from hornlib.results.variables import CELL_PROPERTIES, RESULTS_VARIABLES, RUN_VARIABLES, SWEEP_COORDINATES
from hornlib.structures import STRUCTURES

__all__ = [
    "RESERVED",
    "CellValues",
    "Coordinate",
    "add_derived",
    "all_classes",
    "coordinate_name",
    "coordinate_values",
    "coordinates_of",
    "kind_of",
]

Kind = Literal["string", "integer", "number"]

NAMES = {"data": "dataset", "model": "model", "structure": "structure"}
"""Coordinate of a section's field `name`, since one word cannot mean three things."""

_XARRAY_ATTRIBUTES = {"method", "size", "name", "data", "values", "mean", "rank", "std"}
_XARRAY_KEYWORDS = {"indexers", "tolerance", "drop"}  # ds.sel(method=...) selects nothing, silently

RESERVED = frozenset(
    {*_XARRAY_ATTRIBUTES, *_XARRAY_KEYWORDS, "arm", "cell_name", *RUN_VARIABLES, *RESULTS_VARIABLES}
)
"""Names that no parameter may have: xarray's own words, and variables."""

UNITS = {
    "omega": "rad / unit of time",
    "damping": "1 / unit of time",
    "alpha": "1 / unit of time squared",
    "integration_step": "unit of time",
    "image_size": "pixel",
}
"""Units of the parameters that have one; the others are counts, shares and words: "1"."""


@dataclass
class Coordinate:
    """One parameter as a coordinate on `cell`.

    Attributes:
        kind: string, integer, or number; the file holds integers as float64 with NaN where absent.
        section: section of the configuration that sets it; "derived" if it follows from other parameters alone.
        meanings: owner (a model's name, or a section) -> meaning of the parameter.
    """

    kind: Kind
    section: str
    meanings: dict[str, str] = field(default_factory=dict)

    def declared(self, name: str) -> Variable:
        """Return the variable of results.nc; its description holds each distinct meaning with its owners."""
        owners_of: dict[str, list[str]] = {}
        for owner, meaning in self.meanings.items():
            owners_of.setdefault(meaning, []).append(owner)
        sentences = [f"{', '.join(owners)}: {meaning}" for meaning, owners in owners_of.items()]
        description = next(iter(owners_of)) if len(owners_of) == 1 else " | ".join(sentences)
        return Variable(
            ("cell",),
            UNITS.get(name, "1"),
            name.replace("num_", "number of ").replace("_", " "),
            attributes={"description": description, "kind": self.kind},
        )


def coordinate_name(section: str, name: str) -> str:
    """Return the name of the coordinate of a section's field.

    Args:
        section: data, model, structure or training.
        name: of the field.
    """
    return NAMES[section] if name == "name" else name


def all_classes() -> Iterator[tuple[str, type[Parameters]]]:
    """Yield the section and the class of every entry of every table."""
    yield "data", DataParameters
    yield from (("model", model) for model in MODELS.values())
    yield from (("structure", structure) for structure in STRUCTURES.values())
    yield "training", TrainingParameters


def coordinates_of(classes: Iterable[tuple[str, type[Parameters]]]) -> dict[str, Coordinate]:
    """Return the coordinates of these classes, in the order of their fields.

    Raises:
        ValueError: a name has two meanings (text in one class and a number in another, or two sections), or it is
            reserved; the message lists all such names.
    """
    coordinates: dict[str, Coordinate] = {}
    problems = []
    for section, parameters in classes:
        owner = parameters.model_fields["name"].default if section in ("model", "structure") else section
        for name, info in parameters.model_fields.items():
            if name in parameters._unnamed_fields():
                continue
            meaning = NAMES[section] if name == "name" else " ".join((info.description or name).split())
            try:
                kind = kind_of(info.annotation)
                _admit(
                    coordinates, coordinate_name(section, name), Coordinate(kind, section, {owner: meaning})
                )
            except ValueError as error:
                problems.append(f"{parameters.__name__}.{name}: {error}")
    if problems:
        raise ValueError("a coordinate must mean one thing:\n" + "\n".join(problems))
    return coordinates


def add_derived(coordinates: dict[str, Coordinate], derived: Mapping[str, Value], model: str) -> None:
    """Add the values that a model derives: of fields that are None, or under names of their own.

    Args:
        coordinates: by name; changed in place.
        derived: name -> value, as `ModelParameters.derived` returns it.
        model: name of the model.

    Raises:
        ValueError: a derived name is reserved, or is a number where the field is text.
    """
    for name, value in derived.items():
        if value is None:
            continue
        is_field = name in coordinates and coordinates[name].section == "model"
        section = "model" if is_field else "derived"
        meanings = {} if is_field else {model: name.replace("_", " ")}
        try:
            _admit(coordinates, name, Coordinate(kind_of(type(value)), section, meanings))
        except ValueError as error:
            raise ValueError(f"{model} derives {name!r}: {error}") from None


def _admit(coordinates: dict[str, Coordinate], name: str, new: Coordinate) -> None:
    if name in RESERVED or name.startswith(tuple(SWEEP_COORDINATES)):
        raise ValueError(f"the name {name!r} is taken")
    present = coordinates.setdefault(name, new)
    if present.section != new.section:
        raise ValueError(f"{name!r} is in two sections, {present.section} and {new.section}")
    if (present.kind == "string") != (new.kind == "string"):
        raise ValueError(f"{name!r} is a {new.kind} here and a {present.kind} elsewhere")
    if present.kind != new.kind:
        present.kind = "number"
    present.meanings.update(new.meanings)


def kind_of(annotation: Any) -> Kind:
    """Return the kind of a field's values in results.nc; widths are written 32-64-128, so a tuple is a string.

    Raises:
        ValueError: the field is a boolean (use words instead), or has more than one kind.
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return kind_of(arguments[0])
    if annotation in (str, tuple) or origin is tuple:
        return "string"
    if annotation is int:
        return "integer"
    if annotation is float:
        return "number"
    if origin is Literal:
        kinds = {kind_of(type(value)) for value in arguments if value is not None}
    elif origin in (Union, UnionType):
        kinds = {kind_of(argument) for argument in arguments if argument is not type(None)}
    else:
        raise ValueError(f"{annotation} is no text and no number; say it in words, as a Literal")
    if kinds == {"integer", "number"}:
        return "number"
    if len(kinds) != 1:
        raise ValueError(f"{annotation} is text or a number; a coordinate is one of them")
    return kinds.pop()


class CellValues(NamedTuple):
    """The coordinates of one cell.

    Attributes:
        values: every parameter, every derived value, and the properties of `CELL_PROPERTIES`.
        derived: values that the model derives; `values` has them too where no parameter gives the value.
        follows: names of the values that follow from the cell's other parameters.
    """

    values: dict[str, Value]
    derived: dict[str, Value]
    follows: set[str]


def coordinate_values(cell: Cell) -> CellValues:
    """Return the coordinates of a cell; a parameter that is None, such as omega, gets its derived value."""
    values = {
        coordinate_name(section, name): value
        for section, parameters in cell.sections().items()
        for name, value in parameters.canonical().items()
    }
    task = cell.task()
    derived, flops = cell.model.derived(task), cell.cost().flops
    follows = {name for name in derived if values.get(name) is None}
    values.update((name, derived[name]) for name in follows)
    if cell.tuned is not None and cell.selection is None:  # the present values are an end of the range
        unknown = {key.partition(".")[2] for key in cell.tuned.ranges}
        values |= dict.fromkeys((unknown | follows) & set(values))
        derived = {}
    values |= {
        "selected_for": cell.selected_for,
        "metric": cell.data.metric,
        "direction": cell.data.direction,
        "chance_level": cell.data.chance,
        "forward_flops": flops.total,
        "forward_products": flops.products,
        "computed_forward_flops": cell.computed_cost().flops.total,
    }
    return CellValues(values, derived, follows | set(CELL_PROPERTIES))
