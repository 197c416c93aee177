"""Evidence: everything of a results folder that the report shows. Missing files give None or empty values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xarray as xr

from hornlib.errors import ResultsError
from hornlib.parameters.statistics import StatisticsSettings
from hornlib.results.analysis_files import EXPERIMENT_FILE, STABILITY_FILE, STATISTICS_FILE
from hornlib.results.importance_file import open_importance
from hornlib.results.netcdf import load_dataset, load_groups
from hornlib.results.opening import open_results, select_sweep
from hornlib.results.run_file import read_contents
from hornlib.statistics.looks import without_later_looks
from hornlib.statistics.write import digest, made_from

__all__ = ["FIGURES_FOLDER", "ReportEvidence", "SweepEvidence", "collect", "results_of_statistics"]

FIGURES_FOLDER = Path("figures", "report")
"""Where the report puts its figures, within the results folder; other rules write beside it."""

RESULTS = ("results.nc", "partial.nc")
"""In this order where statistics.nc does not say which one it was made from."""


@dataclass(frozen=True)
class SweepEvidence:
    """Results and statistics of one sweep.

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
        """Return the settings that the statistics were made with; without statistics, the default settings."""
        settings = self.statistics.attrs.get("settings", "{}") if self.statistics is not None else "{}"
        return StatisticsSettings.model_validate_json(settings)

    @property
    def subject(self) -> str:
        """Return the arm that claims without a subject of their own are about, "" where there is none."""
        return str(self.statistics.attrs.get("subject", "")) if self.statistics is not None else ""

    @property
    def calibration_device(self) -> str:
        """Return the device of the calibrated seconds, "" where none was measured."""
        return str(self.statistics.attrs.get("calibration_device", "")) if self.statistics is not None else ""


@dataclass(frozen=True)
class ReportEvidence:
    """Everything that the report shows of a results folder.

    Attributes:
        folder: the results folder.
        source: results.nc or partial.nc, the one that statistics.nc was made from; "" where neither exists.
        statistics_match: whether statistics.nc was made from `source`; True without statistics.
        attributes: the global attributes of `source`.
        statistics_attributes: the global attributes of statistics.nc; empty without it.
        sweeps: the sweeps that the configuration names, in their order.
        stability: groups of stability.nc (cells, plane, heterogeneity, orders); empty without it.
        mechanism: datasets of the experiments in mechanism/, by name.
        dynamics: files of the probes in dynamics/.
        configuration: the configuration files.
        last_run: attributes of the run file that was written last: host, finished, device, ...
        importance: importance.nc; None where it was not measured.
    """

    folder: Path
    source: str
    statistics_match: bool
    attributes: dict[str, Any]
    statistics_attributes: dict[str, Any]
    sweeps: Sequence[SweepEvidence]
    stability: dict[str, xr.Dataset]
    mechanism: dict[str, xr.Dataset]
    dynamics: Sequence[Path]
    configuration: Sequence[Path] = ()
    last_run: dict[str, Any] = field(default_factory=dict)
    importance: xr.Dataset | None = None


def collect(folder: Path, sweeps: Iterable[str], configuration: Iterable[str | Path] = ()) -> ReportEvidence:
    """Open everything that the report needs.

    Args:
        folder: the results folder.
        sweeps: names. A sweep that the files do not have stays in the list, with None for its datasets.
        configuration: the configuration files, which the page names.

    Raises:
        ResultsError: a file is damaged or has another schema version; the message names it.
    """
    source, statistics_match = results_of_statistics(folder)
    results = open_results(folder / source) if source else None
    stability, statistics = folder / "stability.nc", folder / "statistics.nc"
    importance = folder / "importance.nc"
    summaries = load_groups(statistics, STATISTICS_FILE) if statistics.exists() else {}
    return ReportEvidence(
        folder=folder,
        source=source,
        statistics_match=statistics_match,
        attributes=dict(results.attrs) if results is not None else {},
        statistics_attributes=load_dataset(statistics, STATISTICS_FILE).attrs if statistics.exists() else {},
        sweeps=[_sweep(name, results, summaries.get(name)) for name in sweeps],
        stability=load_groups(stability, STABILITY_FILE) if stability.exists() else {},
        mechanism={
            path.stem: load_dataset(path, EXPERIMENT_FILE)
            for path in sorted((folder / "mechanism").glob("*.nc"))
        },
        dynamics=sorted((folder / "dynamics").glob("*.nc")),
        configuration=[Path(file) for file in configuration],
        last_run=_last_run(folder / "runs"),
        importance=open_importance(importance) if importance.exists() else None,
    )


def _last_run(folder: Path) -> dict[str, Any]:
    """Return the attributes of the newest run file, none where there is no readable one: the page only names them."""
    paths = sorted(folder.glob("*.nc"), key=lambda path: path.stat().st_mtime)
    if not paths:
        return {}
    try:
        return read_contents(paths[-1]).attributes
    except ResultsError:
        return {}


def results_of_statistics(folder: Path) -> tuple[str, bool]:
    """Return the results file that the statistics were made from, and whether it still is what they were made from.

    An old results.nc may lie beside a newer partial.nc, from which the statistics were made. The page must not show
    numbers of one file beside curves of the other.
    """
    present = [name for name in RESULTS if (folder / name).exists()]
    statistics = folder / "statistics.nc"
    origin = made_from(statistics) if statistics.exists() else ""
    if not present or not origin:
        return next(iter(present), ""), True
    matching = [name for name in present if digest(folder / name) == origin]
    return (matching or present)[0], bool(matching)


def _sweep(name: str, results: xr.Dataset | None, summary: xr.Dataset | None) -> SweepEvidence:
    if results is None or f"in_{name}" not in results.coords:
        return SweepEvidence(name, None, summary)
    cells = select_sweep(results, name)
    return SweepEvidence(name, cells if summary is None else without_later_looks(cells, summary), summary)
