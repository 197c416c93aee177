"""Input of an experiment: the cells of a sweep with labels, their seeds, and their results if they were trained."""

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
    """A cell of a sweep, with the label that figures and sentences use.

    Attributes:
        label: the arm and the parameters that vary within the arm: "horn_cnn timesteps=8".
        arm: arm of the sweep.
        cell: the cell itself.
        varies: names of the parameters in the label.
    """

    label: str
    arm: str
    cell: Cell
    varies: tuple[str, ...]


class Study(NamedTuple):
    """Input of an experiment.

    Attributes:
        sweep: name of the sweep.
        contenders: cells of the sweep.
        seeds: seeds of the runs. The experiment builds its networks with the same seeds.
        results: the sweep's part of results.nc, as `open_results` returns it; None if nothing was trained.
    """

    sweep: str
    contenders: list[Contender]
    seeds: tuple[int, ...]
    results: "xr.Dataset | None"


def contenders(grid: Grid, sweep: str) -> list[Contender]:
    """Return the cells of a sweep with their labels, arm by arm.

    Args:
        grid: cells and sweeps of the configuration.
        sweep: name of the sweep.

    Raises:
        ConfigError: there is no such sweep.
    """
    if sweep not in grid.sweeps:
        valid = list(grid.sweeps)
        raise ConfigError(f"there is no sweep {sweep!r}{nearest(sweep, valid)}; valid: {', '.join(valid)}")
    arms = grid.sweeps[sweep].arms
    has_several_datasets = len({grid.cells[name].data.name for name in arms}) > 1
    labelled = []
    for arm in dict.fromkeys(arms.values()):
        cells = [grid.cells[name] for name, arm_of_cell in arms.items() if arm_of_cell == arm]
        varies = _varying([parameters_of(cell) for cell in cells])
        if has_several_datasets and "dataset" not in varies:
            varies = ("dataset", *varies)
        labelled += [Contender(label(arm, cell, varies), arm, cell, varies) for cell in cells]
    return labelled


def label(arm: str, cell: Cell, varies: Iterable[str]) -> str:
    """Return an arm with the values of some parameters: "horn_cnn timesteps=8 learning_rate=0.01".

    Args:
        arm: arm of the sweep.
        cell: gives the values.
        varies: names of the parameters, as in results.nc.
    """
    values = parameters_of(cell)
    return " ".join([arm, *(f"{name}={_word(values.get(name))}" for name in varies)])


def parameters_of(cell: Cell) -> dict[str, Value]:
    """Return all parameters of a cell by their names in results.nc."""
    return {
        coordinate_name(section, name): value
        for section, parameters in cell.sections().items()
        for name, value in parameters.canonical().items()
    }


def contender_coordinates(compared: Iterable[Contender]) -> dict[str, Any]:
    """Return the coordinates of dimension `contender`: label, cell, arm, dataset, model, size, gain, learning rate."""
    compared = list(compared)
    derived = [coordinate_values(contender.cell).values for contender in compared]
    words = {
        "contender": ("label of what is compared", [contender.label for contender in compared]),
        "cell_name": ("name of the cell", [contender.cell.name for contender in compared]),
        "arm": ("arm of the sweep", [contender.arm for contender in compared]),
        "dataset": ("dataset", [contender.cell.data.name for contender in compared]),
        "model": ("model", [contender.cell.model.name for contender in compared]),
    }
    numbers = {
        "num_parameters": [float(contender.cell.cost().num_parameters) for contender in compared],
        "constant_drive_gain": [_number(values.get("constant_drive_gain")) for values in derived],
        "learning_rate": [contender.cell.training.learning_rate for contender in compared],
    }
    long_names = {
        "constant_drive_gain": "gain under a constant drive",
        "num_parameters": "trained parameters",
    }
    coordinates: dict[str, Any] = {
        name: ("contender", values, {"units": "1", "long_name": long_name})
        for name, (long_name, values) in words.items()
    }
    for name, values in numbers.items():
        long_name = long_names.get(name, name.replace("_", " "))
        coordinates[name] = ("contender", values, {"units": "1", "long_name": long_name})
    return coordinates


def _varying(cells: list[dict[str, Value]]) -> tuple[str, ...]:
    names = dict.fromkeys(name for values in cells for name in values)
    return tuple(name for name in names if len({values.get(name) for values in cells}) > 1)


def _word(value: Value) -> str:
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else float("nan")
