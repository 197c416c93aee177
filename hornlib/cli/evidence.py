"""Commands that turn run files into results, statistics, figures and the report."""

import ast
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from hornlib.cli.marks import withdraw_marks
from hornlib.cli.options import ConfigFiles, Output, Results
from hornlib.config.commands import DEFAULT_CONFIG
from hornlib.config.messages import counted
from hornlib.errors import ConfigError, ResultsError

__all__ = ["figures", "gather", "mechanism", "migrate", "report", "seal", "stability", "statistics"]


def gather(
    configfile: ConfigFiles = None,
    partial: Annotated[
        bool,
        typer.Option("--partial", help="Gather the finished runs of an unfinished sweep into partial.nc."),
    ] = False,
) -> None:
    """Gather every run file into results.nc; damaged, stale and foreign files are refused."""
    from hornlib.grid import read_grid
    from hornlib.grid.digests import gather_digest
    from hornlib.results.gather import gather as gather_runs

    grid = read_grid(configfile or [DEFAULT_CONFIG])
    folder = Path(grid.settings.results)
    with gather_runs(grid, partial=partial) as results:
        path = folder / ("partial.nc" if partial else "results.nc")
        sizes = ", ".join(counted(size, str(name)) for name, size in results.sizes.items())
    if not partial:
        withdraw_marks(folder, "gather", gather_digest(grid))
    print(f"{path}: {sizes}")


def figures(
    results: Annotated[Path, typer.Option(help="results.nc or partial.nc")],
    sweep: Annotated[str, typer.Option(help="The sweep to draw.")],
    folder: Annotated[Path, typer.Option(help="Where the figures go.")],
) -> None:
    """Draw a sweep's learning curves against steps, samples, FLOPs and seconds."""
    from hornlib.report.learning_curves import plot_sweep

    for path in plot_sweep(results, sweep, folder):
        print(path)


def stability(
    configfile: ConfigFiles = None,
    results: Results = None,
    output: Output = None,
    figures: Annotated[Path | None, typer.Option(help="Draw the maps into this folder.")] = None,
) -> None:
    """Predict the stability of every oscillator, and compare with what happened where results exist."""
    from hornlib.grid import read_grid
    from hornlib.results.atomic import written_atomically
    from hornlib.stability.stability_file import write_stability

    grid = read_grid(configfile or [DEFAULT_CONFIG])
    folder = Path(grid.settings.results)
    path = output or folder / "stability.nc"
    if results is None and (folder / "results.nc").exists():
        results = folder / "results.nc"  # else predictions alone would replace those beside what happened
    with written_atomically(path) as temporary:  # after the maps, so that it never stands without them
        write_stability(grid, temporary, results)
        if figures is not None:
            from hornlib.report.stability_maps import plot_stability

            print(*plot_stability(temporary, figures), sep="\n")
    print(path)


def statistics(configfile: ConfigFiles = None, results: Results = None, output: Output = None) -> None:
    """Compute the statistics of every sweep, and print its answer with one line for each claim."""
    from hornlib.grid import read_grid
    from hornlib.grid.digests import statistics_digest
    from hornlib.results.selection_file import read_choices, references
    from hornlib.statistics.write import write_statistics

    grid = read_grid(configfile or [DEFAULT_CONFIG])
    folder = Path(grid.settings.results)
    source, place = results or folder / "results.nc", output or folder / "statistics.nc"
    settings = {name: sweep.statistics for name, sweep in grid.sweeps.items()}
    choices = read_choices(grid)
    answers = write_statistics(
        source,
        place,
        settings,
        choices,
        references(grid, choices),
        grid.files,
    )
    if _is_same_path(place, folder / "statistics.nc"):
        is_whole = _is_same_path(source, folder / "results.nc")
        withdraw_marks(folder, "statistics", statistics_digest(grid) if is_whole else None)
    for sweep, answer in answers.items():
        print(f"{sweep}:", *answer.splitlines(), sep="\n  ")


def _is_same_path(path: Path, other: Path) -> bool:
    return path.resolve() == other.resolve()


def mechanism(
    experiment: Annotated[str | None, typer.Argument(help="An experiment; default: list them.")] = None,
    configfile: ConfigFiles = None,
    sweep: Annotated[str | None, typer.Option(help="The sweep it looks at, instead of its own.")] = None,
    output: Output = None,
    run_all: Annotated[
        bool, typer.Option("--all", help="Run every experiment whose sweep the configuration has.")
    ] = False,
) -> None:
    """Run an experiment that could refute an explanation of fast early learning; without a name, list them."""
    from hornlib.grid import read_grid
    from hornlib.mechanism.experiments import experiments_of, run_experiment

    if output is not None and experiment is None:
        raise ConfigError("--output is one file; name the experiment that it is for")
    grid = read_grid(configfile or [DEFAULT_CONFIG])
    available = experiments_of(grid)
    if run_all and not available:
        raise ConfigError(
            "the configuration has no sweep of any experiment; `hornlib mechanism` lists the experiments and their "
            "sweeps, and config/mechanism.yaml has all of them"
        )
    if experiment is None and not run_all:
        for line in _experiments(available):
            print(line)
    for name in [experiment] if experiment else available if run_all else []:
        print(run_experiment(name, grid, sweep, output))


def _experiments(available: Sequence[str]) -> Iterator[str]:
    """Yield a line for each experiment: its name, the sweep that it looks at, and what it asks."""
    from hornlib.mechanism.experiments import EXPERIMENTS

    for name, experiment in EXPERIMENTS.items():
        spec = importlib.util.find_spec(experiment.module)
        source = Path(str(spec.origin)).read_text(encoding="utf-8") if spec else ""
        question = (ast.get_docstring(ast.parse(source)) or "").splitlines()[0]
        presence = "in this configuration" if name in available else "not in this configuration"
        yield f"{name}: {question.removeprefix('Experiment: ')}"
        yield f"    sweep {experiment.sweep}, {presence}"
    yield "`hornlib mechanism NAME` runs one, `hornlib mechanism --all` those whose sweep the configuration has."
    if len(available) < len(EXPERIMENTS):
        yield "config/mechanism.yaml has the sweeps of all; name it with --configfile."


def report(configfile: ConfigFiles = None, output: Output = None) -> None:
    """Write one self-contained page that answers first and shows the evidence."""
    from hornlib.grid import read_grid
    from hornlib.grid.digests import report_digest
    from hornlib.report.page import write_report

    grid = read_grid(configfile or [DEFAULT_CONFIG])
    folder = Path(grid.settings.results)
    page = write_report(folder, list(grid.sweeps), output or folder / "report.html", grid.files)
    if _is_same_path(page, folder / "report.html"):
        withdraw_marks(folder, "report", report_digest(grid))
    print(page)


def migrate(
    results: Annotated[Path, typer.Argument(help="The results folder.")] = Path("results"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Give run files and dynamics files of an older hornlib the names and the schema of this version."""
    from hornlib.results.migrate import migrate as migrate_runs

    refused = [outcome for outcome in migrate_runs(results, dry_run) if outcome.action == "refused"]
    if refused:
        raise ResultsError(
            f"{counted(len(refused), 'run file')} could not be migrated, see above; the rest is done"
        )


def seal(files: Annotated[list[Path], typer.Argument(help="netCDF files.")]) -> None:
    """Seal files of an earlier hornlib with their SHA-256, after reading them to the end; other commands ask for it."""
    from hornlib.results.sealing import seal_files

    if refused := seal_files(files):
        raise ResultsError(
            f"{counted(len(refused), 'file')} refused, see above: delete them, and give the commands that make them "
            "again; the rest is done"
        )
