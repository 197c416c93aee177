"""Where the numbers come from: versions, commits, devices, routes of recurrences, seeds, hours, and missing runs."""

import json
from dataclasses import replace

import numpy as np
import xarray as xr

from hornlib import __version__
from hornlib.provenance import commit
from hornlib.report.blocks import Block, Facts, Missing, Paragraph, Section
from hornlib.report.evidence import ReportEvidence, SweepEvidence
from hornlib.report.routes import routes_of_runs, routes_of_seconds
from hornlib.report.sections.by_sweep import by_sweep, no_results
from hornlib.report.wording import number

__all__ = ["other_statistics", "provenance"]

SUMMARY = "Versions, commits, devices, routes of recurrences, seeds and hours."

SECONDS_AN_HOUR = 3600


def provenance(evidence: ReportEvidence) -> Section:
    """Return the section on provenance."""
    if not evidence.source:
        missing = Missing("The results folder has neither results.nc nor partial.nc.", "snakemake --cores 2")
        return Section("provenance", "Provenance", [missing], SUMMARY)
    section = by_sweep(evidence, "provenance", "Provenance", _of_sweep, SUMMARY)
    blocks: list[Block] = [Facts(_of_files(evidence))]
    if mixed := str(evidence.attributes.get("mixed_versions") or ""):
        counts = "; ".join(
            f"{version}: {len(files)} run files" for version, files in json.loads(mixed).items()
        )
        blocks.append(Paragraph(f"Run files of several versions of hornlib are mixed: {counts}."))
    return replace(section, blocks=[*blocks, *section.blocks])


def other_statistics(evidence: ReportEvidence) -> str:
    """Return a sentence which says that the statistics and the results of the page have different runs."""
    results = evidence.folder / evidence.source
    return (
        f"statistics.nc was not made from {evidence.source}: verdicts and tables may be about other runs than the "
        f"curves. `hornlib statistics --results {results}` makes it anew."
    )


def _of_files(evidence: ReportEvidence) -> list[tuple[str, str]]:
    facts = [("Results", f"{evidence.source}, gathered by hornlib {_version(evidence.attributes)}")]
    if statistics := evidence.statistics_attributes:
        origin = f"from results with the SHA-256 {statistics.get('made_from', 'unknown')}"
        facts.append(("Statistics", f"statistics.nc, made by hornlib {_version(statistics)}, {origin}"))
    return [*facts, ("Report", f"hornlib {__version__}, commit {commit()}")]


def _version(attributes: dict[str, object]) -> str:
    return f"{attributes.get('hornlib_version', 'unknown')}, commit {attributes.get('hornlib_commit', 'unknown')}"


def _of_sweep(sweep: SweepEvidence) -> list[Block]:
    if sweep.results is None:
        return [no_results(sweep)]
    ds = sweep.results
    status = ds["status"].values
    counts = {word: int((status == word).sum()) for word in ("complete", "diverged", "missing")}
    seeds = ds["seed"].values
    return [
        Facts(
            [
                ("Seeds", ", ".join(str(seed) for seed in seeds) if len(seeds) <= 20 else _span(seeds)),
                ("Cells", f"{ds.sizes['cell']}"),
                ("Runs", ", ".join(f"{count} {word}" for word, count in counts.items())),
                ("Devices", _names(ds, "device")),
                ("CPUs", _names(ds, "cpu_model")),
                ("Recurrences", routes_of_runs(ds)),
                *_calibrated_seconds(sweep, ds),
                ("Device hours", _hours(ds)),
                *_statistics_flops(ds),
            ]
        )
    ]


def _names(ds: xr.Dataset, variable: str) -> str:
    """Return the distinct words of a variable of runs, (cell, seed)."""
    words = sorted({str(name) for name in ds[variable].values.flat} - {""}) if variable in ds else []
    return ", ".join(words) or "not known"


def _calibrated_seconds(sweep: SweepEvidence, ds: xr.Dataset) -> list[tuple[str, str]]:
    """Return the device of the calibrated seconds and the routes on it; nothing where no device was measured."""
    device = sweep.calibration_device
    return (
        [("Calibrated seconds", f"on {device}; recurrences: {routes_of_seconds(ds, device)}")]
        if device
        else []
    )


def _span(seeds: np.ndarray) -> str:
    return f"{len(seeds)} seeds from {seeds.min()} to {seeds.max()}"


def _hours(ds: xr.Dataset) -> str:
    """Return the sum over runs of their share of the clock of their job."""
    if "seconds" not in ds:
        return "not known"
    hours = float(ds["seconds"].max("step").sum()) / SECONDS_AN_HOUR
    return f"{number(hours)} h of training in all, by the clocks of the jobs"


def _statistics_flops(ds: xr.Dataset) -> list[tuple[str, str]]:
    """Return the FLOPs that evaluations spent on batch norm's statistics; nothing where no run computed any."""
    if "statistics_flops" not in ds:
        return []
    extra, training = (ds[name].max("step") for name in ("statistics_flops", "training_flops"))
    is_known = (extra > 0) & (training > 0)
    if not is_known.any():
        return []
    percent = 100 * float(extra.where(is_known).sum() / training.where(is_known).sum())
    sentences = (
        f"Evaluations spent {number(percent)} % of the training FLOPs on them, in the runs that have them (n = "
        f"{int(is_known.sum())}). No training FLOPs on this page include them."
    )
    return [("Statistics of batch norm", sentences)]
