"""Migration: run files of an older hornlib get the names and the schema that this hornlib gives their cells."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from hornlib.errors import ConfigError, ResultsError
from hornlib.grid.cell import Cell, parse_specification
from hornlib.grid.jobs import Job, parse_run_name, weights_path
from hornlib.models import MODELS
from hornlib.models.efficient.parameters import EfficientParameters
from hornlib.parameters import ModelParameters
from hornlib.results import run_file
from hornlib.results.dynamics_file import DYNAMICS_FILE
from hornlib.results.netcdf import copy_with_attributes, digest
from hornlib.results.run_file import RunContents, read_contents, write_contents
from hornlib.results.variables import check_run_variables

__all__ = ["MIGRATIONS", "Migration", "MigrationOutcome", "migrate"]

Migration = Callable[[RunContents], RunContents]
"""From one schema version to the next: a pure function of specification, variables and attributes."""


def _name_batch_norm_statistics(contents: RunContents) -> RunContents:
    """Version 1 to 2: `running_average` is called `batch_norm_statistics`, whose default is no longer `recent`."""
    training, model = dict(contents.specification["training"]), contents.specification["model"]
    average = training.pop("running_average", "recent")
    # A network without batch norm is evaluated alike under all of them, and keeps its runs under the default.
    without = model.get("readout_norm") == "none" and model.get("normalisation", "none") != "batch"
    efficient = issubclass(MODELS.get(model["name"], ModelParameters), EfficientParameters)
    if not without or efficient:
        training["batch_norm_statistics"] = average
    return contents._replace(specification={**contents.specification, "training": training})


MIGRATIONS: dict[int, Migration] = {1: _name_batch_norm_statistics}
"""By the version that it starts from. A field that is renamed or removed, or a variable that changes its
meaning, raises SCHEMA_VERSION and is entered here; a new field or a changed default needs no entry."""


class MigrationOutcome(NamedTuple):
    """What migration did, or would do, with a run file.

    Attributes:
        path: the file before migration.
        action: unchanged, rewritten (under the same name), renamed, or refused.
        reason: the new name, or why the file was refused.
    """

    path: Path
    action: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.action}: {self.path}" + (f": {self.reason}" if self.reason else "")


class _Rewrite(NamedTuple):
    """A run file that has to change.

    Attributes:
        path: the present file.
        target: the new file; it may be the same.
        contents: what the new file holds.
        dynamics_digest: checksum of the run's dynamics file; None without one.
    """

    path: Path
    target: Path
    contents: RunContents
    dynamics_digest: str | None

    def outcome(self) -> MigrationOutcome:
        """Return what is reported after the rewrite."""
        if self.target == self.path:
            return MigrationOutcome(self.path, "rewritten")
        return MigrationOutcome(self.path, "renamed", self.target.name)


def migrate(
    results: str | Path, dry_run: bool = False, report: Callable[[str], None] = print
) -> list[MigrationOutcome]:
    """Give every run file the name and the schema that this hornlib gives its cell.

    The cell follows from the specification in the file. A changed default changes the names of the cells that had the
    old default. A new field is missing from old specifications and takes its default, which must mean the old
    behaviour. The dynamics file and the weights of the same runs are renamed with the run file.

    Each file is written anew under a temporary name, and no other file is ever overwritten: a file whose new name
    belongs to another run is refused. A kill at any moment loses nothing; the next call continues.

    Args:
        results: folder that holds `runs`.
        dry_run: report what would be done, and change nothing.
        report: is called with one line for each file that changes or is refused, and with a summary.

    Raises:
        ResultsError: the disk is full or cannot be written.
    """
    decisions = [_decide(path) for path in sorted((Path(results) / "runs").glob("*.nc"))]
    outcomes = []
    for outcome in _carried_out(decisions, dry_run):
        outcomes.append(outcome)
        if outcome.action != "unchanged":
            report(f"would be {outcome}" if dry_run and outcome.action != "refused" else str(outcome))
    unchanged = sum(outcome.action == "unchanged" for outcome in outcomes)
    report(f"{len(outcomes)} run file(s), {unchanged} as they should be")
    return outcomes


def _decide(path: Path) -> _Rewrite | MigrationOutcome:
    """Return how the file has to change, or that it stays, or why it is refused."""
    job = parse_run_name(path.name)
    if job is None:
        return MigrationOutcome(path, "refused", "not the name of a run file")
    try:
        stored = read_contents(path)
        contents = _present(stored)
        check_run_variables(contents.variables)
        cell = _cell_of(contents)
    except (ResultsError, ConfigError, ValueError) as error:
        return MigrationOutcome(path, "refused", str(error).removeprefix(f"{path}: "))
    target = path.with_name(Job(cell.name, job.range).file_name)
    attributes = stored.attributes
    identity = (stored.specification, attributes["schema_version"], attributes.get("cell"), path)
    if identity == (cell.specification(), run_file.RUN_FILE.schema_version, cell.name, target):
        return MigrationOutcome(path, "unchanged")
    try:
        dynamics_digest = _dynamics_digest(path)
    except ResultsError as error:
        return MigrationOutcome(path, "refused", str(error))
    return _Rewrite(path, target, contents._replace(specification=cell.specification()), dynamics_digest)


def _dynamics(path: Path) -> Path:
    """Return the path of the dynamics file that belongs to a run file."""
    return path.parent.parent / "dynamics" / path.name


def _dynamics_digest(path: Path) -> str | None:
    """Return the checksum of a run's dynamics file; None without one."""
    dynamics = _dynamics(path)
    return digest(read_contents(dynamics, DYNAMICS_FILE).variables) if dynamics.exists() else None


def _cell_of(contents: RunContents) -> Cell:
    """Return the cell; the name of a tuned one follows from its ranges and its protocol, not from the choice."""
    cell = parse_specification(contents.specification)
    if "tuned" not in contents.attributes:
        return cell
    tuned = json.loads(str(contents.attributes["tuned"]))
    return replace(cell, name=parse_specification({**contents.specification, "tuned": tuned}).name)


def _present(contents: RunContents) -> RunContents:
    """Bring the contents to the present schema version, one version after the other."""
    version, present = contents.attributes.get("schema_version"), run_file.RUN_FILE.schema_version
    if not isinstance(version, int) or version > present:
        raise ResultsError(f"has schema version {version}; use the hornlib that wrote it")
    for older in range(version, present):
        if older not in MIGRATIONS:
            raise ResultsError(f"there is no way from schema version {older} to {older + 1}")
        contents = MIGRATIONS[older](contents)
    return contents


def _carried_out(
    decisions: Sequence[_Rewrite | MigrationOutcome], dry_run: bool
) -> Iterator[MigrationOutcome]:
    """Carry out the rewrites whose new name is free, until none is left or none is free, and yield the outcomes.

    A new name may be the present name of another file; it is free after that file was renamed.
    """
    yield from (decision for decision in decisions if isinstance(decision, MigrationOutcome))
    paths = {decision.path for decision in decisions}
    taken = set(paths)
    pending = deque(decision for decision in decisions if isinstance(decision, _Rewrite))
    num_waiting = 0
    while num_waiting < len(pending):
        rewrite = pending.popleft()
        if rewrite.target != rewrite.path and rewrite.target in taken:
            pending.append(rewrite)
            num_waiting += 1
            continue
        num_waiting = 0
        if rewrite.target not in paths and _has_foreign_dynamics(rewrite):
            yield _refused(rewrite, f"{_dynamics(rewrite.target)} exists already, and is of another run")
            continue
        if rewrite.target != rewrite.path and all(map(Path.exists, _weights(rewrite))):
            yield _refused(rewrite, f"{weights_path(rewrite.target)} exists already, and is of another run")
            continue
        if not dry_run:
            _write(rewrite)
        taken = (taken - {rewrite.path}) | {rewrite.target}
        yield rewrite.outcome()
    for rewrite in pending:
        if not _is_written(rewrite):
            yield _refused(rewrite, f"{rewrite.target.name} exists already, and holds another run")
            continue
        if not dry_run:  # a kill came between writing the new files and removing the old ones
            _remove(rewrite)
        yield rewrite.outcome()


def _refused(rewrite: _Rewrite, reason: str) -> MigrationOutcome:
    return MigrationOutcome(rewrite.path, "refused", reason)


def _write(rewrite: _Rewrite) -> None:
    job = parse_run_name(rewrite.target.name)
    assert job is not None
    if rewrite.dynamics_digest is not None:
        _write_dynamics(rewrite, job)
    before, after = _weights(rewrite)
    if before.exists():  # before the run file, which leads the next call here after a kill
        before.rename(after)
    write_contents(rewrite.target, job, rewrite.contents, overwrite=rewrite.target == rewrite.path)
    if rewrite.target != rewrite.path:
        _remove(rewrite)


def _write_dynamics(rewrite: _Rewrite, job: Job) -> None:
    """Copy the dynamics file, with the new name and specification of the cell."""
    # A file with the new name is one that a kill left: `_has_foreign_dynamics` has looked.
    attributes = {"cell": job.cell, "specification": json.dumps(rewrite.contents.specification)}
    copy_with_attributes(_dynamics(rewrite.path), _dynamics(rewrite.target), DYNAMICS_FILE, attributes)


def _weights(rewrite: _Rewrite) -> tuple[Path, Path]:
    """Return the paths of the weights of a run before and after; the specification in them needs no rewriting."""
    return weights_path(rewrite.path), weights_path(rewrite.target)


def _remove(rewrite: _Rewrite) -> None:
    """Remove the old files, the run file last: as long as it exists, the next call sees what is left to do."""
    _dynamics(rewrite.path).unlink(missing_ok=True)
    rewrite.path.unlink()


def _has_foreign_dynamics(rewrite: _Rewrite) -> bool:
    """Return whether the new name has a dynamics file of another run."""
    if rewrite.dynamics_digest is None:
        return _dynamics(rewrite.target).exists()
    try:
        return _dynamics_digest(rewrite.target) not in (None, rewrite.dynamics_digest)
    except ResultsError:
        return True


def _is_written(rewrite: _Rewrite) -> bool:
    """Return whether the new file exists already with the same contents."""
    try:
        target = read_contents(rewrite.target)
    except ResultsError:
        return False
    contents = rewrite.contents.specification, digest(rewrite.contents.variables)
    return contents == (target.specification, digest(target.variables))
