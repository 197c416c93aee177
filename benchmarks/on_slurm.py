"""What the cluster benchmarks share: the test bed's SLURM, what a command costs on it, and the words of a table."""

import os
import shlex
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

REPOSITORY = Path(__file__).resolve().parents[1]
TESTBED = REPOSITORY / "cluster/testbed/testbed"
PROGRAMS = ("sbatch", "squeue", "sacct", "scontrol", "srun")
TICKS = os.sysconf("SC_CLK_TCK")
ALL_AT_ONCE = ["--jobs", "100000", "--max-jobs-per-timespan", "1000000/1s", "--scheduler", "greedy"]
ALL_AT_ONCE += ["--rerun-triggers", "mtime", "input", "--latency-wait", "120"]
"""What every Snakemake is given: as in the profile, so that the executor is all that differs."""


class Cost(NamedTuple):
    """What a command took.

    Attributes:
        wall: seconds from start to end.
        own: seconds of processor time of the process itself.
        called: seconds of processor time of the programs that it called.
        peak: largest resident memory of the process itself, in MB.
    """

    wall: float
    own: float
    called: float
    peak: float


class Bed:
    """The test bed's SLURM.

    Args:
        folder: where the wrappers of SLURM's programs go, which count the calls.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        subprocess.run([TESTBED, "up"], check=True)
        exports = subprocess.run([TESTBED, "env"], check=True, capture_output=True, text=True).stdout
        environment = {
            name: text for name, text in os.environ.items() if not name.startswith(("SLURM_", "SBATCH_"))
        }
        self.calls_file = folder / "calls"
        shell = f"{exports}\nexport PATH={shlex.quote(str(folder))}:$PATH\nenv -0"
        shown = subprocess.run(
            ["bash", "-c", shell], env=environment, check=True, capture_output=True, text=True
        )
        self.env = dict(line.split("=", 1) for line in shown.stdout.split("\0") if line)
        # The official plugin's job step drops SLURM_CONF, without which its srun finds no controller here.
        conf = shlex.quote(self.env["SLURM_CONF"])
        for name in PROGRAMS:
            program = self.output("which", "-a", name).splitlines()[-1]
            wrapper = folder / name
            wrapper.write_text(
                f'#!/bin/sh\necho {name} >> {self.calls_file}\nSLURM_CONF={conf} exec {program} "$@"\n'
            )
            wrapper.chmod(0o755)

    def environment(self, python: str) -> dict[str, str]:
        """Return the variables for a command of this Python's environment."""
        return {**self.env, "PATH": f"{Path(python).parent}:{self.env['PATH']}", "OMP_NUM_THREADS": "1"}

    def output(self, *words: str) -> str:
        """Return what a command prints."""
        return subprocess.run(words, env=self.env, check=True, capture_output=True, text=True).stdout.strip()

    def calls(self) -> Counter[str]:
        """Return how often SLURM's programs were called since the last look."""
        try:
            called = Counter(self.calls_file.read_text().split())
        except FileNotFoundError:
            return Counter()
        self.calls_file.unlink()
        return called


class Command:
    """A running command whose processor time is looked at; it writes into `<folder>/head.log`."""

    def __init__(self, words: Sequence[str], folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.log = folder / "head.log"
        self.started = time.time()
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def cost(self) -> Cost:
        """Return what it has taken up to now."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        ticks = [int(ticks) / TICKS for ticks in stat[11:15]]
        peak = next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)
        return Cost(time.time() - self.started, sum(ticks[:2]), sum(ticks[2:]), peak / 1024)

    def wait(self, look: Callable[[], object] = lambda: None) -> Cost:
        """Wait for the end and return what it took; `look` is called once a second."""
        peak, looks_at = 0.0, 0.0
        while os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            peak = max(peak, self.cost().peak)
            if time.time() > looks_at:
                look()
                looks_at = time.time() + 1
            time.sleep(0.05)
        ended = self.cost()  # the times of a process that nobody has waited for are complete
        self.process.wait()
        return ended._replace(peak=peak)

    def said(self) -> str:
        """Return what it wrote."""
        return self.log.read_text()


def spread(values: Iterable[float], digits: int = 1) -> str:
    """Return the median, with the range where there are several values."""
    values = list(values)
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def wait_for_quiet(load: float, seconds: float) -> None:
    """Wait until the machine's load over a minute is small, at most so long."""
    deadline = time.monotonic() + seconds
    while os.getloadavg()[0] > load and time.monotonic() < deadline:
        time.sleep(5)


def circumstances(bed: Bed, load: float, distributions: Iterable[str] = ()) -> str:
    """Return date, machine and versions in a sentence; load: the one-minute average before the first run."""
    slurm = bed.output("sbatch", "--version").split()[-1]
    versions = [f"{name} {version(name)}" for name in ("snakemake", "submitit")] + list(distributions)
    return (
        f"{datetime.now(UTC):%Y-%m-%d}; SLURM {slurm} (`cluster/testbed`, 8 slots), {os.cpu_count()} cores, load "
        f"average {load:.1f} before the first run; Python {sys.version.split()[0]}, {', '.join(versions)}."
    )


def rival_versions(python: str, names: Sequence[str]) -> list[str]:
    """Return name and version of distributions of another environment."""
    code = "import sys; from importlib.metadata import version; print(*map(version, sys.argv[1:]))"
    shown = subprocess.run([python, "-c", code, *names], check=True, capture_output=True, text=True).stdout
    return [f"{name} {installed}" for name, installed in zip(names, shown.split(), strict=True)]


def write_table(script: str, text: str) -> None:
    """Write the table beside its script, and show it."""
    Path(script).with_suffix(".md").write_text(text)
    print(text)


def files_below(folder: Path) -> list[Any]:
    """Return the files below a folder, some of which may go meanwhile."""
    return [file for file in folder.rglob("*") if file.is_file()]
