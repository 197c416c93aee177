"""The command line: what a person, or a rule of the workflow, can ask of hornlib."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hornlib import __version__
from hornlib.errors import ConfigError, HornlibError, ResultsError
from hornlib.training.interruption import EXIT_INTERRUPTED, Interrupted
from hornlib.validation import counted

if TYPE_CHECKING:
    from hornlib.status.survey import Survey
    from hornlib.training.job import TrainOptions

__all__ = ["main"]

# Imports stand in the commands: help and plan come at once, without torch, xarray or matplotlib.
app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
config_app = typer.Typer(no_args_is_help=True, help="Check config.yaml, or print its JSON schema.")
app.add_typer(config_app, name="config")

DEFAULT_CONFIG = Path("config.yaml")

ConfigFiles = Annotated[
    list[Path] | None,
    typer.Option("--configfile", help="A configuration; may be repeated. Default: config.yaml"),
]


def main() -> None:
    """Run the command line; a mistake that a person can mend ends in a message, not in a traceback.

    Exit status: 1 for such a mistake, 2 for a misused option, 75 for a job that saved its checkpoint and
    wants to be started again, 130 after Ctrl-C (that, and a closed pipe, are typer's to handle).
    """
    try:
        app()
    except HornlibError as error:
        _fail(str(error), 1)
    except Interrupted as stopped:
        _fail(str(stopped), EXIT_INTERRUPTED)
    except OSError as error:
        _fail(str(error), 1)


def _fail(message: str, status: int) -> None:
    prefix = "error: " if status == 1 else ""
    print(f"{prefix}{message}", file=sys.stderr)
    sys.exit(status)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(__version__)
        raise typer.Exit


@app.callback()
def hornlib(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Do networks with dynamics of their own learn faster and cheaper? Plan, train and gather sweeps."""


@app.command()
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
    from hornlib.jobs import scan_runs
    from hornlib.plan import Plan
    from hornlib.plan_table import print_plan
    from hornlib.selection import parse_condition, select

    grid = read_grid(configfile or [DEFAULT_CONFIG])
    selected = select(grid, [parse_condition(text) for text in where or ()], sweep, limit)
    chosen = Plan(grid, selected, scan_runs(grid.settings.results))
    if paths:
        print("\n".join(map(str, chosen.paths())))
    else:
        print_plan(chosen, Console())


Where = Annotated[
    list[str] | None, typer.Option(help="key=value, as `hornlib plan` takes it; may be repeated.")
]
OneSweep = Annotated[str | None, typer.Option(help="Only this sweep.")]
ExecutorFolder = Annotated[
    Path, typer.Option(help="Folder of the executor's records (--submitit-folder of the profile).")
]


@app.command()
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


@app.command()
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
    from hornlib.selection import parse_condition, select
    from hornlib.status.survey import Survey

    grid = read_grid(configfile or [DEFAULT_CONFIG])
    return Survey(grid, select(grid, [parse_condition(text) for text in where or ()], sweep), folder)


@config_app.command()
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


@config_app.command()
def schema() -> None:
    """Print the JSON schema of config.yaml, made from the parameter classes."""
    from hornlib.schema import config_schema

    print(json.dumps(config_schema(), indent=2, ensure_ascii=False))


@app.command()
def data(
    name: Annotated[str, typer.Argument(help="A dataset, e.g. mnist.")],
    root: Annotated[
        Path | None, typer.Option(help="Folder of the files; default: $HORNLIB_DATA, else data.")
    ] = None,
) -> None:
    """Make sure that a dataset's files are there: those found are used as they are, else they are fetched."""
    from hornlib.data.prepare import prepare

    folder = root or Path(os.environ.get("HORNLIB_DATA") or "data")
    print(f"{name} is ready in {prepare(name, folder.expanduser())}")


@app.command()
def train(
    output: Annotated[Path, typer.Argument(help="The run file: <cell>.seeds-<first>-<last>.nc")],
    cell: Annotated[str, typer.Option(help="The cell's specification as JSON, as `hornlib plan` names it.")],
    lanes: Annotated[str, typer.Option(help="Seeds trained side by side: auto, or a number.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    checkpoints: Annotated[
        Path | None,
        typer.Option(help="Folder of checkpoints; default: checkpoints beside the run files' folder."),
    ] = None,
    checkpoint_minutes: Annotated[float, typer.Option(help="Wall time between two checkpoints.")] = 5.0,
    log: Annotated[Path | None, typer.Option(help="Write progress there, in plain lines.")] = None,
    selected: Annotated[
        Path | None, typer.Option(help="What was chosen for a tuned cell, as `hornlib select` wrote it.")
    ] = None,
    probes: Annotated[
        str, typer.Option(help="What is recorded inside the networks: off, or settings as JSON; {} is usual.")
    ] = "off",
) -> None:
    """Train one job: one cell with a range of seeds. The same command goes on from its checkpoint."""
    from hornlib.cell import parse_specification
    from hornlib.jobs import parse_run_name
    from hornlib.refusals import refusals

    asked = parse_specification(_parse_json(cell, "--cell"))
    job = parse_run_name(output.name)
    if job is None or job.cell != asked.name:
        raise ConfigError(
            f"{output.name!r} is no run file of this cell; it is called {asked.name}.seeds-<first>-<last>.nc"
        )
    if asked.tuned is not None:
        from hornlib.results.selection_file import read_choice

        if selected is None:
            raise ConfigError("--cell is tuned: name what was chosen for it with --selected")
        asked = asked.resolved(read_choice(selected).selection)
    for refusal in refusals(asked):
        raise ConfigError(f"--cell: {refusal}")
    recorded = "off" if probes == "off" else _parse_json(probes, "--probes")
    options = _options(output, lanes, threads, device, checkpoints, checkpoint_minutes, recorded)
    from hornlib.training.train import train_job

    with _logged(log):
        train_job(asked, job.range, output, options)


@app.command()
def tune(
    output: Annotated[Path, typer.Argument(help="The tuning file: <arm>.nc")],
    arm: Annotated[str, typer.Option(help="Cell, ranges, trials and seeds as JSON.")],
    lanes: Annotated[str, typer.Option(help="Trials trained side by side: auto, or a number.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")] = "auto",
    checkpoints: Annotated[Path | None, typer.Option(help="Folder of checkpoints.")] = None,
    checkpoint_minutes: Annotated[float, typer.Option(help="Wall time between two checkpoints.")] = 5.0,
    log: Annotated[Path | None, typer.Option(help="Write progress there, in plain lines.")] = None,
) -> None:
    """Train every trial of one arm of a tuned sweep. The same command goes on from its checkpoint."""
    from hornlib.tuning.arms import TunedArm

    asked = TunedArm.parse(_parse_json(arm, "--arm"))
    if output.name != f"{asked.name}.nc":
        raise ConfigError(f"{output.name!r} is no tuning file of this arm; it is called {asked.name}.nc")
    options = _options(output, lanes, threads, device, checkpoints, checkpoint_minutes)
    from hornlib.training.tune import tune_arm

    with _logged(log):
        tune_arm(asked, output, options)


@app.command()
def select(
    output: Annotated[Path, typer.Argument(help="The selection file: <cell>.json")],
    cell: Annotated[str, typer.Option(help="The tuned cell's specification as JSON.")],
    trials: Annotated[Path, typer.Option(help="The tuning file of its arm.")],
    baseline: Annotated[
        Path | None, typer.Option(help="The tuning file of the baseline, for time_to_target.")
    ] = None,
) -> None:
    """Choose the best trial for a tuned cell, on validation."""
    from hornlib.cell import parse_specification
    from hornlib.results.selection_file import write_choice
    from hornlib.results.tuning_file import read_trials
    from hornlib.tuning.selection import choose

    asked = parse_specification(_parse_json(cell, "--cell"))
    if asked.tuned is None or output.name != f"{asked.name}.json":
        raise ConfigError(f"{output.name!r}: the selection of this cell is called {asked.name}.json")
    if (asked.tuned.baseline == "") != (baseline is None):
        raise ConfigError("--baseline belongs to the objective time_to_target, and only to it")
    choice = choose(asked, read_trials(trials), None if baseline is None else read_trials(baseline))
    write_choice(output, choice)
    values = ", ".join(f"{key} = {value:g}" for key, value in choice.selection.chosen.items())
    edge = f"; at the edge of its range: {', '.join(choice.at_edge)}" if choice.at_edge else ""
    print(f"{output}: trial {choice.selection.trial} for {asked.selected_for}: {values}{edge}")


def _parse_json(text: str, option: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(f"{option}: no JSON: {error}") from None


def _options(
    output: Path,
    lanes: str,
    threads: int,
    device: str,
    checkpoints: Path | None,
    checkpoint_minutes: float,
    probes: object = "off",
) -> "TrainOptions":
    from hornlib.settings import parse_settings

    settings = parse_settings(
        lanes=int(lanes) if lanes.isdecimal() else lanes,
        threads=threads,
        device=device,
        checkpoint_minutes=checkpoint_minutes,
        probes=probes,
    )
    from hornlib.training.job import TrainOptions

    return TrainOptions(
        lanes=settings.lanes,
        threads=settings.threads,
        device=settings.device,
        checkpoints=checkpoints or output.parent.parent / "checkpoints",
        checkpoint_seconds=60 * settings.checkpoint_minutes,
        probes=settings.probes,
    )


@contextlib.contextmanager
def _logged(log: Path | None) -> Iterator[None]:
    """Let standard error go to the log, where there is one."""
    if log is None:
        yield
        return
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a") as file, contextlib.redirect_stderr(file):
        yield


@app.command()
def gather(
    configfile: ConfigFiles = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Gather what is there of an unfinished sweep into partial.nc.")
    ] = False,
) -> None:
    """Gather every run file into results.nc; refuse what is damaged, stale or foreign."""
    from hornlib.grid import read_grid
    from hornlib.results.gather import gather as gather_runs

    grid = read_grid(configfile or [DEFAULT_CONFIG])
    with gather_runs(grid, partial=partial) as results:
        path = Path(grid.settings.results) / ("partial.nc" if partial else "results.nc")
        sizes = ", ".join(counted(size, str(name)) for name, size in results.sizes.items())
    print(f"{path}: {sizes}")


@app.command()
def figures(
    results: Annotated[Path, typer.Option(help="results.nc or partial.nc")],
    sweep: Annotated[str, typer.Option(help="The sweep to draw.")],
    folder: Annotated[Path, typer.Option(help="Where the figures go.")],
) -> None:
    """Draw a sweep's learning curves against steps, samples, FLOPs and seconds."""
    from hornlib.report.learning_curves import plot_sweep

    for path in plot_sweep(results, sweep, folder):
        print(path)


@app.command()
def calibrate(configfile: ConfigFiles = None) -> None:
    """Measure step time and peak memory of every distinct shape on this device, alone on the machine."""
    from hornlib.calibration.calibrate import calibrate as calibrate_shapes
    from hornlib.grid import read_grid

    print(calibrate_shapes(read_grid(configfile or [DEFAULT_CONFIG])))


Results = Annotated[
    Path | None, typer.Option(help="results.nc or partial.nc; default: results.nc of the configuration.")
]
Output = Annotated[Path | None, typer.Option(help="The file; default: its place in the results folder.")]


@app.command()
def stability(
    configfile: ConfigFiles = None,
    results: Results = None,
    output: Output = None,
    figures: Annotated[Path | None, typer.Option(help="Draw the maps into this folder.")] = None,
) -> None:
    """Predict the stability of every oscillator, beside what happened where there are results."""
    from hornlib.grid import read_grid
    from hornlib.stability.write import write_stability

    grid = read_grid(configfile or [DEFAULT_CONFIG])
    path = write_stability(grid, output or Path(grid.settings.results) / "stability.nc", results)
    print(path)
    if figures is not None:
        from hornlib.report.stability_maps import plot_stability

        for figure in plot_stability(path, figures):
            print(figure)


@app.command()
def statistics(configfile: ConfigFiles = None, results: Results = None, output: Output = None) -> None:
    """Compute the statistics of every sweep, and print the paragraph that answers each one's question."""
    from hornlib.grid import read_grid
    from hornlib.results.selection_file import read_choices, references
    from hornlib.statistics.write import write_statistics

    grid = read_grid(configfile or [DEFAULT_CONFIG])
    folder = Path(grid.settings.results)
    settings = {name: sweep.statistics for name, sweep in grid.sweeps.items()}
    choices = read_choices(grid)
    told = write_statistics(
        results or folder / "results.nc",
        output or folder / "statistics.nc",
        settings,
        choices,
        references(grid, choices),
    )
    for sweep, paragraph in told.items():
        print(f"{sweep}: {paragraph}")


@app.command()
def mechanism(
    experiment: Annotated[
        str | None, typer.Argument(help="One experiment; default: all whose sweep the configuration has.")
    ] = None,
    configfile: ConfigFiles = None,
    sweep: Annotated[str | None, typer.Option(help="The sweep it looks at, instead of its own.")] = None,
    output: Output = None,
) -> None:
    """Run experiments that could refute an explanation of fast early learning."""
    from hornlib.grid import read_grid
    from hornlib.mechanism.experiments import experiments_of, run_experiment

    grid = read_grid(configfile or [DEFAULT_CONFIG])
    for name in [experiment] if experiment else experiments_of(grid):
        print(run_experiment(name, grid, sweep, output))


@app.command()
def report(configfile: ConfigFiles = None, output: Output = None) -> None:
    """Write one self-contained page that answers first and shows the evidence."""
    from hornlib.grid import read_grid
    from hornlib.report.page import write_report

    grid = read_grid(configfile or [DEFAULT_CONFIG])
    folder = Path(grid.settings.results)
    print(write_report(folder, list(grid.sweeps), output or folder / "report.html"))


@app.command()
def migrate(
    results: Annotated[Path, typer.Argument(help="The results folder.")] = Path("results"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Give run files of an older hornlib the names and the schema of this one."""
    from hornlib.results.migrate import migrate as migrate_runs

    refused = [outcome for outcome in migrate_runs(results, dry_run) if outcome.action == "refused"]
    if refused:
        raise ResultsError(
            f"{counted(len(refused), 'run file')} could not be migrated, see above; the rest is done"
        )


if __name__ == "__main__":
    main()
