"""Workflows in folders of their own, run by a real Snakemake on a real SLURM."""

import hashlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[3]
WORKER = Path(__file__).with_name("worker.py")

SNAKEFILE = """
rule all:
    localrule: True
    input: expand("out/{i}", i=range(NUM))

rule work:
    output: "out/{i}"
    log: "logs/{i}.log"
    params: checkpoint="saved/{i}"
    message: "work on number {wildcards.i}"
    resources: mem_mb=50, runtime=10
    shell: "PYTHON -S WORKER {output} {params.checkpoint} STEPS SECONDS > {log} 2>&1"
"""


def wait_for(condition: Callable[[], object], seconds: float = 60, what: str = "") -> object:
    """Poll until the condition holds, and return what it returned."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what or condition}")


def listen_to_signals() -> None:
    """As a program started in a terminal: a job of `nohup` or of a script's background inherits deafness."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


class Workflow:
    """A folder with a Snakefile; `run` and `start` call Snakemake there with the executor."""

    nodes = ("n1", "n2")

    def __init__(self, folder: Path, slurm) -> None:
        self.folder, self.slurm = folder, slurm
        self.words = [
            "--jobs",
            "1000",
            "--latency-wait",
            "20",
            "--nolock",
            "--rerun-incomplete",
            "--keep-going",
        ]
        self.words += ["--rerun-triggers", "mtime", "input", "--submitit-poll-max", "2"]
        self.words += ["--max-jobs-per-timespan", "100000/1s"]
        self.heads: list[subprocess.Popen] = []
        self.num_jobs = 0

    def write(self, text: str = SNAKEFILE, num: int = 4, steps: int = 3, seconds: float = 0.1) -> None:
        (self.folder / "saved").mkdir(exist_ok=True)
        self.num_jobs = num
        names = {"NUM": num, "STEPS": steps, "SECONDS": seconds, "PYTHON": sys.executable, "WORKER": WORKER}
        for name, value in names.items():
            text = re.sub(rf"\b{name}\b", str(value), text)
        (self.folder / "Snakefile").write_text(text)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", "--executor", "submitit", *self.words, *words]

    def environment(self, **more: str) -> dict[str, str]:
        return {**self.slurm.env, "OMP_NUM_THREADS": "1", **more}

    def run(self, *words: str, timeout: float = 180, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment(**more),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout,
            check=False,
        )

    def start(self, *words: str, **more: str) -> subprocess.Popen:
        """Start a head in a session of its own, as a terminal would."""
        log = (self.folder / f"head-{len(self.heads)}.log").open("w")
        head = subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env=self.environment(**more),
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=listen_to_signals,
        )
        self.heads.append(head)
        return head

    def stop(self, head: subprocess.Popen, number: signal.Signals, group: bool = False) -> int:
        """Send a signal (Ctrl-C reaches the whole group) and wait for the end."""
        (os.killpg if group else os.kill)(head.pid, number)
        return head.wait(60)

    def said(self, head: int = -1) -> str:
        return (self.folder / f"head-{head % len(self.heads)}.log").read_text()

    def starts(self) -> list[list[str]]:
        """Output, array, task, first step and node of every start of a worker."""
        return self.noted("starts")

    def noted(self, name: str) -> list[list[str]]:
        """What workers noted, line by line: `starts`, `ends` and `doubled`. See noting.py."""
        try:
            return [line.split() for line in (self.folder / name).read_text().splitlines()]
        except FileNotFoundError:
            return []

    def times_started(self) -> Counter:
        return Counter(start[0] for start in self.starts())

    def arrays(self) -> set[str]:
        return {start[1] for start in self.starts()}

    def outputs(self) -> dict[str, str]:
        return {file.name: file.read_text() for file in (self.folder / "out").glob("[!.]*")}

    def may_start(self) -> bool:
        """Whether a person gives the command now."""
        return True

    def is_complete(self) -> bool:
        return len(self.outputs()) == self.num_jobs

    def is_worker(self, command: str) -> bool:
        """Whether this command line is a job's own process, and not the shell around it."""
        return "worker.py" in command and not command.partition(" ")[0].endswith("bash")

    def task_processes(self) -> dict[int, tuple[str, str]]:
        """Task and command line of every process of this SLURM's jobs, by process id."""
        processes = {}
        for entry in Path("/proc").iterdir():
            try:
                variables = dict(
                    word.split("=", 1) for word in (entry / "environ").read_text().split("\0") if "=" in word
                )
                command = (entry / "cmdline").read_text().replace("\0", " ")
            except (OSError, UnicodeDecodeError):  # no process, or gone
                continue
            array, task = (variables.get(f"SLURM_ARRAY_{part}_ID") for part in ("JOB", "TASK"))
            if task is not None and variables.get("SLURM_CONF") == self.slurm.env["SLURM_CONF"]:
                processes[int(entry.name)] = (f"{array}_{task}", command)
        return processes

    def queue(self) -> str:
        return self.slurm.output("squeue", "--noheader", "--format=%i|%T|%j|%k")

    def end(self) -> None:
        """Kill every head and cancel its jobs."""
        for head in self.heads:
            if head.poll() is None:
                head.kill()
                head.wait()
        for array in self.arrays():
            self.slurm.run(["scancel", array])


def expected_output(name: str, steps: int) -> str:
    """What an undisturbed worker writes."""
    digest = "0"
    for step in range(1, steps + 1):
        digest = hashlib.sha256(f"{digest} {name} {step}".encode()).hexdigest()
    return f"{name} {digest}\n"


@pytest.fixture
def workflow(tmp_path, slurm):
    made = Workflow(tmp_path, slurm)
    yield made
    made.end()


@pytest.fixture
def expected():
    return expected_output


@pytest.fixture
def until():
    return wait_for
