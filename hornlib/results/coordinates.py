"""The coordinates of results.nc: every parameter of every class under one name with one meaning."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from hornlib.data.parameters import DataParameters
from hornlib.grid.cell import Cell
from hornlib.models import MODELS
from hornlib.parameters import Parameters, Value
from hornlib.parameters.training import TrainingParameters
from hornlib.results.run_variables import CURVES, PROVENANCE, VARIABLES
from hornlib.structures import STRUCTURES

__all__ = [
    "DESCRIBED",
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
"""What the field `name` of a section is called, since one word cannot mean three things."""

RESERVED = frozenset(
    {"method", "cell", "size", "name", "data", "values", "mean", "rank", "std"}  # methods and properties
    | {
        "indexers",
        "tolerance",
        "drop",
        "seed",
        "step",
        "arm",
        "cell_name",
        "trial",
        "bound",
    }  # keywords of sel, dimensions
    | set(VARIABLES)
    | {f"final_{curve}" for curve in CURVES}
    | {"final_forward_flops"}
    | set(PROVENANCE)
    | {"calibration_device", "calibrated_seconds", "step_time", "step_time_bound", "peak_memory"}
)
"""Words that xarray takes for itself (ds.sel(method=...) selects nothing, silently), and variables."""

UNITS = {
    "omega": "rad / unit of time",
    "damping": "1 / unit of time",
    "alpha": "1 / unit of time squared",
    "integration_step": "unit of time",
    "image_size": "pixel",
    "forward_flops": "FLOP",
    "forward_products": "FLOP",
}
"""Units of the coordinates that have one; the rest are counts, shares and words: "1"."""


@dataclass
class Coordinate:
    """One coordinate on `cell`.

    Attributes:
        kind: string, integer, or number; integers stand as float64 in the file, NaN where absent.
        section: where it is set; "derived" for what follows from other parameters alone.
        meanings: what it says of each owner (a model's name, or a section).
    """

    kind: Kind
    section: str
    meanings: dict[str, str] = field(default_factory=dict)

    def attributes(self, name: str) -> dict[str, str]:
        """Return units, long name, kind, and the field's docstring (each meaning with its owners)."""
        owners: dict[str, list[str]] = {}
        for owner, meaning in self.meanings.items():
            owners.setdefault(meaning, []).append(owner)
        told = [f"{', '.join(those)}: {meaning}" for meaning, those in owners.items()]
        return {
            "units": UNITS.get(name, "1"),
            "long_name": name.replace("num_", "number of ").replace("_", " "),
            "description": next(iter(owners)) if len(owners) == 1 else " | ".join(told),
            "kind": self.kind,
        }


DESCRIBED: dict[str, Coordinate] = {
    "metric": Coordinate("string", "derived", {"data": "metric of the dataset"}),
    "direction": Coordinate(
        "string", "derived", {"data": "which way the metric gets better: maximise or minimise"}
    ),
    "chance_level": Coordinate("number", "derived", {"data": "metric of a network that knows nothing"}),
    "selected_for": Coordinate(
        "string", "derived", {"model": "what its tuned values were chosen for; nothing where they were given"}
    ),
    "forward_flops": Coordinate("integer", "derived", {"model": "FLOPs of one forward pass of one example"}),
    "forward_products": Coordinate("integer", "derived", {"model": "FLOPs of its products and convolutions"}),
}
"""What every cell has beside its parameters."""


def coordinate_name(section: str, name: str) -> str:
    """Return the coordinate of a section's field."""
    return NAMES[section] if name == "name" else name


def all_classes() -> Iterator[tuple[str, type[Parameters]]]:
    """Yield (section, class) over all tables."""
    yield "data", DataParameters
    yield from (("model", model) for model in MODELS.values())
    yield from (("structure", structure) for structure in STRUCTURES.values())
    yield "training", TrainingParameters


def coordinates_of(classes: Iterable[tuple[str, type[Parameters]]]) -> dict[str, Coordinate]:
    """Return the coordinates of these classes, in the order of their fields.

    Raises:
        ValueError: a name has two meanings: text here and a number there, set in two sections, or a word that
            xarray or a variable has taken; all such names are told.
    """
    found: dict[str, Coordinate] = {}
    problems = []
    for section, parameters in classes:
        owner = parameters.model_fields["name"].default if section in ("model", "structure") else section
        for name, info in parameters.model_fields.items():
            if name in parameters._unnamed_fields():
                continue
            meaning = NAMES[section] if name == "name" else " ".join((info.description or name).split())
            try:
                kind = kind_of(info.annotation)
                _admit(found, coordinate_name(section, name), Coordinate(kind, section, {owner: meaning}))
            except ValueError as error:
                problems.append(f"{parameters.__name__}.{name}: {error}")
    if problems:
        raise ValueError("a coordinate must mean one thing:\n" + "\n".join(problems))
    return found


def add_derived(found: dict[str, Coordinate], derived: Mapping[str, Value], model: str) -> None:
    """Add to the coordinates what a model derives, be it the value of a field or a name of its own.

    Raises:
        ValueError: a derived name is taken, or is a number where the field is text.
    """
    for name, value in derived.items():
        if value is None:
            continue
        known = found.get(name)
        section = "model" if known and known.section == "model" else "derived"
        meanings = {} if known and known.section == "model" else {model: name.replace("_", " ")}
        try:
            _admit(found, name, Coordinate(kind_of(type(value)), section, meanings))
        except ValueError as error:
            raise ValueError(f"{model} derives {name!r}: {error}") from None


def _admit(found: dict[str, Coordinate], name: str, wanted: Coordinate) -> None:
    if name in RESERVED or name in DESCRIBED or name.startswith(("in_", "arm_")):
        raise ValueError(f"the name {name!r} is taken")
    known = found.setdefault(name, wanted)
    if known.section != wanted.section:
        raise ValueError(f"{name!r} is in two sections, {known.section} and {wanted.section}")
    if (known.kind == "string") != (wanted.kind == "string"):
        raise ValueError(f"{name!r} is a {wanted.kind} here and a {known.kind} elsewhere")
    if known.kind != wanted.kind:
        known.kind = "number"
    known.meanings.update(wanted.meanings)


def kind_of(annotation: Any) -> Kind:
    """Return what a field's values are in results.nc; widths are written 32-64-128, so a tuple is a string.

    Raises:
        ValueError: a boolean (say it in words), or more than one kind.
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
        values: every parameter, what follows from them, and what the dataset says.
        derived: what the model derives; it stands in `values` too where no parameter gives it.
        follows: the names of values that follow from the cell's other parameters.
    """

    values: dict[str, Value]
    derived: dict[str, Value]
    follows: set[str]


def coordinate_values(cell: Cell) -> CellValues:
    """Return the coordinates of a cell; a parameter that is None (omega, say) gets its derived value."""
    values = {
        coordinate_name(section, name): value
        for section, parameters in cell.sections().items()
        for name, value in parameters.canonical().items()
    }
    task = cell.task()
    derived, flops = cell.model.derived(task), cell.model.forward_flops(task)
    follows = {name for name in derived if values.get(name) is None}
    values.update((name, derived[name]) for name in follows)
    if cell.tuned is not None and cell.selection is None:  # their values stand at an end of the range
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
    }
    return CellValues(values, derived, follows | set(DESCRIBED))
