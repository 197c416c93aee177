"""Cells that start from the weights of another cell: which cell is meant, and why it does not fit; free of torch."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from hornlib.config.messages import spelled
from hornlib.grid.cell import Cell, changed_json, make_cell
from hornlib.parameters import ModelParameters
from hornlib.parameters.training import TrainingParameters
from hornlib.structures.sparse_training.parameters import SparseTrainingParameters

__all__ = ["dense_model", "given_arm", "start_problems", "started", "unfit_starts"]

MAY_DIFFER = {"dropout"}
"""Fields of a model that change no tensor of its network."""


def given_arm(start: str) -> tuple[str, str] | None:
    """Return the sweep and the arm that `training.start_from` gives, None where it gives the name of a cell."""
    sweep, point, arm = start.partition(".")
    return (sweep, arm) if point else None


def started(cell: Cell, bases: Sequence[Cell], error: Callable[[str], Exception]) -> Iterator[Cell]:
    """Yield a cell for each base that it can start from: `start_from` is the name of the base, so that a name follows.

    Args:
        cell: its `training.start_from` gives an arm.
        bases: the cells of that arm.
        error: makes the error to raise from its message.

    Raises:
        the error: the arm has no cell on the same data, or none with the same network.
    """
    start = cell.training.start_from
    on_same_data = [base for base in bases if changed_json(base.data) == changed_json(cell.data)]
    if not on_same_data:
        listed = ", ".join(dict.fromkeys(_words(base.data.changed()) for base in bases))
        raise error(
            f"{start} has no cell with the data of this arm ({_words(cell.data.changed())}), and validation examples "
            f"must be the same; it has cells with {listed}"
        )
    alike = [base for base in on_same_data if not _differences(cell, base)]
    if not alike:
        raise error(f"{start} has other networks than this arm: {_differences(cell, on_same_data[0])}")
    for base in alike:
        training = TrainingParameters(**{**cell.training.given(), "start_from": base.name})  # type: ignore[arg-type]
        yield make_cell(cell.data, cell.model, cell.structure, training)


def start_problems(cell: Cell, base: Cell) -> list[str]:
    """Return why a cell cannot start from the weights of another one, each one sentence.

    Args:
        cell: its `training.start_from` is the name of the base.
        base: the cell whose weights are kept.
    """
    if cell.model.trainer != "gradient":
        return [f"model: {cell.model.name} is not trained by gradients, and has no weights to start from"]
    problems = []
    if base.tuned is not None or cell.tuned is not None:
        problems.append("tuned cells start from fresh weights, and nothing starts from theirs")
    if changed_json(base.data) != changed_json(cell.data):
        problems.append(
            f"the data of {base.name} are {_words(base.data.changed())}, and those of this arm "
            f"{_words(cell.data.changed())}; both need the same, so that no validation example was trained on"
        )
    if differences := _differences(cell, base):
        problems.append(f"{base.name} has another network than this arm: {differences}")
    if base.structure.reachable(base.model, base.task()):
        problems.append(
            f"structure: {base.structure.name} of {base.name} leaves a network of another shape in every run; start "
            "from an arm whose networks keep their shape"
        )
    return problems or _mask_problems(cell, base)


def _mask_problems(cell: Cell, base: Cell) -> list[str]:
    """Return why the masks of the base do not fit the structure of the cell."""
    structure, task = cell.structure, cell.task()
    connections = base.structure.connections(base.model, task)
    if not isinstance(structure, SparseTrainingParameters):
        if not connections:
            return []
        return [
            f"the networks of {base.name} have masks, which structure: {structure.name} would not keep; give "
            "structure: {name: sparse_training, rule: static, start: kept} with the density of that arm, or density: 1 "
            "without `start` to train all weights"
        ]
    if structure.start == "kept_units" and not connections:
        return [
            f"start: kept_units, but the networks of {base.name} have no masks, so that all units are connected"
        ]
    if structure.start != "kept":
        return []
    wanted = structure.initial_connections(cell.model, task)
    if not connections:
        return [f"start: kept, but the networks of {base.name} have no masks; leave `start` out"]
    if wanted != connections:
        return [
            f"start: kept takes the connections of {base.name}, {_counts(connections)}, and density, distribution and "
            f"sparse_layers ask for {_counts(wanted)}; give those of that arm"
        ]
    return []


def unfit_starts(cell: Cell) -> Iterator[str]:
    """Yield why the start of a cell's structure does not fit its `training.start_from`, each one sentence."""
    structure, start = cell.structure, cell.training.start_from
    if not isinstance(structure, SparseTrainingParameters):
        return
    if structure.start in ("kept", "kept_units") and start is None:
        yield (
            f"structure.start: {structure.start} takes the masks of other networks; give "
            "training: {start_from: <sweep>.<arm>}"
        )
    if start is not None and structure.initial_scale == "fan_in" and structure.start != "kept_units":
        yield "structure.initial_scale: fan_in would scale weights that are trained already; give initial_scale: dense"


def _differences(cell: Cell, base: Cell) -> str:
    """Return the fields in which the first network of a cell differs from the last one of a base; "" if in none."""
    first, last = cell.model, dense_model(base)
    if first.name != last.name:
        return f"model: {first.name} here, {last.name} there"
    values, base_values = first.canonical(), last.canonical()
    return ", ".join(
        f"{key}: {spelled(value)} here, {spelled(base_values[key])} there"
        for key, value in values.items()
        if key not in MAY_DIFFER and value != base_values[key]
    )


def dense_model(cell: Cell) -> ModelParameters:
    """Return the model that training starts with, with dense weights where connections alone are stored."""
    return cell.trained_model().masked_form(cell.task())[0]


def _words(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in values.items())


def _counts(connections: Mapping[str, int]) -> str:
    return ", ".join(f"{number:,} of {name}" for name, number in connections.items())
