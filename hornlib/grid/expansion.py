"""The expansion of one sweep into cells: entries, axes, arms and matches; mistakes are named by key and line."""

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, cast

from hornlib.config.messages import spelled
from hornlib.config.reading import Config, merge
from hornlib.config.yaml_file import KeyPath
from hornlib.data.parameters import DataParameters
from hornlib.errors import ConfigError, nearest
from hornlib.grid.axes import ENTRY_KEYS, OVERRIDES, expand_axes, refuse_too_many
from hornlib.grid.cell import Cell, add_cell, changed_json, make_cell
from hornlib.grid.evolution import match_refusal
from hornlib.grid.matching import (
    Match,
    MatchRequest,
    Network,
    Sizes,
    count,
    nearest_width,
    network_of,
    parse_match,
    request_order,
    target_sizes,
    where,
)
from hornlib.grid.refusals import presentation_refusal, refusals, warnings
from hornlib.grid.routes import uncovered
from hornlib.grid.starting import given_arm, started
from hornlib.grid.tuned_arms import plain_content
from hornlib.parameters import ModelParameters, Parameters
from hornlib.parameters.structure import StructureParameters
from hornlib.parameters.training import TrainingParameters

__all__ = ["Caution", "Expansion", "Expansions", "Member"]


class Caution(NamedTuple):
    """A warning about a cell that may be trained all the same, such as an unstable oscillator.

    Attributes:
        sweep, arm, cell: what the warning is about. For a whole sweep the arm is "" and the cell is one of its cells.
        place: the key, with file and line.
        sentence: the warning.
    """

    sweep: str
    arm: str
    cell: str
    place: str
    sentence: str


class Member(NamedTuple):
    """A cell of a sweep, the label of its arm, and the key path of the entry that it comes from."""

    arm: str
    cell: Cell
    path: KeyPath


class _Entry(NamedTuple):
    """One mapping of a section, and its key path."""

    values: Mapping[str, Any]
    path: KeyPath


class _Arm(NamedTuple):
    """One arm: the key path of its entry, the match that decides the width of its cells, and its cells."""

    path: KeyPath
    match: MatchRequest | None
    cells: list[Cell]


class Expansion:
    """The expansion of one sweep.

    Args:
        config: the configuration.
        sweep: name of the sweep.
        cells_of: returns the cells of an arm of any sweep, for arms that start from its weights.

    Attributes:
        matches: how near each matched rival came to its target; filled while `members` is read.
        cautions: warnings about the cells; filled in the same way.
    """

    def __init__(self, config: Config, sweep: str, cells_of: Callable[[str, str], list[Cell]]) -> None:
        self.config, self.sweep, self.cells_of_any = config, sweep, cells_of
        self.content = config.sweeps[sweep]
        if "tuning" in self.content:
            self.content = plain_content(config, sweep)
        self.matches: dict[Match, None] = {}  # a set that keeps the order
        self.cautions: list[Caution] = []
        self._settled: dict[str, list[Cell]] = {}
        self._pending: list[str] = []

    def members(self) -> Iterator[Member]:
        """Yield the sweep's cells, arm by arm in the order of the configuration, each cell once."""
        for label in self._order(self.arms):
            self.cells_of(label)
        yield from self._owned(self.arms, self._settled)

    @cached_property
    def arms(self) -> dict[str, _Arm]:
        """The arms by their labels, before matches and starts are resolved; each is matched to an arm that exists."""
        arms: dict[str, _Arm] = {}
        for entry in self._entries("model"):
            self._add_arms(entry, arms)
        self._order(arms)
        return arms

    def _order(self, arms: Mapping[str, _Arm]) -> list[str]:
        return request_order(
            {label: arm.match for label, arm in arms.items()},
            lambda label, message: self._error((*arms[label].path, "match"), message),
        )

    def cells_of(self, label: str) -> list[Cell]:
        """Return the cells of an arm; cells that it is matched to, or starts from, are settled first.

        Args:
            label: of an arm of this sweep.

        Raises:
            ConfigError: a cell that cannot be trained, or an arm that would start from itself.
        """
        if label not in self._settled:
            arm = self.arms[label]
            if label in self._pending:
                raise self._error(
                    self.start_path(arm.path), f"the arm {label!r} would start from its own weights"
                )
            self._pending.append(label)
            self._settled[label] = self._cells_of(label, arm)
            self._pending.remove(label)
        return self._settled[label]

    def _owned(self, arms: Mapping[str, _Arm], settled: Mapping[str, list[Cell]]) -> Iterator[Member]:
        """Yield every cell once, under the first arm that has it; only a match may lead to a cell of another arm."""
        owners: dict[str, str] = {}
        for label, arm in arms.items():
            for cell in settled[label]:
                owner = owners.setdefault(cell.name, label)
                if owner == label:
                    yield Member(label, cell, arm.path)
                elif arm.match or arms[owner].match:
                    sentence = f"counts under the arm {owner!r}, which has it too"
                    self._caution(label, cell, (*arm.path, "match"), sentence)
                else:
                    shared = f"the arms {owner!r} and {label!r} share the cell {cell.name}"
                    raise self._error(arm.path, f"{shared}; take it out of one")

    def _error(self, path: KeyPath, message: str) -> ConfigError:
        return self.config.error(path, message)

    def _entries(self, section: str) -> list[_Entry]:
        content = self.content.get(section, {})
        path = ("sweeps", self.sweep, section)
        if isinstance(content, list):
            return [_Entry(entry, (*path, index)) for index, entry in enumerate(content)]
        return [_Entry(content, path)]

    def _add_arms(self, entry: _Entry, arms: dict[str, _Arm]) -> None:
        """Expand one entry of `model`: its axes times the axes of data, structure and training."""
        values = dict(entry.values)
        given = {key: values.pop(key) for key in ENTRY_KEYS if key in values}
        if "name" not in values:
            raise self._error(entry.path, "a model needs a `name:`")
        label = self._label(given.get("arm"), entry.path)
        match = None
        if "match" in given:
            match = parse_match(given["match"], lambda message: self._error((*entry.path, "match"), message))
        models = self._points("model", _Entry(values, entry.path))
        others = [self._section(section, given, entry.path) for section in OVERRIDES]
        refuse_too_many(self.config, math.prod(map(len, [models, *others])), entry.path)
        for name in dict.fromkeys(label or cast(ModelParameters, model).name for model in models):
            if arms.setdefault(name, _Arm(entry.path, match, [])).path != entry.path:
                twice = f"the arm {name!r} is given twice in this sweep"
                raise self._error(entry.path, f"{twice}; add `arm: <label>` to one of them")
        self._check_presentations(others[0], models, entry.path)
        for data, model, structure, training in itertools.product(others[0], models, others[1], others[2]):
            cell = make_cell(
                cast(DataParameters, data),
                cast(ModelParameters, model),
                cast(StructureParameters, structure),
                cast(TrainingParameters, training),
            )
            arms[label or cell.model.name].cells.append(cell)

    def _label(self, label: object, path: KeyPath) -> str | None:
        if label is None:
            return None
        is_line = (
            isinstance(label, str) and label.isprintable() and label == label.strip() and 0 < len(label) <= 64
        )
        if not is_line or set("/\\") & set(cast(str, label)) or cast(str, label).startswith("."):
            valid = "a label is a line of 1 to 64 characters, without / or \\, that does not begin with a dot"
            raise self._error((*path, "arm"), f"got {spelled(label)}; {valid}")
        return cast(str, label)

    def _section(self, section: str, given: Mapping[str, Any], path: KeyPath) -> list[Parameters]:
        """Return the distinct points of a section, a model entry's override merged over each entry.

        Two equal entries of a list are a mistake. It is no mistake if an override makes two entries below it equal.

        Args:
            section: data, structure or training.
            given: what a model's entry says beside the model's parameters.
            path: where the model's entry stands.
        """
        entries = self._entries(section)
        groups = [entries]
        if section in given:
            override = given[section]
            overrides = override if isinstance(override, list) else [override]
            if not overrides or not all(isinstance(values, dict) for values in overrides):
                raise self._error(
                    (*path, section), f"expected parameters of {section}, found {spelled(override)}"
                )
            here = (*path, section)
            groups = [
                [
                    _Entry(
                        merge({section: entry.values}, {section: values})[section],
                        (*here, index) if isinstance(override, list) else here,
                    )
                    for index, values in enumerate(overrides)
                ]
                for entry in entries
            ]
        distinct: dict[str, Parameters] = {}
        for group in groups:
            for name, point in self._distinct(section, group).items():
                distinct.setdefault(name, point)
        return list(distinct.values())

    def _distinct(self, section: str, entries: Sequence[_Entry]) -> dict[str, Parameters]:
        """Return the points of neighbouring entries by their hashed content; no two entries may have the same point."""
        distinct: dict[str, Parameters] = {}
        owners: dict[str, KeyPath] = {}
        for entry in entries:
            for point in self._points(section, entry):
                name = changed_json(point)
                if owners.setdefault(name, entry.path) != entry.path:
                    raise self._error(
                        entry.path, f"another entry of {section} says the same; take it out of one"
                    )
                distinct[name] = point
        return distinct

    def _points(self, section: str, entry: _Entry) -> list[Parameters]:
        return expand_axes(self.config, section, entry.values, entry.path)

    def _cells_of(self, label: str, arm: _Arm) -> list[Cell]:
        cells: dict[str, Cell] = {}
        for matched in self._matched(label, arm):
            for cell in self._started(arm, matched):
                try:
                    add_cell(cells, cell)
                except ValueError as error:
                    raise self._error(arm.path, str(error)) from None
        for cell in cells.values():
            self._check(label, cell, arm.path)
        return list(cells.values())

    def _started(self, arm: _Arm, cell: Cell) -> Iterator[Cell]:
        """Yield the cell, or one for every cell of the arm whose weights it starts from."""
        given = None if cell.training.start_from is None else given_arm(cell.training.start_from)
        if given is None:
            yield cell
            return

        def error(message: str) -> ConfigError:
            return self._error(self.start_path(arm.path), message)

        try:
            bases = self.cells_of_any(*given)
        except ValueError as unknown:
            raise error(str(unknown)) from None
        yield from started(cell, bases, error)

    def start_path(self, entry: KeyPath) -> KeyPath:
        """Return where `start_from` of an arm stands: in the arm's entry, or in the training of the sweep.

        Args:
            entry: where the arm's entry stands.
        """
        path = (*entry, "training", "start_from")
        return path if self.config.is_given(path) else ("sweeps", self.sweep, "training", "start_from")

    def _matched(self, label: str, arm: _Arm) -> Iterator[Cell]:
        """Yield the arm's cells; of a matched arm one cell for every distinct size of its target on the same data."""
        if arm.match is None:
            yield from arm.cells
            return
        path, targets = (*arm.path, "match"), self.cells_of(arm.match.to)
        for target in targets:
            for problem in target.structure.match_problems():
                raise self._error(path, f"to: {arm.match.to}: {problem}")
            if refusal := match_refusal(target.model):
                raise self._error(path, f"to: {arm.match.to}: {refusal}")
        for rival in arm.cells:
            for problem in rival.structure.rival_problems():
                raise self._error(path, problem)
            if refusal := match_refusal(rival.model):
                raise self._error(path, refusal)
        sizes: Sizes = target_sizes(targets, arm.match.by)
        for cell in arm.cells:
            if where(cell) not in sizes:
                data = (
                    cell.data.name if cell.data.image_size is None else f"{cell.data.name} at that image_size"
                )
                raise self._error(path, f"the arm {arm.match.to!r} has no cell on {data}")
            for network in sizes[where(cell)].values():
                try:
                    match = self._nearest(label, arm.match, cell, network)
                except ValueError as error:
                    raise self._error(path, str(error)) from None
                self.matches[match] = None
                model = cell.model.with_width(match.width)
                yield make_cell(cell.data, model, cell.structure, cell.training)

    def _nearest(self, label: str, request: MatchRequest, cell: Cell, target: Network) -> Match:
        network, wanted = network_of(cell), count(target, request.by)
        width = nearest_width(network, request.by, wanted)
        rival = network.with_width(width)
        reached = count(rival, request.by)
        return Match(self.sweep, cell.data.name, label, *request, width, wanted, reached, target, rival)

    def _check_presentations(
        self, data: Sequence[Parameters], models: Sequence[Parameters], path: KeyPath
    ) -> None:
        """Check that every model takes every presentation, since closed forms count only what a model takes."""
        presentations = {
            (point.name, point.presentation): point for point in cast(list[DataParameters], data)
        }
        for model in cast(list[ModelParameters], models):
            for point in presentations.values():
                refusal = presentation_refusal(model, point)
                if refusal is not None:
                    raise self._error(path, refusal)

    def _check(self, label: str, cell: Cell, path: KeyPath) -> None:
        """Check the sections of a cell together: whether it can be trained as asked, and whether it is stable."""
        for refusal in refusals(cell):
            raise self._error(path, refusal)
        if self.config.settings.kernel == "fused" and (parameter := uncovered(cell)):
            raise self._error(
                path,
                f"kernel: fused, but no fused kernel covers {parameter} of the arm {label!r}; give it another value, "
                "or write `kernel: auto`, which takes a loop for this arm",
            )
        for warning in warnings(cell):
            if self.config.settings.strict_stability:
                raise self._error(path, f"{warning} (strict_stability is on)")
            self._caution(label, cell, path, warning)

    def _caution(self, label: str, cell: Cell, path: KeyPath, sentence: str) -> None:
        self.cautions.append(Caution(self.sweep, label, cell.name, str(self._error(path, label)), sentence))


class Expansions:
    """The expansions of all sweeps, each made when it is first asked for.

    Args:
        config: the configuration.
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._made: dict[str, Expansion] = {}

    def of(self, sweep: str) -> Expansion:
        """Return the expansion of a sweep."""
        if sweep not in self._made:
            self._made[sweep] = Expansion(self.config, sweep, self.cells_of)
        return self._made[sweep]

    def cells_of(self, sweep: str, arm: str) -> list[Cell]:
        """Return the cells of an arm whose weights another arm starts from.

        Args:
            sweep, arm: as `training.start_from` gives them.

        Raises:
            ValueError: there is no such sweep or arm, or the sweep is tuned.
        """
        sweeps = self.config.sweeps
        if sweep not in sweeps:
            raise ValueError(
                f"there is no sweep {spelled(sweep)}{nearest(sweep, sweeps)}; valid: {', '.join(sweeps)}"
            )
        if sweeps[sweep].get("tuning"):
            raise ValueError(f"the sweep {sweep} is tuned; start from an arm of a sweep without `tuning:`")
        expansion = self.of(sweep)
        if arm not in expansion.arms:
            valid = list(expansion.arms)
            raise ValueError(
                f"the sweep {sweep} has no arm {spelled(arm)}{nearest(arm, valid)}; valid: {', '.join(valid)}"
            )
        return expansion.cells_of(arm)
