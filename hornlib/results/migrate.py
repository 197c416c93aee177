"""Migration: run files of an older hornlib get the names, and the schema, that this one gives their cells."""

import json
import shutil
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from hornlib.errors import ConfigError, ResultsError
from hornlib.grid.cell import Cell, parse_specification
from hornlib.grid.jobs import Job, parse_run_name
from hornlib.models import MODELS
from hornlib.models.efficient.parameters import EfficientParameters
from hornlib.parameters import ModelParameters
from hornlib.results import run_file
from hornlib.results.atomic import written_atomically
from hornlib.results.run_file import Contents, digest, read_contents, write_contents
from hornlib.results.run_variables import check_variables

__all__ = ["MIGRATIONS", "Migration", "Outcome", "migrate"]

Migration = Callable[[Contents], Contents]
"""From one schema version to the next: a pure function of specification, variables and attributes."""


def _name_batch_norm_statistics(contents: Contents) -> Contents:
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


class Outcome(NamedTuple):
    """What became, or would become, of a run file.

    Attributes:
        path: the file as it was found.
        action: unchanged, rewritten (the same name), renamed, or refused.
        reason: the new name, or why it was refused.
    """

    path: Path
    action: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.action}: {self.path}" + (f": {self.reason}" if self.reason else "")


class _Plan(NamedTuple):
    """A file that has to change, and into what; `probed` is the digest of its dynamics file, if it has one."""

    path: Path
    target: Path
    contents: Contents
    probed: str | None

    def outcome(self) -> Outcome:
        """Return what is reported once it is done."""
        if self.target == self.path:
            return Outcome(self.path, "rewritten")
        return Outcome(self.path, "renamed", self.target.name)


def migrate(
    results: str | Path, dry_run: bool = False, report: Callable[[str], None] = print
) -> list[Outcome]:
    """Re-identify every run file from the specification stored in it, and give it its cell's present name.

    What probes saw of these runs, the dynamics file of the same name, goes with it.

    A changed default changes the names of the cells that had the old one, and a new field is missing from
    old specifications (it takes its default, which must be the old behaviour); both follow from the stored
    values. Each file is written anew under a temporary name, and no other file is ever overwritten: one whose
    new name is taken by another run is refused. A kill at any moment loses nothing; the next call goes on.

    Args:
        results: folder that holds `runs`.
        dry_run: only report.
        report: told each outcome, but for files that stay as they are, and a summary.

    Raises:
        ResultsError: the disk is full or cannot be written.
    """
    planned = [_plan(path) for path in sorted((Path(results) / "runs").glob("*.nc"))]
    outcomes = []
    for outcome in _carried_out(planned, dry_run):
        outcomes.append(outcome)
        if outcome.action != "unchanged":
            report(f"would be {outcome}" if dry_run and outcome.action != "refused" else str(outcome))
    unchanged = sum(outcome.action == "unchanged" for outcome in outcomes)
    report(f"{len(outcomes)} run file(s), {unchanged} as they should be")
    return outcomes


def _plan(path: Path) -> _Plan | Outcome:
    """Return what the file has to become, or that it stays, or why nothing can be done."""
    job = parse_run_name(path.name)
    if job is None:
        return Outcome(path, "refused", "no run file's name")
    try:
        stored = read_contents(path)
        contents = _present(stored)
        check_variables(contents.variables)
        cell = _cell_of(contents)
    except (ResultsError, ConfigError, ValueError) as error:
        return Outcome(path, "refused", str(error).removeprefix(f"{path}: "))
    target = path.with_name(Job(cell.name, job.range).file_name)
    found = stored.specification, stored.attributes["schema_version"], stored.attributes.get("cell"), path
    if found == (cell.specification(), run_file.SCHEMA_VERSION, cell.name, target):
        return Outcome(path, "unchanged")
    try:
        probed = _probed(path)
    except ResultsError as error:
        return Outcome(path, "refused", str(error))
    return _Plan(path, target, contents._replace(specification=cell.specification()), probed)


def _dynamics(path: Path) -> Path:
    """Return where the dynamics file of a run file stands."""
    return path.parent.parent / "dynamics" / path.name


def _probed(path: Path) -> str | None:
    """Return the digest of a run's dynamics file; None where there is none."""
    dynamics = _dynamics(path)
    return digest(read_contents(dynamics).variables) if dynamics.exists() else None


def _cell_of(contents: Contents) -> Cell:
    """Return the cell; a tuned one is known by its ranges and its protocol, whatever was chosen."""
    cell = parse_specification(contents.specification)
    if "tuned" not in contents.attributes:
        return cell
    tuned = json.loads(str(contents.attributes["tuned"]))
    return replace(cell, name=parse_specification({**contents.specification, "tuned": tuned}).name)


def _present(contents: Contents) -> Contents:
    """Bring the contents to the present schema version, one version after the other."""
    version = contents.attributes["schema_version"]
    if not isinstance(version, int) or version > run_file.SCHEMA_VERSION:
        raise ResultsError(f"has schema version {version}; use the hornlib that wrote it")
    for step in range(version, run_file.SCHEMA_VERSION):
        if step not in MIGRATIONS:
            raise ResultsError(f"there is no way from schema version {step} to {step + 1}")
        contents = MIGRATIONS[step](contents)
    return contents


def _carried_out(planned: Sequence[_Plan | Outcome], dry_run: bool) -> Iterator[Outcome]:
    """Write files anew, those first whose new name is free: it may be the old name of one that moves away."""
    yield from (outcome for outcome in planned if isinstance(outcome, Outcome))
    there = {found.path for found in planned}
    taken = set(there)
    pending = deque(plan for plan in planned if isinstance(plan, _Plan))
    waiting = 0
    while waiting < len(pending):
        plan = pending.popleft()
        if plan.target != plan.path and plan.target in taken:
            pending.append(plan)
            waiting += 1
            continue
        if plan.target not in there and _foreign(plan):
            yield Outcome(plan.path, "refused", f"{_dynamics(plan.target)} is there already, of another run")
            waiting = 0
            continue
        if not dry_run:
            _write(plan)
        taken = (taken - {plan.path}) | {plan.target}
        waiting = 0
        yield plan.outcome()
    for plan in pending:
        if not _same_run(plan):
            yield Outcome(plan.path, "refused", f"{plan.target.name} is there already, and holds another run")
            continue
        if not dry_run:  # a kill came between writing the new files and removing the old ones
            _remove(plan)
        yield plan.outcome()


def _write(plan: _Plan) -> None:
    job = parse_run_name(plan.target.name)
    assert job is not None
    if plan.probed is not None:
        _write_dynamics(plan, job)
    with written_atomically(plan.target, overwrite=plan.target == plan.path) as temporary:
        write_contents(temporary, job, plan.contents)
    if plan.target != plan.path:
        _remove(plan)


def _write_dynamics(plan: _Plan, job: Job) -> None:
    """Write the dynamics file anew: of another cell, and the same in every number."""
    import netCDF4

    # what is there under the new name already is what a kill left: `_foreign` has looked
    with written_atomically(_dynamics(plan.target)) as temporary:
        shutil.copyfile(_dynamics(plan.path), temporary)
        with netCDF4.Dataset(temporary, "a") as file:
            file.setncatts({"cell": job.cell, "specification": json.dumps(plan.contents.specification)})


def _remove(plan: _Plan) -> None:
    """Remove the old files, the run file last: as long as it is there, the next call sees what is left to do."""
    _dynamics(plan.path).unlink(missing_ok=True)
    plan.path.unlink()


def _foreign(plan: _Plan) -> bool:
    """Return whether a dynamics file without a run file has the new name, and is not the run's own."""
    if plan.probed is None:
        return _dynamics(plan.target).exists()
    try:
        return _probed(plan.target) not in (None, plan.probed)
    except ResultsError:
        return True


def _same_run(plan: _Plan) -> bool:
    try:
        there = read_contents(plan.target)
    except ResultsError:
        return False
    mine = plan.contents.specification, digest(plan.contents.variables)
    return mine == (there.specification, digest(there.variables))
