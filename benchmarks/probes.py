"""What probes cost: the same jobs of the default sweep with probes at their default setting and without, in one run.

python benchmarks/probes.py [--quick]   writes benchmarks/probes.md
"""

import contextlib
import io
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from hornlib.cell import Cell
from hornlib.dynamics.probes.parameters import ProbeSettings
from hornlib.grid import read_grid
from hornlib.jobs import Range
from hornlib.training.job import TrainOptions
from hornlib.training.train import dynamics_path, train_job

CONFIG = Path(__file__).parents[1] / "config.yaml"
SEEDS = Range(0, 6)
WANTED = [
    ("HORN-CNN, C = (8, 16, 32), T = 8", {"name": "horn_cnn", "timesteps": 8, "heterogeneity": 1.0}),
    ("HORN by rows, 32 nodes, T = 8", {"name": "horn", "heterogeneity": 1.0}),
]


def cell_of(wanted: dict) -> Cell:
    """Return the default sweep's cell whose model has these parameters."""
    cells = read_grid([CONFIG]).cells.values()
    return next(cell for cell in cells if wanted.items() <= cell.model.canonical().items())


def measured(cell: Cell, folder: Path, probes: ProbeSettings | None) -> tuple[float, float, int]:
    """Train one job; return its wall time and CPU time, seconds, and the size of its dynamics file."""
    output = folder / "runs" / f"{cell.name}.seeds-{SEEDS.first}-{SEEDS.last}.nc"
    options = TrainOptions(len(SEEDS.seeds()), 1, "cpu", folder / "checkpoints", 300.0, probes)
    wall, processor = time.perf_counter(), time.process_time()
    with contextlib.redirect_stderr(io.StringIO()):
        train_job(cell, SEEDS, output, options)
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    return wall, processor, dynamics_path(output).stat().st_size if probes else 0


def row(label: str, wanted: dict, repetitions: int, steps: int | None) -> str:
    """Return a line of the table, from jobs that take turns."""
    cell = cell_of(wanted)
    if steps is not None:
        training = cell.training.model_copy(update={"steps": steps})
        cell = type(cell)(cell.data, cell.model, cell.structure, training, cell.name)
    with_probes, without, size = [], [], 0
    for repetition in range(repetitions):
        for probes in (ProbeSettings(), None) if repetition % 2 else (None, ProbeSettings()):
            with tempfile.TemporaryDirectory() as folder:
                *times, found = measured(cell, Path(folder), probes)
            (with_probes if probes else without).append(times)
            size = max(size, found)
    ratios = [
        [one / other for one, other in zip(*pair, strict=True)]
        for pair in zip(with_probes, without, strict=True)
    ]
    wall, processor = (statistics.median(ratio[kind] for ratio in ratios) for kind in (0, 1))
    low, high = (extreme(ratio[1] for ratio in ratios) for extreme in (min, max))
    off, on = (statistics.median(times[1] for times in found) for found in (without, with_probes))
    return (
        f"| {label} | {off:.2f} | {on:.2f} | {processor:.3f} ({low:.3f} to {high:.3f}) | {wall:.3f} "
        f"| {size / 1e3:.0f} |"
    )


def main() -> None:
    quick = "--quick" in sys.argv
    repetitions, steps = (1, 20) if quick else (3, None)
    lines = [
        "# Probes: a job with them, at the default setting, against the same job without",
        "",
        f"`python benchmarks/probes.py`; torch {torch.__version__}, CPU, 1 thread of {os.cpu_count()} cores; cells of "
        f"config.yaml, {len(SEEDS.seeds())} seeds side by side; medians of {repetitions} pairs of jobs that take "
        "turns (in brackets the least and the largest ratio). A job is `train_job`: data, evaluations, checkpoint "
        "and files; not the start of Python, which would make the share smaller.",
        "",
        "| cell | CPU seconds without | with | ratio of CPU time | of wall time | dynamics file, kB |",
        "|---|---|---|---|---|---|",
    ]
    for label, wanted in WANTED:
        lines.append(row(label, wanted, repetitions, steps))
        print(lines[-1], flush=True)
    if not quick:
        (Path(__file__).parent / "probes.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
