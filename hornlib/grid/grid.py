"""From the configuration to sweeps, arms, cells and jobs; no torch is loaded here."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hornlib.config.messages import counted, spelled
from hornlib.config.reading import Config, read_config
from hornlib.config.settings import Settings
from hornlib.config.yaml_file import KeyPath
from hornlib.data.parameters import default_root
from hornlib.errors import ConfigError, nearest
from hornlib.grid.cell import Cell, add_cell, changed_json
from hornlib.grid.expansion import Caution, Expansions, Member
from hornlib.grid.finalists import FinalistStage, finalist_stage
from hornlib.grid.importance import importance_refusal
from hornlib.grid.jobs import Job, Range, TuningJob, covering_ranges, weights_path
from hornlib.grid.matching import Match
from hornlib.grid.starting import start_problems
from hornlib.grid.tuned_arms import ONE_ENTRY, TunedArm, check_ends, ranges_of, tuned_arm, tuned_cells
from hornlib.parameters.statistics import StatisticsSettings, default_subject
from hornlib.parameters.tuning import Ranges, TuningParameters

__all__ = ["Grid", "Sweep", "expand", "read_grid"]


class Sweep(NamedTuple):
    """One sweep of the configuration.

    Attributes:
        name: the name in the configuration.
        arms: name of a cell -> label of its arm, in the order of the configuration.
        seeds: seeds of every cell, ascending.
        statistics: whom the claims are about, and by which rules.
        tuning: the protocol of a tuned sweep, None for any other.
    """

    name: str
    arms: dict[str, str]
    seeds: tuple[int, ...]
    statistics: StatisticsSettings = StatisticsSettings()
    tuning: TuningParameters | None = None

    def first_seeds(self, number: int) -> tuple[int, ...]:
        """Return the first seeds, which a look at this number of seeds judges."""
        return self.seeds[:number]


@dataclass(frozen=True)
class Grid:
    """Everything that the configuration asks for.

    Attributes:
        settings: the machine's side (paths, lanes, threads).
        files: the configuration files.
        sweeps: name -> sweep; `Sweep.arms` maps a cell's name to its arm.
        cells: name -> cell, every cell once, in the order of the configuration.
        seeds: cell name -> the seeds that any sweep trains it with, ascending.
        matches: how near each matched rival came to its target.
        warnings: predictions of trouble, once for each cell of a sweep.
        tuned_arms: name -> arm that is tuned before its cells are trained.
        finalist_stages: name -> second stage of tuning.
    """

    settings: Settings
    files: tuple[Path, ...]
    sweeps: dict[str, Sweep]
    cells: dict[str, Cell]
    seeds: dict[str, tuple[int, ...]]
    matches: list[Match] = field(default_factory=list)
    warnings: list[Caution] = field(default_factory=list)
    tuned_arms: dict[str, TunedArm] = field(default_factory=dict)
    finalist_stages: dict[str, FinalistStage] = field(default_factory=dict)

    def jobs(self, present: Mapping[str, Sequence[Range]], cells: Iterable[str] | None = None) -> list[Job]:
        """Return the jobs whose run files together hold the wanted seeds (of `cells`, or of all).

        Args:
            present: cell name -> ranges of the run files on disk, from `hornlib.grid.jobs.scan_runs`. They are kept.
            cells: names of cells; None for all.
        """
        per_job, starts = self.settings.per_job, self._starts()
        return [
            Job(name, seeds)
            for name in (self.cells if cells is None else cells)
            for seeds in covering_ranges(
                self.seeds[name], present.get(name, ()), per_job, starts.get(name, ())
            )
        ]

    def sweep(self, name: str) -> Sweep:
        """Return the sweep of this name.

        Raises:
            ConfigError: there is no such sweep; the message has the nearest spelling and the valid names.
        """
        if name not in self.sweeps:
            valid = ", ".join(self.sweeps)
            raise ConfigError(
                f"there is no sweep {spelled(name)}{nearest(name, self.sweeps)}; valid: {valid}"
            )
        return self.sweeps[name]

    def _starts(self) -> dict[str, set[int]]:
        """Return the seeds at which a job begins, since a look of a sequential sweep ends before them, by cell."""
        starts: dict[str, set[int]] = {}
        for sweep in self.sweeps.values():
            if begun := {
                seed for look in sweep.statistics.sequential for seed in sweep.seeds[look : look + 1]
            }:
                for name in sweep.arms:
                    starts.setdefault(name, set()).update(begun)
        return starts

    def describe(self, cell: str) -> str:
        """Return a cell in the words of the configuration: sweep, arm, dataset, and what differs from the defaults.

        For the name of a tuned arm or of its finalists, describe its default cell and its trials.
        """
        if cell in self.tuned_arms:
            return self._describe_arm(self.tuned_arms[cell])
        if cell in self.finalist_stages:
            stage = self.finalist_stages[cell]
            finalists = f"best {stage.trials} of {stage.arm.trials} trials x {stage.seeds} seeds"
            return " ".join(
                [self.describe(stage.cell.name), finalists, "for", " and ".join(stage.objectives)]
            )
        described = self.cells[cell]
        sweep = next(sweep for sweep in self.sweeps.values() if cell in sweep.arms)
        sections = (
            ("model", described.model),
            ("structure", described.structure),
            ("training", described.training),
        )
        changed = [
            f"{key}={value}"
            for name, section in sections
            for key, value in section.changed().items()
            if key != "name" and (described.tuned is None or f"{name}.{key}" not in described.tuned.ranges)
        ]
        chosen = [f"tuned for {described.selected_for}"] if described.tuned else []
        return " ".join([sweep.name, sweep.arms[cell], described.data.name, *changed, *chosen])

    def _describe_arm(self, arm: TunedArm) -> str:
        ranges = [
            f"{key} in [{tune_range.low:g}, {tune_range.high:g}]" for key, tune_range in arm.ranges.items()
        ]
        return " ".join([self.describe(arm.cell.name), f"{arm.trials} trials x {arm.seeds} seeds", *ranges])

    def run_path(self, job: Job) -> Path:
        """Return where the job's file belongs: a run file, or the trials of a tuned arm."""
        folder = "tuning" if isinstance(job, TuningJob) else "runs"
        return Path(self.settings.results) / folder / job.file_name

    def weights_path(self, job: Job) -> Path:
        """Return where the job keeps its weights, if the setting `keep_weights` asks for them."""
        return weights_path(self.run_path(job))

    def start_paths(self, job: Job, jobs: Iterable[Job]) -> list[Path]:
        """Return the weights files that a job starts from; none for a job with fresh weights.

        Args:
            job: trains a cell of the grid.
            jobs: jobs of the cell whose name is the job's `training.start_from`.
        """
        start = self.cells[job.cell].training.start_from
        return [
            self.weights_path(base)
            for base in jobs
            if base.cell == start
            and base.range.first <= job.range.last
            and job.range.first <= base.range.last
        ]

    def tuning_job(self, name: str) -> TuningJob:
        """Return the job that tunes an arm, or that trains its finalists."""
        seeds = self._tuning_stage(name).all_seeds()
        return TuningJob(name, Range(seeds[0], seeds[-1]))

    def cell_of(self, job: Job) -> Cell:
        """Return the cell that a job trains; of a tuning job the one with the default values."""
        if not isinstance(job, TuningJob):
            return self.cells[job.cell]
        return self._tuning_stage(job.cell).cell

    def _tuning_stage(self, name: str) -> TunedArm | FinalistStage:
        return self.finalist_stages[name] if name in self.finalist_stages else self.tuned_arms[name]

    def selection_path(self, cell: str) -> Path:
        """Return where the choice for a tuned cell belongs."""
        return Path(self.settings.results) / "selected" / f"{cell}.json"


def read_grid(files: Sequence[str | Path]) -> Grid:
    """Read the configuration and expand it.

    Raises:
        ConfigError: with file, line, key, the value and what is valid; or the environment variable HORNLIB_DATA is no
            path, and a dataset needs it.
    """
    grid = expand(read_config(files))
    if any(cell.data.root is None and cell.data.declaration.needs_files for cell in grid.cells.values()):
        default_root()
    return grid


def expand(config: Config) -> Grid:
    """Expand every sweep into its cells, merge equal cells, and unite the seeds that are wanted of them."""
    grid = Grid(config.settings, config.files, {}, {}, {})
    wanted: dict[str, set[int]] = {}
    expansions = Expansions(config)
    starting: list[tuple[Member, str, KeyPath]] = []
    for name, content in config.sweeps.items():
        arms: dict[str, str] = {}
        ranges = ranges_of(config, name) if content.get("tuning") else None
        expansion = expansions.of(name)
        members = expansion.members()
        if ranges is not None:
            members = _tuned_members(config, name, list(members), ranges, grid)
        for member in members:
            arm, cell, path = member
            arms[cell.name] = arm
            try:
                add_cell(grid.cells, cell)
            except ValueError as error:
                raise config.error(path, str(error)) from None
            _check_importance(config, cell, path)
            wanted.setdefault(cell.name, set()).update(content["seeds"])
            if cell.training.start_from is not None:
                starting.append((member, name, expansion.start_path(path)))
        grid.sweeps[name] = Sweep(name, arms, content["seeds"], content["statistics"], content.get("tuning"))
        grid.matches.extend(expansion.matches)
        grid.warnings.extend(expansion.cautions)
    grid.seeds.update({name: tuple(sorted(seeds)) for name, seeds in wanted.items()})
    for member, name, path in starting:
        for problem in _start_problems(member.cell, name, grid):
            raise config.error(path, problem)
        grid.warnings.append(_start_caution(member, name, str(config.error(path, member.arm))))
    _check_labels(config, grid)
    grid.warnings.extend(_too_few_seeds(config, grid))
    return grid


def _start_problems(cell: Cell, sweep: str, grid: Grid) -> list[str]:
    """Return why a cell cannot start from the weights that its `training.start_from` names, each one sentence.

    Args:
        cell: the cell.
        sweep: name of its sweep.
        grid: all cells, and their seeds.
    """
    name = str(cell.training.start_from)
    if grid.settings.keep_weights == "off":
        return [
            f"{name} keeps no weights; write `keep_weights: last` at the top of the configuration, and train "
            "again what is trained already"
        ]
    if grid.sweeps[sweep].tuning is not None:
        return [
            "trials of a tuned sweep have seeds of their own, from which nothing is kept; leave `tuning:` out"
        ]
    if name not in grid.cells:
        return [
            f"the configuration has no cell {name}{nearest(name, grid.cells)}; `hornlib plan --cells` lists all"
        ]
    missing = [seed for seed in grid.sweeps[sweep].seeds if seed not in grid.seeds[name]]
    if missing:
        return [
            f"seed {missing[0]} starts from the run of the same seed, and {name} has the seeds "
            f"{', '.join(map(str, grid.seeds[name]))}; train it with all seeds of the sweep {sweep}"
        ]
    return start_problems(cell, grid.cells[name])


def _start_caution(member: Member, sweep: str, place: str) -> Caution:
    """Return the warning that some costs of a cell begin at 0.

    Args:
        member: a cell that starts from the weights of another one, and its arm.
        sweep: name of its sweep.
        place: the key, with file and line.
    """
    sentence = (
        f"starts from the weights of {member.cell.training.start_from}: its training FLOPs count on from those, and "
        "its steps, examples and seconds start at 0"
    )
    return Caution(sweep, member.arm, member.cell.name, place, sentence)


def _check_importance(config: Config, cell: Cell, path: KeyPath) -> None:
    """Refuse a cell whose importance is wanted and cannot be measured, with the place of its entry."""
    settings = config.settings.importance
    refusal = None if settings is None else importance_refusal(cell, settings)
    if refusal is not None:
        raise config.error(path, refusal)


def _check_labels(config: Config, grid: Grid) -> None:
    """Refuse a label in `statistics` that names no arm of any sweep to which the key applies.

    Raises:
        ConfigError: with the arms that exist; or a claim whose subject is among its own rivals.
    """
    arms_at: dict[KeyPath, dict[str, None]] = {}
    labels_at: dict[KeyPath, str] = {}
    for sweep in grid.sweeps.values():
        arms = dict.fromkeys(sweep.arms.values())
        for key, label in sweep.statistics.labels():
            place = _statistics_place(config, sweep.name, key)
            if place is not None:
                labels_at[place] = label
                arms_at.setdefault(place, {}).update(arms)
    for place, label in labels_at.items():
        if label not in arms_at[place]:
            valid = list(arms_at[place])
            raise config.error(
                place, f"there is no arm {label!r}{nearest(label, valid)}; valid: {', '.join(valid)}"
            )
    for sweep in grid.sweeps.values():
        subject = default_subject({arm: grid.cells[cell].model.name for cell, arm in sweep.arms.items()})
        for key, label in sweep.statistics.labels():
            place = _statistics_place(config, sweep.name, key)
            claim = sweep.statistics.claims[str(key[1])] if key[0] == "claims" else None
            if place is None or claim is None or sweep.statistics.subject_of(claim) is not None:
                continue
            if label == subject and key[2] != "subject":
                raise config.error(
                    place,
                    f"{label!r} is the subject of this claim, as the first arm with oscillators of the sweep "
                    f"{sweep.name}; name another rival, or another `subject`",
                )


def _statistics_place(config: Config, sweep: str, key: KeyPath) -> KeyPath | None:
    """Return where a key of the statistics of a sweep stands, None if nobody gives it."""
    place = config.statistics_key(sweep, str(key[0]))
    if place is not None:
        return (*place, *key[1:])
    if key[0] != "claims":
        return None
    old = "oscillation_controls" if key[2] == "controls" else "faster_than"
    place = config.statistics_key(sweep, old)
    return None if place is None else (*place, *key[3:])


def _too_few_seeds(config: Config, grid: Grid) -> Iterator[Caution]:
    """Yield a warning for each sweep whose claims compare arms with fewer seeds than a verdict needs."""
    for sweep in grid.sweeps.values():
        rules, cells = sweep.statistics, {arm: cell for cell, arm in reversed(sweep.arms.items())}
        first = default_subject({arm: grid.cells[cell].model.name for cell, arm in sweep.arms.items()})
        subjects = [
            rules.subject_of(claim) or first
            for claim in rules.asked().values()
            if any(label in cells for label in claim.must_beat())
        ]
        judged = [subject for subject in subjects if subject in cells]
        if judged and len(sweep.seeds) < rules.min_seeds:
            path = ("sweeps", sweep.name, "seeds")
            place = str(config.error(path if config.is_given(path) else ("seeds",), sweep.name))
            sentence = (
                f"{counted(len(sweep.seeds), 'seed')} of each arm, and a verdict needs at least {rules.min_seeds} "
                "(statistics.min_seeds)"
            )
            yield Caution(sweep.name, "", cells[judged[0]], place, sentence)


def _tuned_members(
    config: Config,
    sweep: str,
    members: Sequence[Member],
    ranges: Mapping[KeyPath, Ranges],
    grid: Grid,
) -> Iterator[Member]:
    """Yield each arm's default cell, then its tuned cells; add what must be tuned to the grid."""
    content = config.sweeps[sweep]
    protocol, rules = content["tuning"], content["statistics"]
    arms: dict[tuple[str, str], TunedArm] = {}
    for member in members:
        key = (member.arm, changed_json(member.cell.data))
        if key in arms:
            raise config.error(
                member.path,
                f"the arm {member.arm!r} has several cells on {member.cell.data.name}; {ONE_ENTRY}",
            )
        arms[key] = tuned_arm(member.cell, ranges[member.path], protocol)
        check_ends(config, arms[key], member.path)
    for member in members:
        data = changed_json(member.cell.data)
        arm, baseline = arms[member.arm, data], arms.get((rules.baseline, data))
        if baseline is None:
            labels = ", ".join(dict.fromkeys(label for label, on in arms if on == data))
            raise config.error(
                ("sweeps", sweep, "statistics", "baseline"),
                f"there is no arm {rules.baseline!r} on {member.cell.data.name}, and targets are shares of the "
                f"baseline's gain; arms: {labels}",
            )
        grid.tuned_arms[arm.name] = arm
        yield member
        names = []
        if protocol.finalists is not None:
            stages = [
                finalist_stage(first_stage, baseline, protocol, rules.target, rules.confirm)
                for first_stage in (arm, baseline)
            ]
            grid.finalist_stages.update({stage.name: stage for stage in stages})
            names = [stage.name for stage in stages]
        for cell in tuned_cells(arm, baseline, protocol, rules.target, rules.confirm, *names):
            yield Member(member.arm, cell, member.path)
