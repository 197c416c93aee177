"""What an experiment is given: the cells of a sweep under labels, their seeds, and results where there are any."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from hornlib.errors import ConfigError, nearest
from hornlib.grid import Grid
from hornlib.grid.cell import Cell
from hornlib.parameters import Value
from hornlib.results.coordinates import coordinate_name, coordinate_values

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Contender", "Study", "contender_coordinates", "contenders", "label", "parameters_of"]


class Contender(NamedTuple):
    """A cell of a sweep, as its figures and sentences call it.

    Attributes:
        label: the arm, and what tells the cell from the arm's others: "horn_cnn timesteps=8".
        arm: its arm in the sweep.
        cell: what it is.
        varies: the parameters that the label names.
    """

    label: str
    arm: str
    cell: Cell
    varies: tuple[str, ...]


class Study(NamedTuple):
    """What an experiment looks at.

    Attributes:
        sweep: its name.
        contenders: its cells.
        seeds: of the runs, and of the networks that are built anew.
        results: the sweep's part of results.nc, as `open_results` gives it; None where nothing was trained.
    """

    sweep: str
    contenders: list[Contender]
    seeds: tuple[int, ...]
    results: "xr.Dataset | None"


def contenders(grid: Grid, sweep: str) -> list[Contender]:
    """Return the cells of a sweep with their labels, arm by arm.

    Raises:
        ConfigError: there is no such sweep.
    """
    if sweep not in grid.sweeps:
        valid = list(grid.sweeps)
        raise ConfigError(f"there is no sweep {sweep!r}{nearest(sweep, valid)}; valid: {', '.join(valid)}")
    arms = grid.sweeps[sweep].arms
    several = len({grid.cells[name].data.name for name in arms}) > 1
    found = []
    for arm in dict.fromkeys(arms.values()):
        own = [grid.cells[name] for name, its in arms.items() if its == arm]
        varies = _varying([parameters_of(cell) for cell in own])
        if several and "dataset" not in varies:
            varies = ("dataset", *varies)
        found += [Contender(label(arm, cell, varies), arm, cell, varies) for cell in own]
    return found


def label(arm: str, cell: Cell, varies: Iterable[str]) -> str:
    """Return an arm's label with the values of these parameters: "horn_cnn timesteps=8 learning_rate=0.01"."""
    values = parameters_of(cell)
    return " ".join([arm, *(f"{name}={_word(values.get(name))}" for name in varies)])


def parameters_of(cell: Cell) -> dict[str, Value]:
    """Return every parameter of a cell under the name that it has in results.nc."""
    return {
        coordinate_name(section, name): value
        for section, parameters in cell.sections().items()
        for name, value in parameters.canonical().items()
    }


def contender_coordinates(found: Iterable[Contender]) -> dict[str, Any]:
    """Return the dimension `contender` and what is known of each: cell, arm, dataset, model, size and c_T."""
    found = list(found)
    derived = [coordinate_values(contender.cell).values for contender in found]
    words = {
        "contender": ("label of what is compared", [contender.label for contender in found]),
        "cell_name": ("name of the cell", [contender.cell.name for contender in found]),
        "arm": ("arm of the sweep", [contender.arm for contender in found]),
        "dataset": ("dataset", [contender.cell.data.name for contender in found]),
        "model": ("model", [contender.cell.model.name for contender in found]),
    }
    numbers = {
        "num_parameters": [
            float(contender.cell.model.num_parameters(contender.cell.task())) for contender in found
        ],
        "constant_drive_gain": [_number(values.get("constant_drive_gain")) for values in derived],
        "learning_rate": [contender.cell.training.learning_rate for contender in found],
    }
    told = {"constant_drive_gain": "gain under a constant drive", "num_parameters": "trained parameters"}
    coordinates: dict[str, Any] = {
        name: ("contender", values, {"units": "1", "long_name": long_name})
        for name, (long_name, values) in words.items()
    }
    for name, values in numbers.items():
        long_name = told.get(name, name.replace("_", " "))
        coordinates[name] = ("contender", values, {"units": "1", "long_name": long_name})
    return coordinates


def _varying(cells: list[dict[str, Value]]) -> tuple[str, ...]:
    names = dict.fromkeys(name for values in cells for name in values)
    return tuple(name for name in names if len({values.get(name) for values in cells}) > 1)


def _word(value: Value) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
