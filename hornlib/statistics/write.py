"""The file statistics.nc: the statistics of all sweeps, one netCDF group each, written completely or not at all."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import xarray as xr

from hornlib.errors import ResultsError, nearest
from hornlib.parameters.statistics import StatisticsSettings
from hornlib.results.analysis_files import STATISTICS_FILE
from hornlib.results.netcdf import load_dataset, write_groups
from hornlib.results.opening import open_results, part_of_results
from hornlib.statistics.appendix import Tuning
from hornlib.statistics.next_look import with_next_command
from hornlib.statistics.sequential import summarise_looks
from hornlib.statistics.summary import summarise

__all__ = [
    "digest",
    "made_from",
    "open_statistics",
    "statistics_sweeps",
    "write_statistics",
]


def write_statistics(
    results: Path,
    output: Path,
    settings: Mapping[str, StatisticsSettings],
    tunings: Mapping[str, Tuning] | None = None,
    references: Mapping[str, Mapping[str, float]] | None = None,
    files: Sequence[Path] = (),
) -> dict[str, str]:
    """Compute the statistics of sweeps and write them.

    Args:
        results: path of results.nc or partial.nc.
        output: path of statistics.nc.
        settings: sweep -> its settings.
        tunings: name of a tuned cell -> its tuning.
        references: sweep -> dataset -> A, the baseline's final validation metric on tuning seeds. For a sweep or a
            dataset that is absent here, A is the median of the baseline's runs.
        files: configuration files, for the commands in the statistics of sequential sweeps.

    Returns:
        Sweep -> its answer, one line for each claim.

    Raises:
        ResultsError: the results cannot be read or lack a sweep, or the file cannot be written.
    """
    answers: dict[str, str] = {}

    def summaries() -> Iterator[tuple[str, xr.Dataset]]:
        all_sweeps = open_results(results)
        for sweep, sweep_settings in settings.items():
            reference = _by_dataset((references or {}).get(sweep))
            ds = part_of_results(all_sweeps, sweep)
            if sweep_settings.sequential:
                summary = summarise_looks(ds, sweep_settings, reference, tunings)
                summary = with_next_command(summary, sweep, results, files)
            else:
                summary = summarise(ds, sweep_settings, reference, tunings)
            answers[sweep] = summary.attrs["answer"]
            yield sweep, summary

    attributes = {
        "title": "Statistics of hornlib sweeps",
        "made_from": digest(results),
        "sweeps": list(settings),
    }
    write_groups(output, STATISTICS_FILE, attributes, summaries())
    return answers


def open_statistics(path: str | Path, sweep: str) -> xr.Dataset:
    """Return the statistics of a sweep (contender, rival, target, axis, ..), loaded and verified.

    Args:
        path: path of statistics.nc.
        sweep: name of the sweep.

    Raises:
        ResultsError: there is no such file or sweep, or the file is damaged or has another schema version.
    """
    sweeps = statistics_sweeps(path)
    if sweep not in sweeps:
        raise ResultsError(
            f"{path}: has no statistics of a sweep {sweep!r}{nearest(sweep, sweeps)}; valid: {', '.join(sweeps)}"
        )
    return load_dataset(Path(path), STATISTICS_FILE, sweep)


def statistics_sweeps(path: str | Path) -> list[str]:
    """Return the sweeps of a statistics file.

    Raises:
        ResultsError: there is no such file, or it is damaged or has another schema version.
    """
    root = load_dataset(Path(path), STATISTICS_FILE)
    return [str(sweep) for sweep in np.atleast_1d(root.attrs["sweeps"])]


def _by_dataset(reference: Mapping[str, float] | None) -> xr.DataArray | None:
    if not reference:
        return None
    return xr.DataArray(list(reference.values()), {"dataset": np.array(list(reference), object)}, "dataset")


def made_from(path: Path) -> str:
    """Return the SHA-256 of the results that a statistics file was made from, "" if the file does not record it.

    Raises:
        ResultsError: the file is damaged.
    """
    return str(load_dataset(path, STATISTICS_FILE).attrs.get("made_from", ""))


def digest(path: Path) -> str:
    """Return the SHA-256 of a results file.

    Raises:
        ResultsError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ResultsError(
            f"{path}: cannot be read ({reason}); `snakemake --cores N` makes it, `hornlib gather` too"
        ) from error
