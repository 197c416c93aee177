"""What a results folder holds for the report; what is not there is None or empty, what is damaged is refused."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from hornlib.errors import ResultsError
from hornlib.parameters.statistics import StatisticsSettings
from hornlib.results.opening import open_results, select_sweep
from hornlib.statistics.looks import without_later_looks
from hornlib.statistics.write import digest, made_from, open_statistics, statistics_sweeps

__all__ = ["FIGURES_FOLDER", "Evidence", "SweepEvidence", "collect"]

FIGURES_FOLDER = Path("figures", "report")
"""Where the report puts its figures, within the results folder; other rules write beside it."""

RESULTS = ("results.nc", "partial.nc")
"""In this order where statistics.nc does not say which one it was made from."""


@dataclass(frozen=True)
class SweepEvidence:
    """What is known of one sweep.

    Attributes:
        name: the sweep.
        results: its cells, as `select_sweep` gives them; None before anything is gathered.
        statistics: its group of statistics.nc; None before statistics are made.
    """

    name: str
    results: xr.Dataset | None
    statistics: xr.Dataset | None

    @property
    def settings(self) -> StatisticsSettings:
        """Return the settings that the statistics were made with; those by default without statistics."""
        told = self.statistics.attrs.get("settings", "{}") if self.statistics is not None else "{}"
        return StatisticsSettings.model_validate_json(told)

    @property
    def subject(self) -> str:
        """Return the arm that the claims are about, "" where there is none."""
        return str(self.statistics.attrs.get("subject", "")) if self.statistics is not None else ""


@dataclass(frozen=True)
class Evidence:
    """What a results folder holds.

    Attributes:
        folder: the results folder.
        source: results.nc or partial.nc, the one that statistics.nc was made from; "" where neither is there.
        statistics_match: whether statistics.nc was made from `source`; True where there are no statistics.
        attributes: the file's global attributes.
        sweeps: the sweeps that were asked for, in their order.
        stability: groups of stability.nc (cells, plane, heterogeneity, orders); empty without it.
        mechanism: the experiments in mechanism/, by name.
        dynamics: the probes' files in dynamics/.
    """

    folder: Path
    source: str
    statistics_match: bool
    attributes: dict[str, Any]
    sweeps: Sequence[SweepEvidence]
    stability: dict[str, xr.Dataset]
    mechanism: dict[str, xr.Dataset]
    dynamics: Sequence[Path]


def collect(folder: Path, sweeps: Iterable[str]) -> Evidence:
    """Open everything that the report needs.

    Args:
        folder: the results folder.
        sweeps: names; one that the files do not know is kept, with nothing in it.

    Raises:
        ResultsError: a file is damaged, or of another schema; its name is told.
    """
    source, statistics_match = _source(folder)
    results = open_results(folder / source) if source else None
    return Evidence(
        folder=folder,
        source=source,
        statistics_match=statistics_match,
        attributes=dict(results.attrs) if results is not None else {},
        sweeps=[_sweep(results, folder / "statistics.nc", name) for name in sweeps],
        stability={
            group: _opened(folder / "stability.nc", group) for group in _groups(folder / "stability.nc")
        },
        mechanism={path.stem: _opened(path) for path in sorted((folder / "mechanism").glob("*.nc"))},
        dynamics=sorted((folder / "dynamics").glob("*.nc")),
    )


def _source(folder: Path) -> tuple[str, bool]:
    """Return the results file of the page, and whether the statistics were made from it.

    An old results.nc may lie beside a newer partial.nc, of which the statistics were made: the page must not show the
    numbers of one file beside the curves of the other.
    """
    present = [name for name in RESULTS if (folder / name).exists()]
    statistics = folder / "statistics.nc"
    origin = made_from(statistics) if statistics.exists() else ""
    if not present or not origin:
        return next(iter(present), ""), True
    matching = [name for name in present if digest(folder / name) == origin]
    return (matching or present)[0], bool(matching)


def _sweep(results: xr.Dataset | None, statistics: Path, name: str) -> SweepEvidence:
    summary = _statistics(statistics, name)
    if results is None or f"in_{name}" not in results.coords:
        return SweepEvidence(name, None, summary)
    own = select_sweep(results, name)
    return SweepEvidence(name, own if summary is None else without_later_looks(own, summary), summary)


def _statistics(path: Path, name: str) -> xr.Dataset | None:
    return open_statistics(path, name) if path.exists() and name in statistics_sweeps(path) else None


def _groups(path: Path) -> list[str]:
    """Return the groups of a file, none where there is no file."""
    import netCDF4

    if not path.exists():
        return []
    try:
        with netCDF4.Dataset(path) as file:
            return sorted(file.groups)
    except OSError as error:
        raise ResultsError(
            f"{path}: cannot be read ({error}); `hornlib {path.stem}` writes it anew"
        ) from error


def _opened(path: Path, group: str | None = None) -> xr.Dataset:
    try:
        with xr.open_dataset(path, group=group, engine="netcdf4") as ds:
            return ds.load()
    except (OSError, ValueError, RuntimeError) as error:
        raise ResultsError(
            f"{path}: cannot be read ({error}); remove it, and `snakemake --cores N` makes it anew"
        ) from error
