"""The default sweep from the command to its report: this commit over an earlier one.

python benchmarks/default_sweep.py --before FOLDER [--rounds N]   writes benchmarks/default_sweep.md

FOLDER is a checkout of an earlier commit (`git worktree add FOLDER COMMIT`). Both commits run their own default sweep
in an empty folder, in turn. Processor time counts all processes of a sweep, waiting for none.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from checkouts import REPOSITORY, commit_of, environment_of

CORES = 2


class Sweep(NamedTuple):
    """What one sweep took: wall and processor seconds."""

    wall: float
    processor: float


def sweep(checkout: Path) -> Sweep:
    """Run the default sweep of a checkout in an empty folder."""
    environment = environment_of(checkout)
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    environment["PYTHONPATH"] = os.pathsep.join([str(checkout), str(checkout / "cluster")])
    command = [sys.executable, "-m", "snakemake", "--cores", str(CORES), "--quiet", "all"]
    command += ["--snakefile", str(checkout / "Snakefile"), "--configfile", str(checkout / "config.yaml")]
    with tempfile.TemporaryDirectory() as folder:
        started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, cwd=folder, env=environment, check=True)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        if not (Path(folder) / "results" / "report.html").exists():
            raise SystemExit(f"{checkout}: the sweep ended without a report")
    return Sweep(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def main() -> None:
    """Run the sweeps in turn and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", type=Path, required=True, help="checkout of an earlier commit")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    checkouts = [arguments.before.resolve(), REPOSITORY]
    pairs = [[sweep(checkout) for checkout in checkouts] for _ in range(arguments.rounds)]
    lines = [
        "# The default sweep: now over before",
        f"\n`python benchmarks/default_sweep.py --before FOLDER --rounds {arguments.rounds}`, "
        f"with {commit_of(arguments.before)} in FOLDER; "
        f"torch {version('torch')}, CPU, {CORES} cores, load of the machine {os.getloadavg()[0]:.0f} at the end. "
        f"From the command to the report; medians, n = {arguments.rounds}, in turn.\n",
        "| seconds | before | now | now / before, each pair |",
        "|---|---:|---:|---:|",
    ]
    for quantity in Sweep._fields:
        seconds = [[getattr(taken, quantity) for taken in pair] for pair in pairs]
        before, now = (statistics.median(column) for column in zip(*seconds, strict=True))
        ratios = ", ".join(f"{later / earlier:.2f}" for earlier, later in seconds)
        lines.append(f"| {quantity} | {before:.0f} | {now:.0f} | {ratios} |")
    text = "\n".join(lines) + "\n"
    print(text)
    (REPOSITORY / "benchmarks" / "default_sweep.md").write_text(text)


if __name__ == "__main__":
    main()
