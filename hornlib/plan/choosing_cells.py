"""Choosing cells of a grid: `--where timesteps=8`, `--sweep thesis`, `--limit 12`; free of torch."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import zip_longest
from typing import Any, NamedTuple

from hornlib.config.messages import spelled
from hornlib.config.yaml_file import parse_scalar
from hornlib.errors import ConfigError, nearest
from hornlib.grid import Grid
from hornlib.grid.cell import Cell
from hornlib.parameters import ModelParameters, Task, Value

__all__ = ["Condition", "Selected", "parse_condition", "select"]


class Selected(NamedTuple):
    """A cell as a member of one arm of one sweep; a cell of two sweeps is selected twice."""

    sweep: str
    arm: str
    cell: Cell


class Condition(NamedTuple):
    """`key=value`: what a cell must have; conditions on the same key are alternatives."""

    key: str
    value: Any


def parse_condition(text: str) -> Condition:
    """Read `key=value`, the value as it would be read in config.yaml.

    Raises:
        ConfigError: there is no `=` or no key.
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(f"--where {text!r}: expected key=value, e.g. timesteps=8")
    return Condition(key.strip(), parse_scalar(value.strip()))


def select(
    grid: Grid, conditions: Sequence[Condition] = (), sweep: str | None = None, limit: int | None = None
) -> list[Selected]:
    """Return the members that meet every condition, in the order of the configuration.

    Args:
        grid: the cells.
        conditions: conditions on a parameter, a derived quantity, or sweep, arm, cell, dataset, model, structure.
        sweep: name of the only sweep to choose from; None for all.
        limit: number of cells of a pilot, taken in turn from each arm; None for all cells.

    Raises:
        ConfigError: a sweep or key that the grid does not have, or a value that no cell has.
    """
    sweeps = list(grid.sweeps.values()) if sweep is None else [grid.sweep(sweep)]
    members = [
        Selected(chosen.name, arm, grid.cells[cell]) for chosen in sweeps for cell, arm in chosen.arms.items()
    ]
    for key in dict.fromkeys(condition.key for condition in conditions):
        wanted = [condition.value for condition in conditions if condition.key == key]
        members = _having(members, key, wanted)
    return members if limit is None else _pilot(members, limit)


def _having(members: Sequence[Selected], key: str, wanted: Sequence[Any]) -> list[Selected]:
    described = [(member, _described(member)) for member in members]
    keys = {name for _, values in described for name in values}
    if key not in keys:
        hint = nearest(key, sorted(keys))
        raise ConfigError(
            f"--where {key}: no cell has this key{hint}; valid: any parameter, {', '.join(_WORDS)}"
        )
    matches = [
        member for member, values in described if any(_equal(values.get(key, ...), one) for one in wanted)
    ]
    if not matches:
        values_of_cells = dict.fromkeys(spelled(values[key]) for _, values in described if key in values)
        listed = ", ".join(list(values_of_cells)[:12]) + (", ..." if len(values_of_cells) > 12 else "")
        raise ConfigError(
            f"--where {key}: no cell has {' or '.join(map(spelled, wanted))}; there are {listed}"
        )
    return matches


_WORDS = ("sweep", "arm", "cell", "dataset", "model", "structure", "selected_for")


def _described(member: Selected) -> dict[str, Value]:
    """Return what a condition may ask of a cell: its words, its parameters, and what follows from them."""
    cell = member.cell
    described: dict[str, Value] = dict(_derived(cell.model, cell.task()))
    for section, parameters in cell.sections().items():
        for key, value in parameters.canonical().items():
            described[f"{section}.{key}"] = value
            if key != "name" and (value is not None or key not in described):
                described[key] = value
    structure = cell.structure.canonical()["name"]
    names = (member.sweep, member.arm, cell.name, cell.data.name, cell.model.name)
    words = (*names, structure, cell.selected_for)
    return described | dict(zip(_WORDS, words, strict=True))


@lru_cache(maxsize=65536)
def _derived(model: ModelParameters, task: Task) -> dict[str, Value]:
    return model.derived(task)


def _equal(has: object, wanted: object) -> bool:
    if isinstance(has, bool) or isinstance(wanted, bool) or has is None or wanted is None:
        return has is wanted
    if isinstance(has, int | float) and isinstance(wanted, int | float):
        return has == wanted
    return str(has) == str(wanted)


def _pilot(members: Sequence[Selected], limit: int) -> list[Selected]:
    """Return the members of `limit` distinct cells, taken in turn from each arm of each sweep."""
    arms: dict[tuple[str, str], list[str]] = {}
    for member in members:
        arms.setdefault((member.sweep, member.arm), []).append(member.cell.name)
    in_turn: Iterable[str | None] = (name for turn in zip_longest(*arms.values()) for name in turn)
    chosen = set(list(dict.fromkeys(name for name in in_turn if name))[:limit])
    return [member for member in members if member.cell.name in chosen]
