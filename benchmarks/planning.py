"""Planning 10,000 cells: hornlib's own share phase by phase, beside Snakemake's, each in fresh processes.

`python benchmarks/planning.py` writes benchmarks/planning.md; `--cells N` plans fewer. Half of the run files
are there.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[1]
SCRIPTS = Path(sys.executable).parent
ROUNDS, SNAKEMAKE_ROUNDS = 7, 3
PHASES = ("import", "read", "expand", "list run files", "cut jobs")

SHORT_AXES = """\
seeds: 5
per_job: 5
sweeps:
  short_axes:
    data: {{name: digits, validation: [0.1, 0.2]}}
    model:
      - {{name: horn_cnn, num_nodes: [2, 4, 6, 8, 12], timesteps: [8, 10, 12, 16], heterogeneity: [0, 0.5]}}
      - {{name: leaky_cnn, num_nodes: [2, 4, 6, 8, 12], timesteps: [8, 10, 12, 16]}}
      - {{name: cnn, activation: [relu, tanh], match: {{to: horn_cnn, by: parameters}}}}
    training: {{learning_rate: {rates}}}
"""
LONG_AXIS = """\
seeds: 5
per_job: 5
sweeps:
  long_axis:
    data: {{name: digits}}
    model: {{name: horn_cnn, timesteps: 8, omega: {omegas}}}
"""


def main() -> None:
    """Measure both grids and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--phases", type=Path, help="internal: time the phases of one configuration")
    options = parser.parse_args()
    if options.phases:
        print(json.dumps(phases(options.phases)))
        return
    num_rates = options.cells // (2 * (40 + 20 + 10))
    grids = {
        f"three arms, {num_rates} learning rates, matched rivals": SHORT_AXES.format(
            rates=[round(1e-4 * 1.05**k, 9) for k in range(num_rates)]
        ),
        "one axis, every network another": LONG_AXIS.format(
            omegas=[round(0.1 + k / options.cells, 6) for k in range(options.cells)]
        ),
    }
    measured = {name: measure(text) for name, text in grids.items()}
    lines = report(measured)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def phases(config: Path) -> dict[str, float]:
    """Time reading, expanding, listing and cutting in this process, imports included."""
    marks = [time.perf_counter()]
    from hornlib.config.reading import read_config
    from hornlib.grid import expand
    from hornlib.grid.jobs import scan_runs

    marks.append(time.perf_counter())
    read = read_config([config])
    marks.append(time.perf_counter())
    grid = expand(read)
    marks.append(time.perf_counter())
    present = scan_runs(config.parent / grid.settings.results)
    marks.append(time.perf_counter())
    jobs = grid.jobs(present)
    marks.append(time.perf_counter())
    taken = {phase: end - start for phase, (start, end) in zip(PHASES, pairwise(marks), strict=True)}
    return {**taken, "cells": len(grid.cells), "jobs": len(jobs), "there": sum(map(len, present.values()))}


def measure(text: str) -> dict[str, Any]:
    """Return medians of every phase, of `hornlib plan`, and of Snakemake's dry run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "config.yaml"
        config.write_text(text)
        paths = run([SCRIPTS / "hornlib", "plan", "--paths"], folder).split()
        (folder / "results" / "runs").mkdir(parents=True)
        for path in paths[::2]:
            (folder / path).touch()
        phases = [
            json.loads(run([sys.executable, __file__, "--phases", config], folder)) for _ in range(ROUNDS)
        ]
        snakemake = [
            SCRIPTS / "snakemake",
            "--snakefile",
            REPOSITORY / "Snakefile",
            "-n",
            "-q",
            "--cores",
            "2",
        ]
        return {
            **{key: statistics.median(one[key] for one in phases) for key in phases[0]},
            "plan --paths": timed(lambda: run([SCRIPTS / "hornlib", "plan", "--paths"], folder), ROUNDS),
            "plan": timed(lambda: run([SCRIPTS / "hornlib", "plan"], folder), ROUNDS),
            "snakemake": timed(lambda: run(snakemake, folder), SNAKEMAKE_ROUNDS),
        }


def run(words: list[Any], folder: Path) -> str:
    """Run a command and return what it printed."""
    done = subprocess.run(list(map(str, words)), cwd=folder, text=True, capture_output=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def timed(call: Callable[[], object], rounds: int) -> float:
    """Return the median wall time of so many calls."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def report(measured: dict[str, dict[str, Any]]) -> list[str]:
    """Return the table in Markdown."""
    first = next(iter(measured.values()))
    rows = [(phase, [f"{one[phase]:.2f}" for one in measured.values()]) for phase in PHASES]
    hornlib_seconds = [sum(one[phase] for phase in PHASES) for one in measured.values()]
    rows.append(("**hornlib's own share**", [f"**{seconds:.2f}**" for seconds in hornlib_seconds]))
    whole = [one["snakemake"] for one in measured.values()]
    rows.append(("`snakemake -n -q`, whole", [f"{seconds:.1f}" for seconds in whole]))
    rest = [seconds - share for seconds, share in zip(whole, hornlib_seconds, strict=True)]
    rows.append(("of it Snakemake's share", [f"{seconds:.1f}" for seconds in rest]))
    rows += [
        (f"`hornlib {name}`, whole", [f"{one[name]:.2f}" for one in measured.values()]) for name in COMMANDS
    ]
    versions = ", ".join(f"{name} {version(name)}" for name in ("snakemake", "pydantic", "ruamel.yaml"))
    return [
        "# Planning: hornlib's own share and Snakemake's",
        "",
        f"Seconds; {first['cells']:,.0f} cells of 5 seeds, one job a cell, half of the run files there "
        f"(empty files of the right names). Medians over {ROUNDS} fresh processes, {SNAKEMAKE_ROUNDS} for "
        f"Snakemake; Python {platform.python_version()} on {platform.machine()}, {os.cpu_count()} cores under a "
        f"load of {os.getloadavg()[2]:.1f}; {versions}.",
        "Made by `python benchmarks/planning.py`.",
        "",
        f"| | {' | '.join(measured)} |",
        "|---|" + "---:|" * len(measured),
        *(f"| {label} | {' | '.join(values)} |" for label, values in rows),
    ]


COMMANDS = ("plan --paths", "plan")

if __name__ == "__main__":
    main()
