"""What probes cost: the same jobs of the default sweep with probes at their default setting and without, in one run.

python benchmarks/probes.py [--quick]   writes benchmarks/probes.md
"""

import contextlib
import dataclasses
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from hornlib.grid import read_grid
from hornlib.grid.cell import Cell, parse_specification
from hornlib.grid.jobs import Range
from hornlib.parameters.probes import ProbeSettings
from hornlib.training.job import TrainOptions
from hornlib.training.recording import Recorder
from hornlib.training.train import dynamics_path, train_job

CONFIG = Path(__file__).parents[1] / "config.yaml"
SEEDS = Range(0, 6)
WANTED = [
    ("HORN by rows, 32 nodes, T = 8", {"name": "horn", "heterogeneity": 1.0}, 5),
    ("HORN-CNN, C = (8, 16, 32), T = 8", {"name": "horn_cnn", "timesteps": 8, "heterogeneity": 1.0}, 3),
]


class Cost(NamedTuple):
    """CPU time of a job's process, its wall time, CPU time in `train_job` and in probes (s); the file's bytes."""

    process: float
    wall: float
    within: float
    probing: float
    size: int


def cell_of(wanted: dict, steps: int | None) -> Cell:
    """Return the default sweep's cell whose model has these parameters, with fewer steps if asked."""
    cells = read_grid([CONFIG]).cells.values()
    match = next(cell for cell in cells if wanted.items() <= cell.model.canonical().items())
    if steps is None:
        return match
    return dataclasses.replace(match, training=match.training.model_copy(update={"steps": steps}))


def job(specification: str, probed: bool) -> None:
    """Train one job, and print its CPU time and the size of its dynamics file: what a child process does."""
    cell = parse_specification(json.loads(specification))
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "runs" / f"{cell.name}.seeds-{SEEDS.first}-{SEEDS.last}.nc"
        probes = ProbeSettings() if probed else None
        options = TrainOptions(len(SEEDS.seeds()), 1, "cpu", Path(folder) / "checkpoints", 300.0, probes)
        spent = [0.0]
        Recorder.after_step = timed(Recorder.after_step, spent)
        started = time.process_time()
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            train_job(cell, SEEDS, output, options)
        size = dynamics_path(output).stat().st_size if probed else 0
        print(json.dumps([time.process_time() - started, spent[0], size]))


def timed(call: Callable, spent: list[float]) -> Callable:
    """Return the same call, its CPU time added to `spent`."""

    def timing(*arguments: object) -> object:
        started = time.process_time()
        result = call(*arguments)
        spent[0] += time.process_time() - started
        return result

    return timing


def measured(cell: Cell, probed: bool) -> Cost:
    """Train one job in a process of its own."""
    command = [sys.executable, __file__, "--job", json.dumps(cell.specification()), str(int(probed))]
    started, before = time.perf_counter(), os.times()
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    after, wall = os.times(), time.perf_counter() - started
    spent = after.children_user - before.children_user + after.children_system - before.children_system
    return Cost(spent, wall, *json.loads(said))


def row(label: str, cell: Cell, pairs: int) -> str:
    """Return a line of the table, from jobs that take turns."""
    costs: dict[bool, list[Cost]] = {True: [], False: []}
    for pair in range(pairs):
        for probed in (True, False) if pair % 2 else (False, True):
            costs[probed].append(measured(cell, probed))
    ratios = np.array(costs[True])[:, :3] / np.array(costs[False])[:, :3]
    process, wall, within = np.median(ratios, axis=0)
    share = np.median([cost.probing / cost.within for cost in costs[True]])
    off, on = (np.median([cost.process for cost in costs[probed]]) for probed in (False, True))
    return (
        f"| {label} | {pairs} | {off:.2f} | {on:.2f} | {process:.3f} ({ratios[:, 0].min():.3f} to "
        f"{ratios[:, 0].max():.3f}) | {wall:.3f} | {within:.3f} | {100 * share:.1f} | {costs[True][0].size / 1e3:.0f} |"
    )


def main() -> None:
    quick = "--quick" in sys.argv
    lines = [
        "# Probes: a job with them, at the default setting, against the same job without",
        "",
        f"`python benchmarks/probes.py`; torch {torch.__version__}, CPU, 1 thread of {os.cpu_count()} cores; cells of "
        f"config.yaml, {len(SEEDS.seeds())} seeds side by side; medians of pairs of jobs that take turns (in brackets "
        "the least and the largest ratio). A job is a process: the start of Python, data, training, evaluations, "
        "checkpoint and files; the last ratio and the share leave the start out. A ratio below 1 was not "
        "looked into: other work shared the machine; the share is what probes themselves take.",
        "",
        "| cell | pairs | CPU seconds without | with | ratio of CPU time | of wall time | of CPU time in `train_job` "
        "| share of that in probes, % | dynamics file, kB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for label, wanted, pairs in WANTED:
        lines.append(row(label, cell_of(wanted, 20 if quick else None), 1 if quick else pairs))
        print(lines[-1], flush=True)
    if not quick:
        (Path(__file__).parent / "probes.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    if "--job" in sys.argv:
        job(sys.argv[2], sys.argv[3] == "1")
    else:
        main()
