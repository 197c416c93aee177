"""One sweep on its way to cells: entries, axes, arms, matches; every mistake named by key and line."""

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from pydantic import ValidationError

from hornlib.cell import Cell, make_cell, parameters_class, validated
from hornlib.config import SECTIONS, Config, merge
from hornlib.data.parameters import DataParameters
from hornlib.errors import ConfigError
from hornlib.matching import (
    Match,
    MatchRequest,
    Sizes,
    count,
    nearest_width,
    parse_match,
    request_order,
    target_sizes,
    where,
)
from hornlib.parameters import ModelParameters, Parameters
from hornlib.training.parameters import TrainingParameters
from hornlib.validation import describe_validation_error, said
from hornlib.yaml_file import KeyPath

__all__ = ["Caution", "Expansion", "Member"]

MOST_CELLS = 100_000
"""More cells of one entry are a slip of the pen: a product of axes that nobody could train, or plan."""

OVERRIDES = tuple(section for section in SECTIONS if section != "model")
ENTRY_KEYS = ("arm", "match", *OVERRIDES)


class Caution(NamedTuple):
    """A prediction of trouble that may still be trained, e.g. an unstable oscillator.

    Attributes:
        sweep, arm, cell: where it was found first.
        place: the key, with file and line.
        sentence: what is predicted.
    """

    sweep: str
    arm: str
    cell: str
    place: str
    sentence: str


class Member(NamedTuple):
    """A cell of a sweep, the arm it belongs to, and the key that asks for it."""

    arm: str
    cell: Cell
    path: KeyPath


class _Entry(NamedTuple):
    """One mapping of a section, and where it stands."""

    values: Mapping[str, Any]
    path: KeyPath


class _Arm(NamedTuple):
    """One label: its entry's place, its cells, and the match that still has to settle their width."""

    path: KeyPath
    match: MatchRequest | None
    cells: list[Cell]


class Expansion:
    """One sweep's expansion; `members` yields the cells, `matches` and `cautions` are filled on the way."""

    def __init__(self, config: Config, sweep: str) -> None:
        self.config, self.sweep = config, sweep
        self.matches: dict[Match, None] = {}  # a set that keeps the order
        self.cautions: list[Caution] = []
        self._checked: set[tuple[ModelParameters, DataParameters]] = set()

    def members(self) -> Iterator[Member]:
        """Yield the sweep's cells, arm by arm in the order of the configuration; an arm's are distinct."""
        arms: dict[str, _Arm] = {}
        for entry in self._entries("model"):
            self._add_arms(entry, arms)
        requests = {label: arm.match for label, arm in arms.items()}
        settled: dict[str, list[Cell]] = {}
        for label in request_order(
            requests, lambda label, message: self._error((*arms[label].path, "match"), message)
        ):
            cells = self._matched(label, arms[label], settled)
            settled[label] = list({cell.name: cell for cell in cells}.values())
        for label, arm in arms.items():
            for cell in settled[label]:
                self._check(label, cell, arm.path)
                yield Member(label, cell, arm.path)

    def _error(self, path: KeyPath, message: str) -> ConfigError:
        return self.config.error(path, message)

    def _entries(self, section: str) -> list[_Entry]:
        content = self.config.sweeps[self.sweep].get(section, {})
        path = ("sweeps", self.sweep, section)
        if isinstance(content, list):
            return [_Entry(entry, (*path, index)) for index, entry in enumerate(content)]
        return [_Entry(content, path)]

    def _add_arms(self, entry: _Entry, arms: dict[str, _Arm]) -> None:
        """Expand one model entry: its own axes times those of data, structure and training."""
        values = dict(entry.values)
        given = {key: values.pop(key) for key in ENTRY_KEYS if key in values}
        if "name" not in values:
            raise self._error(entry.path, "a model needs a `name:`")
        label = self._label(given.get("arm"), entry.path)
        match = None
        if "match" in given:
            match = parse_match(given["match"], lambda message: self._error((*entry.path, "match"), message))
        models = self._variants("model", _Entry(values, entry.path))
        others = [self._section(section, given.get(section), entry.path) for section in OVERRIDES]
        self._refuse_too_many(math.prod(map(len, [models, *others])), entry.path)
        for model in cast(list[ModelParameters], models):
            name = label or model.name
            if arms.setdefault(name, _Arm(entry.path, match, [])).path != entry.path:
                twice = f"the arm {name!r} is given twice in this sweep"
                raise self._error(entry.path, f"{twice}; add `arm: <label>` to one of them")
        for data, model, structure, training in itertools.product(others[0], models, others[1], others[2]):
            cell = make_cell(
                cast(DataParameters, data),
                cast(ModelParameters, model),
                structure,
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
            raise self._error((*path, "arm"), f"got {said(label)}; {valid}")
        return cast(str, label)

    def _section(self, section: str, override: object, path: KeyPath) -> list[Parameters]:
        """Return the distinct points of a section, a model entry's own values merged over each entry."""
        entries = self._entries(section)
        if override is not None:
            overrides = override if isinstance(override, list) else [override]
            if not overrides or not all(isinstance(values, dict) for values in overrides):
                raise self._error(
                    (*path, section), f"expected parameters of {section}, found {said(override)}"
                )
            entries = [
                _Entry(merge({section: entry.values}, {section: values})[section], (*path, section))
                for entry in entries
                for values in overrides
            ]
        points = [(point, entry.path) for entry in entries for point in self._variants(section, entry)]
        distinct: dict[Parameters, KeyPath] = {}
        for point, where_from in points:
            if distinct.setdefault(point, where_from) != where_from and override is None:
                raise self._error(where_from, f"another entry of {section} says the same; take it out of one")
        return list(distinct)

    def _variants(self, section: str, entry: _Entry) -> list[Parameters]:
        """Return the parameter objects of one entry: every list is an axis."""
        axes: dict[str, list[Any]] = {}
        for key, value in entry.values.items():
            if isinstance(value, dict):
                tuned = "; this version does not tune yet" if "tune" in value else ""
                raise self._error((*entry.path, key), f"expected a value or a list, found a mapping{tuned}")
            if isinstance(value, list):
                self._check_axis(value, (*entry.path, key))
            axes[key] = value if isinstance(value, list) else [value]
        self._refuse_too_many(math.prod(map(len, axes.values())), entry.path)
        points = [
            self._validated(section, dict(zip(axes, point, strict=True)), entry.path)
            for point in itertools.product(*axes.values())
        ]
        if len(set(points)) < len(points):
            raise self._error(
                entry.path, "a value stands twice in a list, spelt in two ways; take one of them out"
            )
        return points

    def _check_axis(self, values: Sequence[Any], path: KeyPath) -> None:
        if not values:
            raise self._error(path, "the list is empty; an axis needs at least one value")
        seen: set[tuple[bool, Any]] = set()
        for value in values:
            if isinstance(value, list | dict):
                written = "a list-valued parameter is written 32-64-128"
                raise self._error(path, f"{said(value)} within an axis; {written}")
            if (isinstance(value, bool), value) in seen:
                raise self._error(path, f"the value {said(value)} stands twice in the list")
            seen.add((isinstance(value, bool), value))

    def _refuse_too_many(self, number: int, path: KeyPath) -> None:
        if number > MOST_CELLS:
            raise self._error(path, f"its axes make {number:,} cells; {MOST_CELLS:,} at most")

    def _validated(self, section: str, values: Mapping[str, Any], path: KeyPath) -> Parameters:
        try:
            return validated(section, values)
        except ValidationError as error:
            owner = f"model {values['name']}" if section == "model" else section
            fields = tuple(parameters_class(section, values.get("name", "static")).model_fields)
            fields += ENTRY_KEYS if section == "model" else ()
            messages = [
                str(self._error((*path, *key), message))
                for key, message in describe_validation_error(error, fields, owner)
            ]
            raise ConfigError("\n".join(messages)) from None
        except ValueError as error:
            raise self._error((*path, "name"), str(error)) from None

    def _matched(self, label: str, arm: _Arm, settled: Mapping[str, list[Cell]]) -> Iterator[Cell]:
        """Yield the arm's cells; a matched rival once for every distinct size of its target on its data."""
        if arm.match is None:
            yield from arm.cells
            return
        sizes: Sizes = target_sizes(settled[arm.match.to], arm.match.by)
        for cell in arm.cells:
            path = (*arm.path, "match")
            if where(cell) not in sizes:
                data = (
                    cell.data.name if cell.data.image_size is None else f"{cell.data.name} at that image_size"
                )
                raise self._error(path, f"the arm {arm.match.to!r} has no cell on {data}")
            for size in sizes[where(cell)]:
                try:
                    match = self._nearest(label, arm.match, cell, size)
                except ValueError as error:
                    raise self._error(path, str(error)) from None
                self.matches[match] = None
                model = cell.model.with_width(match.width)
                yield make_cell(cell.data, model, cell.structure, cell.training)

    def _nearest(self, label: str, request: MatchRequest, cell: Cell, size: int) -> Match:
        task = cell.task()
        width = nearest_width(cell.model, task, request.by, size)
        reached = count(cell.model.with_width(width), task, request.by)
        return Match(self.sweep, cell.data.name, label, request.to, request.by, width, size, reached)

    def _check(self, label: str, cell: Cell, path: KeyPath) -> None:
        """Check what no parameter class can know alone: model against data, stability."""
        model, data = cell.model, cell.data
        if (model, data) in self._checked:
            return
        self._checked.add((model, data))
        if data.presentation not in model.presentations:
            raise self._error(
                path,
                f"{model.name} does not take the presentation {data.presentation!r} of {data.name}; "
                f"valid: {', '.join(model.presentations)}",
            )
        task = cell.task()
        for problem in model.problems(task):
            raise self._error(path, problem)
        for warning in model.warnings(task):
            if self.config.settings.strict_stability:
                raise self._error(path, f"{warning} (strict_stability is on)")
            place = str(self._error(path, label))
            self.cautions.append(Caution(self.sweep, label, cell.name, place, warning))
