"""Commands that look at sweeps: the plan, where they stand, cancelling, and whether the configuration is right."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hornlib.cli.options import DEFAULT_CONFIG, ConfigFiles, ExecutorFolder, OneSweep, Where
from hornlib.config.messages import counted
from hornlib.errors import ConfigError

if TYPE_CHECKING:
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
    limit: Annotated[
        int | None, typer.Option(min=1, help="A pilot: so many cells, taken in turn from each arm.")
    ] = None,
    paths: Annotated[
        bool, typer.Option("--paths", help="Print run files, which are targets, one a line.")
    ] = False,
) -> None:
    """Print the grid as a table: cells, runs, jobs, what is done, sizes, matches, and what it costs."""
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
    else:
        print_plan(chosen, Console())


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
    for own in sequential_sweeps(grid, sweep):
        summary = judged_looks(folder / "statistics.nc", own)
        jobs = due_jobs(grid, own, summary, present)
        if paths:
            print("\n".join(str(grid.run_path(job)) for job in jobs))
            continue
        print(f"{own.name}: looks at {', '.join(map(str, own.statistics.sequential))} seeds")
        told = [f"no look is judged yet, first look at {own.statistics.sequential[0]} seeds"]
        told = list(standings(summary)) if summary is not None else told
        print("\n".join(f"  {line}" for line in told))
        train, judge = commands(own.name, folder, grid.files)
        missing = sum(job.range not in present.get(job.cell, ()) for job in jobs)
        if missing:
            print(f"  {counted(missing, 'job')} to train: {train}")
        elif summary is None or summary["next_look"].notnull().any():
            print(f"  trained; judge them: {judge}")


def status(
    configfile: ConfigFiles = None,
    where: Where = None,
    sweep: OneSweep = None,
    folder: ExecutorFolder = Path(".snakemake/submitit"),
    failed: Annotated[
        bool, typer.Option("--failed", help="Only failed jobs, with the last lines of their logs.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, every job in it.")] = False,
) -> None:
    """Show what is done, running, queued and failed, on SLURM or here, head or no head; disturbs nothing."""
    from rich.console import Console

    from hornlib.status.document import to_document
    from hornlib.status.table import print_failed, print_status

    found = _survey(configfile, where, sweep, folder)
    if as_json:
        print(json.dumps(to_document(found, only_failed=failed), indent=1))
    elif failed:
        print_failed(found, Console())
    else:
        print_status(found, Console())


def cancel(
    configfile: ConfigFiles = None,
    where: Where = None,
    sweep: OneSweep = None,
    folder: ExecutorFolder = Path(".snakemake/submitit"),
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Cancel queued and running jobs on SLURM; checkpoints are kept, and a head does not start them again."""
    from hornlib.status.cancellation import cancel as cancel_jobs
    from hornlib.status.cancellation import describe, plan_cancellation

    found = _survey(configfile, where, sweep, folder)
    planned = plan_cancellation(found)
    for line in describe(found, planned):
        print(line)
    if not planned.jobs:
        print("nothing to cancel")
        return
    if not yes and not sys.stdin.isatty():
        raise ConfigError("cancel asks before it acts, and there is no terminal to ask on; add --yes")
    if yes or typer.confirm(f"cancel {counted(len(planned.jobs), 'job')}?"):
        cancel_jobs(found, planned)
        print(f"cancelled {counted(len(planned.jobs), 'job')}; checkpoints are kept")
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
    files: Annotated[list[Path] | None, typer.Argument(help="Read together; default: config.yaml")] = None,
) -> None:
    """Say where a mistake is, or that there is none."""
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
