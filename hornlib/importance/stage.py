"""The stage after training: a file of importance for every job, then one for the whole configuration."""

import hashlib
import sys
from pathlib import Path
from typing import NamedTuple

from hornlib.errors import ConfigError, ResultsError
from hornlib.grid import Grid
from hornlib.grid.jobs import scan_runs, weights_path
from hornlib.importance.gathering import gathered_importance
from hornlib.importance.job import importance_of_job
from hornlib.importance.variables import STATISTICS
from hornlib.parameters.importance import ImportanceSettings
from hornlib.results.analysis_files import IMPORTANCE_FILE
from hornlib.results.netcdf import load_dataset, write_dataset

__all__ = ["Measured", "importance_path", "measure_grid", "measure_job"]


def importance_path(run_file: Path) -> Path:
    """Return where the importance of a job belongs: the name of its run file, in the folder `importance` beside `runs`.

    Args:
        run_file: `<cell>.seeds-<first>-<last>.nc` in the folder `runs`.
    """
    return run_file.parent.parent / "importance" / run_file.name


def measure_job(run_file: Path, settings: ImportanceSettings, output: Path | None = None) -> Path:
    """Write the importance of the networks that a job kept, whole or not at all, and return the path of the file.

    Args:
        run_file: of the train job, beside whose folder its weights are; it is not read.
        settings: how exactly it is measured.
        output: the file; None: see `importance_path`.

    Raises:
        ResultsError: the weights are missing or damaged, or the file cannot be written.
        ConfigError: the importance of such networks cannot be measured.
        DataError: a file of the dataset is missing.
    """
    path, weights = output or importance_path(run_file), weights_path(run_file)
    ds = importance_of_job(weights, settings)
    write_dataset(path, IMPORTANCE_FILE, ds.assign_attrs(weights_sha256=_digest(weights)))
    return path


class Measured(NamedTuple):
    """What `measure_grid` has written.

    Attributes:
        gathered: importance.nc in the results folder; importance_partial.nc if it is partial.
        files: the file of every job in it.
    """

    gathered: Path
    files: list[Path]


def measure_grid(grid: Grid, partial: bool = False) -> Measured:
    """Measure every job whose file is missing or outdated; gather all.

    A file is outdated if it was made of other weights or with other settings, or lacks a statistic.

    Args:
        grid: the configuration.
        partial: whether jobs that are not trained yet are left out.

    Raises:
        ConfigError: the configuration asks for no importance.
        ResultsError: a job is not trained yet, or a file is damaged or cannot be written.
        DataError: a file of a dataset is missing.
    """
    settings = grid.settings.importance
    if settings is None:
        raise ConfigError(
            "importance: off. Write `keep_weights: last` and `importance: {}` at the top of the configuration"
        )
    files: dict[str, list[Path]] = {}
    for job in grid.jobs(scan_runs(grid.settings.results)):
        run_file = grid.run_path(job)
        if partial and not weights_path(run_file).exists():
            continue
        path = importance_path(run_file)
        if not _is_current(path, weights_path(run_file), settings):
            print(measure_job(run_file, settings, path), file=sys.stderr)
        files.setdefault(job.cell, []).append(path)
    if not files:
        raise ResultsError(
            f"{grid.settings.results}: no job has weights yet; `snakemake --cores N` trains them"
        )
    path = Path(grid.settings.results) / ("importance_partial.nc" if partial else "importance.nc")
    write_dataset(path, IMPORTANCE_FILE, gathered_importance(grid, files))
    return Measured(path, [file for files_of_cell in files.values() for file in files_of_cell])


def _is_current(path: Path, weights_file: Path, settings: ImportanceSettings) -> bool:
    """Return whether a file of importance has all statistics, of these weights and with these settings."""
    try:
        ds = load_dataset(path, IMPORTANCE_FILE)
    except ResultsError:
        return False
    made_with = ds.attrs.get("settings"), ds.attrs.get("weights_sha256")
    return ds.data_vars.keys() >= STATISTICS.keys() and made_with == (
        settings.model_dump_json(),
        _digest(weights_file),
    )


def _digest(path: Path) -> str:
    """Return the SHA-256 of a file; "" without the file, so that the reader of the weights says what is missing."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
