"""The last lines of a sweep: its answer, where the report and the results are, and what to do next."""

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

from hornlib.config.commands import configuration_options
from hornlib.config.copies import edited_files
from hornlib.config.messages import counted
from hornlib.grid import Grid, Sweep
from hornlib.grid.jobs import scan_runs

__all__ = ["answer_lines", "next_step", "num_missing_runs"]

WIDTH = 100


def answer_lines(grid: Grid, sweeps: Sequence[str] = ()) -> Iterator[str]:
    """Yield plain lines of at most `WIDTH` columns: every sweep's answer, two paths, and the next step.

    Args:
        grid: the configuration.
        sweeps: names of the sweeps; default: all.

    Raises:
        ResultsError: statistics.nc is missing, damaged, or has no such sweep.
    """
    from hornlib.report.evidence import results_of_statistics
    from hornlib.statistics.write import open_statistics

    folder = Path(grid.settings.results)
    for name in sweeps or grid.sweeps:
        yield name
        for sentence in open_statistics(folder / "statistics.nc", name).attrs["answer"].splitlines():
            yield from textwrap.wrap(sentence, WIDTH, initial_indent="  ", subsequent_indent="    ")
        yield ""
    results, statistics_match = results_of_statistics(folder)
    yield f"report:  {folder / 'report.html'}"
    yield f"results: {folder / results}" if results else "results: there is no results.nc"
    if not statistics_match:
        again = f"`hornlib run{configuration_options(grid.files)}` judges them again."
        yield from textwrap.wrap(
            f"They changed after this answer; {again}",
            WIDTH,
            initial_indent=" " * 9,
            subsequent_indent=" " * 9,
        )
    yield from textwrap.wrap(f"next:    {next_step(grid, sweeps)}", WIDTH, subsequent_indent=" " * 9)


def next_step(grid: Grid, sweeps: Sequence[str] = ()) -> str:
    """Return one sentence that says what to do after the report was read.

    Args:
        grid: the configuration.
        sweeps: names of the sweeps that the answer was about; default: all.
    """
    options = configuration_options(grid.files)
    if edited := edited_files():
        return (
            f"the answer is to the configuration as it was when the sweep started; `hornlib run{options}` takes in the "
            f"edit of {' and '.join(edited)}."
        )
    chosen = [grid.sweeps[name] for name in sweeps or grid.sweeps]
    if missing := num_missing_runs(grid):
        return (
            f"{counted(missing, 'run')} of the configuration are missing; `hornlib run{options}` trains them."
        )
    if any(sweep.statistics.sequential for sweep in chosen):
        return (
            f"`hornlib looks{options}` names the claims that are open and the command that trains more seeds."
        )
    few = [sweep for sweep in chosen if len(sweep.seeds) < sweep.statistics.min_seeds]
    if few:
        return _more_seeds(few[0], grid)
    return (
        f"open the report in a browser; `hornlib describe` explains every parameter, and `hornlib plan{options}` "
        "shows what a change of the configuration would cost."
    )


def _more_seeds(sweep: Sweep, grid: Grid) -> str:
    return (
        f"a verdict needs {sweep.statistics.min_seeds} seeds of each arm, and {sweep.name} has {len(sweep.seeds)}. "
        f"Write `seeds: {sweep.statistics.min_seeds}` into {grid.files[-1]} and call "
        f"`hornlib run{configuration_options(grid.files)}` again; it trains only what is missing."
    )


def num_missing_runs(grid: Grid) -> int:
    """Return how many runs of the configuration have no run file."""
    present = scan_runs(grid.settings.results)
    return sum(
        len(job.range.seeds()) for job in grid.jobs(present) if job.range not in present.get(job.cell, ())
    )
