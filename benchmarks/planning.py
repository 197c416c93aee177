"""Planning 10,000 cells: hornlib's own share phase by phase, beside Snakemake's, each in fresh processes.

`python benchmarks/planning.py` writes benchmarks/planning.md; `--cells N` plans fewer. Half of the run files
are there: sealed files of the size of trained ones, which `hornlib plan` reads to verify them. Times are processor
times, because a busy machine changes them less than the clock's.
`--before FOLDER`, a checkout of an earlier commit (`git worktree add FOLDER COMMIT`), times the dry run of
that commit too, in turn with this one's.
"""

import argparse
import json
import os
import platform
import resource
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

from checkouts import REPOSITORY, commit_of

SCRIPTS = Path(sys.executable).parent
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
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--snakemake-rounds", type=int, default=3)
    parser.add_argument("--before", type=Path, help="a checkout of an earlier commit")
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
    measured = {name: measure(text, options) for name, text in grids.items()}
    lines = report(measured, options)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def phases(config: Path) -> dict[str, float]:
    """Time reading, expanding, listing and cutting in this process, imports included."""
    marks = [time.process_time()]
    from hornlib.config.reading import read_config
    from hornlib.grid import expand
    from hornlib.grid.jobs import scan_runs

    marks.append(time.process_time())
    read = read_config([config])
    marks.append(time.process_time())
    grid = expand(read)
    marks.append(time.process_time())
    present = scan_runs(config.parent / grid.settings.results)
    marks.append(time.process_time())
    jobs = grid.jobs(present)
    marks.append(time.process_time())
    taken = {phase: end - start for phase, (start, end) in zip(PHASES, pairwise(marks), strict=True)}
    return {**taken, "cells": len(grid.cells), "jobs": len(jobs), "there": sum(map(len, present.values()))}


def measure(text: str, options: argparse.Namespace) -> dict[str, Any]:
    """Return medians of every phase, of `hornlib plan`, and of Snakemake's dry run."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "config.yaml"
        config.write_text(text)
        paths = run([SCRIPTS / "hornlib", "plan", "--paths"], folder).split()
        (folder / "results" / "runs").mkdir(parents=True)
        content = run_file_content(config)
        for path in paths[::2]:
            (folder / path).write_bytes(content)
        phases = [
            json.loads(run([sys.executable, __file__, "--phases", config], folder))
            for _ in range(options.rounds)
        ]
        commits = {"snakemake": REPOSITORY, **({"before": options.before} if options.before else {})}
        dry_runs: dict[str, list[float]] = {key: [] for key in commits}
        for _ in range(options.snakemake_rounds):
            for key, repository in commits.items():
                dry_runs[key].append(seconds(lambda at=repository: dry_run(at, folder)))
        commands = {"plan --paths": ["plan", "--paths"], "plan": ["plan"]}
        return {
            **{key: statistics.median(one[key] for one in phases) for key in phases[0]},
            **{
                key: statistics.median(
                    seconds(lambda words=words: run([SCRIPTS / "hornlib", *words], folder))
                    for _ in range(options.rounds)
                )
                for key, words in commands.items()
            },
            **{key: statistics.median(times) for key, times in dry_runs.items()},
            "bytes": len(content),
        }


def run_file_content(config: Path) -> bytes:
    """Return a sealed run file of the first job of a configuration, with curves as long as a training gives."""
    import numpy as np

    from hornlib.grid import read_grid
    from hornlib.results.run_file import RunRecord, write_run_file
    from hornlib.results.variables import CURVES

    grid = read_grid([config])
    job = next(iter(grid.jobs({})))
    cell, seeds = grid.cells[job.cell], list(job.range.seeds())
    steps = np.array(cell.training.evaluation_steps(cell.data.num_train))
    curves = {
        name: np.zeros((len(seeds), len(steps))) for name, declared in CURVES.items() if not declared.optional
    }
    nothing, ones = np.full(len(seeds), np.nan), np.ones(len(seeds))
    record = RunRecord(seeds, steps, curves, ["complete"] * len(seeds), nothing, ones, {"host": "benchmark"})
    path = config.parent / job.file_name
    write_run_file(path, cell, record)
    return path.read_bytes()


def dry_run(repository: Path, folder: Path) -> None:
    """Let Snakemake plan with the Snakefile and the library of a checkout."""
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        repository / "Snakefile",
        "-n",
        "-q",
        "--cores",
        "2",
    ]
    run(command, folder, PYTHONPATH=str(repository))


def run(words: list[Any], folder: Path, **variables: str) -> str:
    """Run a command and return what it printed."""
    environment = {**os.environ, **variables}
    done = subprocess.run(
        list(map(str, words)), cwd=folder, env=environment, text=True, capture_output=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def seconds(call: Callable[[], object]) -> float:
    """Return the processor time of the programs that a call runs."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    call()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def report(measured: dict[str, dict[str, Any]], options: argparse.Namespace) -> list[str]:
    """Return the table in Markdown."""
    first = next(iter(measured.values()))
    rows = [(phase, [f"{one[phase]:.2f}" for one in measured.values()]) for phase in PHASES]
    hornlib_seconds = [sum(one[phase] for phase in PHASES) for one in measured.values()]
    rows.append(("**hornlib's own share**", [f"**{share:.2f}**" for share in hornlib_seconds]))
    whole = [one["snakemake"] for one in measured.values()]
    rows.append(("`snakemake -n -q`, whole", [f"{duration:.1f}" for duration in whole]))
    rest = [duration - share for duration, share in zip(whole, hornlib_seconds, strict=True)]
    rows.append(("of it Snakemake's share", [f"{duration:.1f}" for duration in rest]))
    if options.before:
        commit = commit_of(options.before)
        before = [one["before"] for one in measured.values()]
        rows.append((f"`snakemake -n -q` of {commit}, in turn", [f"{duration:.1f}" for duration in before]))
        ratios = [now / then for now, then in zip(whole, before, strict=True)]
        rows.append(("ratio of the two", [f"{ratio:.2f}" for ratio in ratios]))
    rows += [
        (f"`hornlib {name}`, whole", [f"{one[name]:.2f}" for one in measured.values()]) for name in COMMANDS
    ]
    versions = ", ".join(f"{name} {version(name)}" for name in ("snakemake", "pydantic", "ruamel.yaml"))
    return [
        "# Planning: hornlib's own share and Snakemake's",
        "",
        f"Processor seconds; {first['cells']:,.0f} cells of 5 seeds, one job a cell, half of the run files there "
        f"(sealed files of {first['bytes'] / 1000:.0f} kB). Medians of n = {options.rounds} fresh processes, "
        f"n = {options.snakemake_rounds} for Snakemake; Python {platform.python_version()} on {platform.machine()}, "
        f"{os.cpu_count()} cores under a load of {os.getloadavg()[2]:.1f}; {versions}.",
        f"Made by `{' '.join(['python benchmarks/planning.py', *sys.argv[1:]])}`.",
        "",
        f"| | {' | '.join(measured)} |",
        "|---|" + "---:|" * len(measured),
        *(f"| {label} | {' | '.join(values)} |" for label, values in rows),
    ]


COMMANDS = ("plan --paths", "plan")

if __name__ == "__main__":
    main()
