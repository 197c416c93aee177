"""Statistics of all sweeps as one file, statistics.nc: one netCDF group a sweep, written whole or not at all."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from hornlib import __version__
from hornlib.errors import ResultsError, nearest
from hornlib.parameters.statistics import StatisticsSettings
from hornlib.provenance import commit
from hornlib.results.atomic import written_atomically
from hornlib.results.opening import open_results
from hornlib.statistics.appendix import Tuning
from hornlib.statistics.next_look import with_next_command
from hornlib.statistics.sequential import summarise_looks
from hornlib.statistics.summary import summarise

__all__ = [
    "SCHEMA_VERSION",
    "digest",
    "made_from",
    "open_statistics",
    "statistics_sweeps",
    "write_statistics",
]

SCHEMA_VERSION = 2

AGAIN = "`hornlib statistics` writes it anew"


def write_statistics(
    results: Path,
    output: Path,
    settings: Mapping[str, StatisticsSettings],
    tunings: Mapping[str, Tuning] | None = None,
    references: Mapping[str, Mapping[str, float]] | None = None,
    files: Sequence[Path] = (),
) -> dict[str, str]:
    """Write the statistics of sweeps.

    Args:
        results: results.nc, or partial.nc.
        output: statistics.nc.
        settings: sweep -> whom its claims are about, against whom.
        tunings: what is known of the tuning of tuned cells, by the cell's name.
        references: sweep -> dataset -> A, the baseline's final validation metric on tuning seeds; of a sweep that
            is not named, A is the median of the baseline's runs.
        files: of the configuration, for the commands that statistics of sequential sweeps name.

    Returns:
        Sweep -> its answer, one line for each claim.

    Raises:
        ResultsError: the results cannot be read, have no such sweep, or the file cannot be written.
    """
    told = {}
    with written_atomically(output) as temporary:
        root = {
            "title": "Statistics of hornlib sweeps",
            "schema_version": SCHEMA_VERSION,
            "hornlib_version": __version__,
            "hornlib_commit": commit(),
            "made_from": digest(results),
            "sweeps": list(settings),
        }
        xr.Dataset(attrs=root).to_netcdf(temporary, mode="w", engine="netcdf4")
        for sweep, own in settings.items():
            reference = _by_dataset((references or {}).get(sweep))
            ds = open_results(results, sweep=sweep)
            if own.sequential:
                summary = summarise_looks(ds, own, reference, tunings)
                summary = with_next_command(summary, sweep, results, files)
            else:
                summary = summarise(ds, own, reference, tunings)
            told[sweep] = summary.attrs["answer"]
            summary.to_netcdf(temporary, mode="a", group=sweep, engine="netcdf4", encoding=_encoding(summary))
    return told


def open_statistics(path: str | Path, sweep: str) -> xr.Dataset:
    """Return the statistics of a sweep, loaded and verified.

    Raises:
        ResultsError: there is no such file or sweep, or the file is damaged or of another schema version.
    """
    sweeps = statistics_sweeps(path)
    if sweep not in sweeps:
        raise ResultsError(
            f"{path}: has no statistics of a sweep {sweep!r}{nearest(sweep, sweeps)}; valid: {', '.join(sweeps)}"
        )
    return _read(Path(path), sweep).drop_encoding()


def statistics_sweeps(path: str | Path) -> list[str]:
    """Return the sweeps that a statistics file holds.

    Raises:
        ResultsError: there is no such file, or it is damaged or of another schema version.
    """
    root = _read(Path(path), None)
    if (version := root.attrs.get("schema_version")) != SCHEMA_VERSION:
        raise ResultsError(
            f"{path}: has schema version {version}, this hornlib reads {SCHEMA_VERSION}; {AGAIN}"
        )
    return [str(sweep) for sweep in np.atleast_1d(root.attrs["sweeps"])]


def _read(path: Path, group: str | None) -> xr.Dataset:
    try:
        with xr.open_dataset(path, group=group, engine="netcdf4") as ds:
            return ds.load()
    except FileNotFoundError:
        raise ResultsError(f"{path}: there is no such file; {AGAIN}") from None
    except (
        Exception
    ) as error:  # netCDF4 raises OSError, RuntimeError, KeyError, UnicodeError ..., by what is hit
        raise ResultsError(f"{path}: is damaged and cannot be read ({error}); {AGAIN}") from error


def _by_dataset(reference: Mapping[str, float] | None) -> xr.DataArray | None:
    if not reference:
        return None
    return xr.DataArray(list(reference.values()), {"dataset": np.array(list(reference), object)}, "dataset")


def made_from(path: Path) -> str:
    """Return the SHA-256 of the results that a statistics file was made from, "" where it does not say.

    Raises:
        ResultsError: the file is damaged.
    """
    return str(_read(path, None).attrs.get("made_from", ""))


def digest(path: Path) -> str:
    """Return the SHA-256 of a results file.

    Raises:
        ResultsError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        reason = error.strerror or str(error)
        raise ResultsError(
            f"{path}: cannot be read ({reason}); `snakemake --cores N` makes it, `hornlib gather` too"
        ) from error


def _encoding(summary: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Return compression, and checksums so that a damaged number is an error and not a result."""
    return {
        str(name): {"zlib": True, "complevel": 1, "fletcher32": True}
        for name, variable in summary.data_vars.items()
        if variable.dtype.kind in "fi" and variable.ndim
    }
