"""Commands that look at sweeps: plan, status, looks, cancelling, and checks of the configuration."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornlib.cli.options import (
    DEFAULT_CONFIG,
    DEFAULT_EXECUTOR_FOLDER,
    ConfigFiles,
    ExecutorFolder,
    Limit,
    OneSweep,
    Where,
)
from hornlib.config.commands import CONFIG_VARIABLE
from hornlib.config.messages import counted
from hornlib.errors import ConfigError

if TYPE_CHECKING:
    from hornlib.plan.plan import Plan
    from hornlib.status.survey import Survey

__all__ = ["cancel", "check", "looks", "plan", "schema", "status"]


def plan(
    configfile: ConfigFiles = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="key=value: any parameter, or sweep, arm, cell, dataset, model, structure. May be repeated: "
            "the same key is either, different keys are both."
        ),
    ] = None,
    sweep: Annotated[str | None, typer.Option(help="Only this sweep.")] = None,
    limit: Limit = None,
    paths: Annotated[
        bool, typer.Option("--paths", help="Print run files, which are targets, one a line.")
    ] = False,
    cells: Annotated[
        bool,
        typer.Option(
            "--cells", help="Print label, name and route on this machine of every cell, one a line."
        ),
    ] = False,
) -> None:
    """Print the grid as a table: cells, runs, jobs, what is done, sizes, matches, and what the rest costs."""
    from rich.console import Console

    from hornlib.grid import read_grid
    from hornlib.grid.jobs import scan_runs
    from hornlib.plan.choosing_cells import parse_condition, select
    from hornlib.plan.plan import Plan
    from hornlib.plan.table import print_plan

    grid = read_grid(configfile or [DEFAULT_CONFIG])
    selected = select(grid, [parse_condition(text) for text in where or ()], sweep, limit)
    chosen = Plan(grid, selected, scan_runs(grid.settings.results))
    if paths:
        print("\n".join(map(str, chosen.paths())))
    elif cells:
        for line in _cells(chosen):
            print(line)
    else:
        print_plan(chosen, Console())


def _cells(chosen: "Plan") -> Iterator[str]:
    """Yield the sweep, the label, the name and the route on this machine of every cell, in columns."""
    from hornlib.grid.labels import labels_of

    labels = {sweep: labels_of(chosen.grid, sweep) for sweep in chosen.grid.sweeps}
    rows = [
        (sweep, labels[sweep][cell.name], cell.name, str(chosen.route(cell)))
        for sweep, _, cell in chosen.selected
    ]
    widths = [max((len(row[column]) for row in rows), default=0) for column in range(3)]
    for sweep, label, name, route in rows:
        yield f"{sweep:{widths[0]}}  {label:{widths[1]}}  {name:{widths[2]}}  {route}"


def looks(
    configfile: ConfigFiles = None,
    sweep: OneSweep = None,
    paths: Annotated[
        bool,
        typer.Option("--paths", help="Print run files that the next look needs, done or not, one a line."),
    ] = False,
) -> None:
    """Print where the claims of sequential sweeps stand, and the commands that train and judge their next look."""
    from hornlib.grid import read_grid
    from hornlib.grid.jobs import scan_runs
    from hornlib.statistics.due import due_jobs, judged_looks, sequential_sweeps
    from hornlib.statistics.next_look import commands, standings

    grid = read_grid(configfile or [DEFAULT_CONFIG])
    folder, present = Path(grid.settings.results), scan_runs(grid.settings.results)
    for looked in sequential_sweeps(grid, sweep):
        summary = judged_looks(folder / "statistics.nc", looked)
        jobs = due_jobs(grid, looked, summary, present)
        if paths:
            print("\n".join(str(grid.run_path(job)) for job in jobs))
            continue
        numbers = looked.statistics.sequential
        print(f"{looked.name}: looks at {', '.join(map(str, numbers))} seeds")
        lines = [f"no look is judged yet, first look at {numbers[0]} seeds"]
        lines = list(standings(summary)) if summary is not None else lines
        print("\n".join(f"  {line}" for line in lines))
        train, judge = commands(looked.name, folder, grid.files)
        missing = sum(job.range not in present.get(job.cell, ()) for job in jobs)
        if missing:
            print(f"  {counted(missing, 'job')} to train: {train}")
        elif summary is None or summary["next_look"].notnull().any():
            print(f"  trained; judge them: {judge}")


def status(
    configfile: ConfigFiles = None,
    where: Where = None,
    sweep: OneSweep = None,
    folder: ExecutorFolder = DEFAULT_EXECUTOR_FOLDER,
    failed: Annotated[
        bool, typer.Option("--failed", help="Only failed jobs, with the last lines of their logs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, every job in it.")] = False,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch", help="Print it anew until nothing runs or waits and no sweep lives, or until Ctrl-C."
        ),
    ] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two prints of --watch.")] = 10.0,
) -> None:
    """Show what is done, running, queued and failed, and the time left, on SLURM or on this machine.

    It needs no head process, and it disturbs nothing.
    """
    from rich.console import Console

    from hornlib.status.document import to_document
    from hornlib.status.table import print_failed, print_status

    console = Console()
    while True:
        survey = _survey(configfile, where, sweep, folder)
        if watch and console.is_terminal:
            console.clear()
        if as_json:
            print(json.dumps(to_document(survey, only_failed=failed), indent=1))
        elif failed:
            print_failed(survey, console)
        else:
            print_status(survey, console)
        if not watch or not _is_going_on(survey):
            return
        try:
            time.sleep(every)
        except KeyboardInterrupt:
            return


def _is_going_on(survey: "Survey") -> bool:
    """Return whether a job runs or waits, or a sweep lives, which may be between two jobs or gather results."""
    from hornlib.status.standing import JobState

    sweep, head = survey.traces.sweep, survey.submissions.head
    lives = (sweep is not None and sweep.lives) or (head is not None and head.lives)
    return bool(lives or survey.of(JobState.RUNNING, JobState.QUEUED))


def cancel(
    configfile: ConfigFiles = None,
    where: Where = None,
    sweep: OneSweep = None,
    folder: ExecutorFolder = DEFAULT_EXECUTOR_FOLDER,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Cancel queued and running jobs on SLURM; checkpoints stay, and a head does not start these jobs again."""
    from hornlib.status.cancellation import cancel as cancel_jobs
    from hornlib.status.cancellation import describe, plan_cancellation

    survey = _survey(configfile, where, sweep, folder)
    planned = plan_cancellation(survey)
    for line in describe(survey, planned):
        print(line)
    if not planned.jobs:
        print("nothing to cancel")
        return
    if not yes and not sys.stdin.isatty():
        raise ConfigError("cancel asks before it acts, and no terminal can answer here; add --yes")
    if yes or typer.confirm(f"cancel {counted(len(planned.jobs), 'job')}?"):
        cancel_jobs(survey, planned)
        print(f"cancelled {counted(len(planned.jobs), 'job')}; checkpoints stay")
    else:
        print("nothing was cancelled")


def _survey(
    configfile: list[Path] | None, where: list[str] | None, sweep: str | None, folder: Path
) -> "Survey":
    from hornlib.grid import read_grid
    from hornlib.plan.choosing_cells import parse_condition, select
    from hornlib.status.survey import Survey

    grid = read_grid(configfile or [DEFAULT_CONFIG])
    return Survey(grid, select(grid, [parse_condition(text) for text in where or ()], sweep), folder)


def check(
    files: Annotated[
        list[Path] | None,
        typer.Argument(envvar=CONFIG_VARIABLE, help="Read together; default: config.yaml"),
    ] = None,
) -> None:
    """Check a configuration: print where a mistake is, or how much it asks for."""
    from hornlib.grid import read_grid

    grid = read_grid(files or [DEFAULT_CONFIG])
    num_runs = sum(len(seeds) for seeds in grid.seeds.values())
    counts = (len(grid.sweeps), "sweep"), (len(grid.cells), "cell"), (num_runs, "run")
    print(f"ok: {', '.join(counted(count, word) for count, word in counts)}")
    for place in dict.fromkeys(f"{caution.place}: {caution.sentence}" for caution in grid.warnings):
        print(f"warning: {place}", file=sys.stderr)


def schema() -> None:
    """Print the JSON schema of config.yaml, made from the parameter classes."""
    from hornlib.cli.schema import config_schema

    print(json.dumps(config_schema(), indent=2, ensure_ascii=False))
