"""From the configuration to sweeps, arms, cells and jobs; no torch is loaded here."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from hornlib.cell import Cell, make_cell, parameters_class, validated
from hornlib.config import SECTIONS, Config, Path_, Settings, describe_validation_error, merge, read_config
from hornlib.data.parameters import DataParameters
from hornlib.errors import ConfigError, nearest
from hornlib.jobs import Job, Range, covering_ranges
from hornlib.matching import Match, MatchRequest, matched_widths, parse_match, request_order
from hornlib.parameters import ModelParameters, Parameters
from hornlib.training.parameters import TrainingParameters

__all__ = ["Grid", "Sweep", "read_grid"]


class Sweep(NamedTuple):
    """One sweep: its cells with the arm each belongs to, and its seeds."""

    name: str
    arms: dict[str, str]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Grid:
    """Everything that the configuration asks for.

    Attributes:
        settings: the machine's side (paths, lanes, threads).
        sweeps: by name; `Sweep.arms` maps a cell's name to its arm.
        cells: by name, every cell once, in the order of the configuration.
        seeds: cell name -> the seeds that any sweep wants of it, ascending.
        matches: how near each matched rival came to its target.
        warnings: predictions of trouble, as (key path, sentence).
    """

    settings: Settings
    files: tuple[Path, ...]
    sweeps: dict[str, Sweep]
    cells: dict[str, Cell]
    seeds: dict[str, tuple[int, ...]]
    matches: list[Match] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def jobs(self, present: Mapping[str, Sequence[Range]], cells: Iterable[str] | None = None) -> list[Job]:
        """Return the jobs whose run files together hold the wanted seeds (of `cells`, or of all).

        Args:
            present: the run files there are, as `hornlib.jobs.scan_runs` finds them; they stay as they are.
            cells: names of cells.
        """
        per_job = self.settings.per_job
        return [
            Job(name, seeds)
            for name in (self.cells if cells is None else cells)
            for seeds in covering_ranges(self.seeds[name], present.get(name, ()), per_job)
        ]

    def run_path(self, job: Job) -> Path:
        """Return where the job's run file belongs."""
        return Path(self.settings.results) / "runs" / job.file_name


def read_grid(files: Sequence[str | Path]) -> Grid:
    """Read the configuration and expand it.

    Raises:
        ConfigError: naming file, line, key, what was found and what is valid.
    """
    return expand(read_config(files))


def expand(config: Config) -> Grid:
    """Expand every sweep into its cells, merge equal cells, and unite the seeds that are wanted of them."""
    grid = Grid(config.settings, config.files, {}, {}, {})
    wanted: dict[str, set[int]] = {}
    for name, content in config.sweeps.items():
        arms: dict[str, str] = {}
        for arm, cell, path in _Expansion(config, name, content, grid).members():
            if arms.setdefault(cell.name, arm) != arm:
                both = f"{arms[cell.name]!r} and {arm!r}"
                raise config.error(path, f"the arms {both} contain the same cell {cell.name}; take it out of one")
            known = grid.cells.setdefault(cell.name, cell)
            if known is not cell and known.changed() != cell.changed():
                raise config.error(path, f"two cells share the name {cell.name}; change any one value of either")
            wanted.setdefault(cell.name, set()).update(content["seeds"])
        grid.sweeps[name] = Sweep(name, arms, content["seeds"])
    grid.seeds.update({name: tuple(sorted(seeds)) for name, seeds in wanted.items()})
    return grid


class _Entry(NamedTuple):
    """One mapping of a section, where it stands, and what a model's entry says beside its parameters."""

    values: dict[str, Any]
    path: Path_


class _Candidate(NamedTuple):
    """A cell to be, of one arm; `match` still has to settle its width."""

    arm: str
    cell: Cell
    path: Path_
    match: MatchRequest | None


class _Expansion:
    """One sweep on its way to cells; holds what its parts share while they are settled."""

    def __init__(self, config: Config, sweep: str, content: Mapping[str, Any], grid: Grid) -> None:
        self.config, self.sweep, self.content, self.grid = config, sweep, content, grid
        self.warned: set[tuple[ModelParameters, object]] = set()

    def members(self) -> Iterator[tuple[str, Cell, Path_]]:
        """Yield (arm, cell, key path) of the sweep; an arm's cells are distinct."""
        candidates = [candidate for entry in self._entries("model") for candidate in self._candidates(entry)]
        self._refuse_shared_labels(candidates)
        settled: dict[str, list[Cell]] = {}
        paths = {candidate.arm: candidate.path for candidate in candidates}
        requests = {candidate.arm: candidate.match for candidate in candidates}
        for arm in request_order(requests, lambda arm, message: self.config.error((*paths[arm], "match"), message)):
            mine = [candidate for candidate in candidates if candidate.arm == arm]
            settled[arm] = self._settle(mine, settled)
        for arm in paths:
            for cell in settled[arm]:
                self._check(cell, paths[arm])
                yield arm, cell, paths[arm]

    def _entries(self, section: str) -> list[_Entry]:
        content = self.content.get(section, {})
        base = ("sweeps", self.sweep, section)
        if isinstance(content, list):
            return [_Entry(entry, (*base, index)) for index, entry in enumerate(content)]
        return [_Entry(content, base)]

    def _candidates(self, entry: _Entry) -> Iterator[_Candidate]:
        """Expand one model entry: its own axes times those of data, structure and training."""
        values = dict(entry.values)
        arm = values.pop("arm", None)
        if arm is not None and not (isinstance(arm, str) and arm.isprintable() and 0 < len(arm) <= 64):
            raise self.config.error((*entry.path, "arm"), f"got {arm!r}; a label is a line of 1 to 64 characters")
        request = values.pop("match", None)
        overrides = {section: values.pop(section) for section in SECTIONS if section in values}
        if "name" not in values:
            raise self.config.error(entry.path, "a model needs a `name:`")
        match = None
        if request is not None:
            match = parse_match(request, lambda message: self.config.error((*entry.path, "match"), message))
        variants = {
            section: [
                parameters
                for variant in self._overridden(section, overrides.get(section), entry.path)
                for parameters in self._variants(section, variant)
            ]
            for section in ("data", "structure", "training")
        }
        models = list(self._variants("model", _Entry(values, entry.path)))
        for data, model, structure, training in itertools.product(
            variants["data"], models, variants["structure"], variants["training"]
        ):
            assert isinstance(data, DataParameters) and isinstance(model, ModelParameters)
            assert isinstance(training, TrainingParameters)
            cell = make_cell(data, model, structure, training)
            yield _Candidate(arm or model.name, cell, entry.path, match)

    def _overridden(self, section: str, override: Any, path: Path_) -> list[_Entry]:
        """Return the section's entries with a model entry's own values merged over each."""
        entries = self._entries(section)
        if override is None:
            return entries
        overrides = override if isinstance(override, list) else [override]
        if not overrides or not all(isinstance(values, dict) for values in overrides):
            raise self.config.error((*path, section), f"expected parameters of {section}, found {override!r}")
        return [
            _Entry(merge({section: entry.values}, {section: values})[section], (*path, section))
            for entry in entries
            for values in overrides
        ]

    def _variants(self, section: str, entry: _Entry) -> list[Parameters]:
        """Return the parameter objects of one entry: every list is an axis."""
        axes = {}
        for key, value in entry.values.items():
            if isinstance(value, list):
                self._check_axis(value, (*entry.path, key))
            if isinstance(value, dict):
                tuned = "; this version does not tune yet" if "tune" in value else ""
                raise self.config.error((*entry.path, key), f"expected a value or a list, found a mapping{tuned}")
            axes[key] = value if isinstance(value, list) else [value]
        return [
            self._validated(section, dict(zip(axes, point, strict=True)), entry.path)
            for point in itertools.product(*axes.values())
        ]

    def _check_axis(self, values: list[Any], path: Path_) -> None:
        if not values:
            raise self.config.error(path, "the list is empty; an axis needs at least one value")
        seen: list[Any] = []
        for value in values:
            if isinstance(value, list | dict):
                raise self.config.error(path, f"{value!r} within an axis; list-valued parameters are written 32-64-128")
            if any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in seen):
                raise self.config.error(path, f"the value {value!r} stands twice in the list")
            seen.append(value)

    def _validated(self, section: str, values: dict[str, Any], path: Path_) -> Parameters:
        try:
            return validated(section, values)
        except ValidationError as error:
            owner = f"model {values['name']}" if section == "model" else section
            fields = tuple(parameters_class(section, values.get("name", "static")).model_fields)
            if section == "model":
                fields = (*fields, "arm", "match", *(other for other in SECTIONS if other != "model"))
            messages = [
                str(self.config.error((*path, *key), message))
                for key, message in describe_validation_error(error, fields, owner)
            ]
            raise ConfigError("\n".join(messages)) from None
        except ValueError as error:
            raise self.config.error((*path, "name"), str(error)) from None

    def _refuse_shared_labels(self, candidates: Sequence[_Candidate]) -> None:
        """An arm is one entry; on one dataset its cells are compared as one, so the label is not shared."""
        owners: dict[str, Path_] = {}
        for candidate in candidates:
            if owners.setdefault(candidate.arm, candidate.path) != candidate.path:
                raise self.config.error(
                    candidate.path, f"the arm {candidate.arm!r} is given twice in this sweep; add `arm: <label>` to one"
                )

    def _settle(self, candidates: Sequence[_Candidate], settled: Mapping[str, list[Cell]]) -> list[Cell]:
        """Return an arm's distinct cells, each matched rival at the nearest width for every distinct target."""
        cells: dict[str, Cell] = {}
        for candidate in candidates:
            if candidate.match is None:
                found = [candidate.cell]
            else:
                found = self._matched(candidate, candidate.match, settled)
            cells.update((cell.name, cell) for cell in found)
        return list(cells.values())

    def _matched(
        self, candidate: _Candidate, request: MatchRequest, settled: Mapping[str, list[Cell]]
    ) -> list[Cell]:
        path = (*candidate.path, "match")
        if request.to not in settled:
            raise self.config.error(
                path, f"there is no arm {request.to!r}{nearest(request.to, settled)}; valid: {', '.join(settled)}"
            )
        cell = candidate.cell
        widths, matches = matched_widths(self.sweep, candidate.arm, cell, request, settled[request.to])
        if not widths:
            raise self.config.error(path, f"the arm {request.to!r} has no cell on {cell.data.name}")
        known = set(self.grid.matches)
        self.grid.matches.extend(match for match in dict.fromkeys(matches) if match not in known)
        return [make_cell(cell.data, cell.model.with_width(width), cell.structure, cell.training) for width in widths]

    def _check(self, cell: Cell, path: Path_) -> None:
        """Check what no parameter class can know alone: model against data, stability, augmentation."""
        model, data = cell.model, cell.data
        if data.presentation not in model.presentations:
            raise self.config.error(
                path,
                f"{model.name} does not take the presentation {data.presentation!r} of {data.name}; "
                f"valid: {', '.join(model.presentations)}",
            )
        task = cell.task()
        if (model, task) in self.warned:
            return
        self.warned.add((model, task))
        for problem in model.problems(task):
            raise self.config.error(path, problem)
        for warning in model.warnings(task):
            if self.config.settings.strict_stability:
                raise self.config.error(path, f"{warning} (strict_stability is on)")
            self.grid.warnings.append(str(self.config.error(path, f"{cell.name}: {warning}")))
