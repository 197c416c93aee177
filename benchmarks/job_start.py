"""What a job costs beside its training: a job of two steps, and the load of MNIST, now and at an earlier commit.

python benchmarks/job_start.py --before FOLDER [--rounds N]   writes benchmarks/job_start.md

FOLDER is a checkout of an earlier commit (`git worktree add FOLDER COMMIT`). Both commits take turns in fresh
processes. Seconds are processor times. Memory is the resident set of a process. Libraries that all jobs share count in
every process.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from checkouts import REPOSITORY, commit_of, environment_of

from hornlib.grid.cell import parse_specification

CELL = {"data": {"name": "digits"}, "model": {"name": "mlp"}, "training": {"steps": 2}}

JOB = """
import json, resource, sys
words = sys.argv[1:]
sys.argv = ["hornlib", "train", *words]
from hornlib.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6]))
"""

TORCH = """
import json, resource
import torch
usage = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024 / 1e6]))
"""

MNIST = """
import json, pathlib
import hornlib.training.train
from hornlib.data.loading import load
from hornlib.data.parameters import DataParameters

def resident(kind):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith(kind))

load(DataParameters(name="digits"), "cpu")
before = resident("VmRSS")
splits = load(DataParameters(name="mnist"), "cpu")
tensors = sum(part.inputs.nbytes + part.targets.nbytes for part in splits) / 1e6
print(json.dumps([(resident("VmHWM") - before) / tensors, tensors]))
"""


def numbers(code: str, checkout: Path, *words: str) -> list[float]:
    """Return the numbers that a program prints.

    Args:
        code: the program.
        checkout: whose library it imports; -P keeps this folder out of its way.
        words: its arguments.
    """
    command = [sys.executable, "-P", "-c", code, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment_of(checkout))
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def job(checkout: Path) -> list[float]:
    """Return processor seconds and peak memory, MB, of a job of two steps with 7 seeds."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder, "runs", f"{parse_specification(CELL).name}.seeds-0-6.nc")
        return numbers(JOB, checkout, str(output), "--cell", json.dumps(CELL), "--device", "cpu")


def main() -> None:
    """Measure, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, required=True, help="a checkout of an earlier commit")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rounds = [
        [
            [*job(checkout), *numbers(MNIST, checkout), *numbers(TORCH, checkout)]
            for checkout in (options.before, REPOSITORY)
        ]
        for _ in range(options.rounds)
    ]
    before, now = (
        [statistics.median(values) for values in zip(*arm, strict=True)] for arm in zip(*rounds, strict=True)
    )
    lines = [
        "# The start of a job",
        "",
        f"`python benchmarks/job_start.py --before FOLDER`, with {commit_of(options.before)} in FOLDER; Python "
        f"{platform.python_version()}, torch {version('torch')}, CPU, one thread. Medians of {options.rounds} fresh "
        f"processes each, in turn; load of the machine {os.getloadavg()[2]:.0f}. The job trains an MLP on digits for "
        "two steps, 7 seeds.",
        "",
        "| | before | now |",
        "|---|---:|---:|",
        f"| a job of two steps, processor seconds | {before[0]:.2f} | {now[0]:.2f} |",
        f"| of it `import torch` alone | {before[4]:.2f} | {now[4]:.2f} |",
        f"| its peak memory, MB | {before[1]:.0f} | {now[1]:.0f} |",
        f"| of it `import torch` alone | {before[5]:.0f} | {now[5]:.0f} |",
        f"| load of MNIST: peak above the process, over {now[3]:.0f} MB of tensors | {before[2]:.2f} | {now[2]:.2f} |",
    ]
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
