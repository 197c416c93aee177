"""Readable labels of cells: the arm and the values that vary within it, `horn (num_nodes 8, learning_rate 0.01)`."""

from collections import Counter
from collections.abc import Sequence

from hornlib.grid.cell import Cell
from hornlib.grid.grid import Grid, Sweep
from hornlib.parameters import Value

__all__ = ["labels_of"]

SECTION_NAMES = {"data": "dataset", "model": "model", "structure": "structure"}
"""Word in a label for the field `name` of a section."""

Key = tuple[str, str]
"""Section and field: ("model", "num_nodes")."""


def labels_of(grid: Grid, sweep: Sweep | str) -> dict[str, str]:
    """Return the label of every cell of a sweep, in the order of the configuration.

    A label has the arm and, in parentheses, the parameters whose values differ between the cells of that arm. Tuned
    parameters are left out, so that a label is the same before and after the choice; the label names the objective of
    the choice instead. Labels are unique within the sweep: where two cells would share one, the digits of the cell's
    name follow it.

    Args:
        grid: cells and sweeps.
        sweep: the sweep, or its name.

    Returns:
        Name of the cell -> its label.
    """
    sweep = grid.sweeps[sweep] if isinstance(sweep, str) else sweep
    cells_by_arm: dict[str, list[str]] = {}
    for cell, arm in sweep.arms.items():
        cells_by_arm.setdefault(arm, []).append(cell)
    labels: dict[str, str] = {}
    for arm, names in cells_by_arm.items():
        labels.update(zip(names, _labels_of_arm(arm, [grid.cells[name] for name in names]), strict=True))
    uses = Counter(labels.values())
    return {
        cell: labels[cell] if uses[labels[cell]] == 1 else f"{labels[cell]} {cell.rpartition('-')[2]}"
        for cell in sweep.arms
    }


def _labels_of_arm(arm: str, cells: Sequence[Cell]) -> list[str]:
    described = [_described(cell) for cell in cells]
    keys = _varying_keys(described)
    is_tuned = any(cell.tuned for cell in cells)
    labels = []
    for cell, values in zip(cells, described, strict=True):
        words = [f"{_word(key)} {values[key]}" for key in keys if key in values]
        if is_tuned:
            words.append(f"tuned for {cell.selected_for}" if cell.tuned else "not tuned")
        labels.append(f"{arm} ({', '.join(words)})" if words else arm)
    return labels


def _described(cell: Cell) -> dict[Key, str]:
    """Return the parameters of a cell as a label spells them, without those that are tuned."""
    tuned = cell.tuned.ranges if cell.tuned else {}
    return {
        (section, field): _spelled(value)
        for section, parameters in cell.sections().items()
        for field, value in parameters.canonical().items()
        if f"{section}.{field}" not in tuned
    }


def _varying_keys(described: Sequence[dict[Key, str]]) -> list[Key]:
    """Return the keys with several values, without those that follow from the `name` of their section."""
    keys = dict.fromkeys(key for values in described for key in values)
    varying = [key for key in keys if len({values[key] for values in described if key in values}) > 1]
    return [key for key in varying if key[1] == "name" or not _follows_from_name(key, described)]


def _follows_from_name(key: Key, described: Sequence[dict[Key, str]]) -> bool:
    """Return whether cells that share the `name` of the key's section share its value."""
    name = (key[0], "name")
    pairs = {(values.get(name), values[key]) for values in described if key in values}
    return len(pairs) == len({section_name for section_name, _ in pairs})


def _word(key: Key) -> str:
    section, field = key
    return SECTION_NAMES[section] if field == "name" else field


def _spelled(value: Value) -> str:
    """Return a value as the configuration spells it; a float as short as it can be read back."""
    if value is None:
        return "null"
    if isinstance(value, float):
        return short if float(short := f"{value:g}") == value else repr(value)
    return str(value)
