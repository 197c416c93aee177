"""The head with 10,000 jobs in the queue: our executor on SLURM against one that does nothing, in turn.

`make testbed`, then `python benchmarks/cluster_head.py`, writes benchmarks/cluster_head.md and leaves the test bed
running. The partition is held down meanwhile, so that every job stays in the queue.
"""

import argparse
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from on_slurm import (
    ALL_AT_ONCE,
    Bed,
    Command,
    Cost,
    circumstances,
    files_below,
    spread,
    wait_for_quiet,
    write_table,
)

OURS, NOTHING = "ours", "an executor that does nothing"
PARTITION = "cpu"

SNAKEFILE = """\
rule all:
    localrule: True
    input: expand("out/{{i}}", i=range({num}))

rule work:
    output: "out/{{i}}"
    log: "logs/{{i}}.log"
    resources: mem_mb=100, runtime=5, slurm_partition="{partition}"
    shell: "echo {{wildcards.i}} > {{output}} 2> {{log}}"
"""

NOTHING_AT_ALL = '''\
"""An executor that says that it has submitted every job, and nothing else."""

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    init_seconds_before_status_checks=0,
)


class Executor(RemoteExecutor):
    def __post_init__(self):
        pass

    def run_jobs(self, jobs):
        super().run_jobs(jobs)
        self.logger.info(f"submitted {len(jobs)} jobs")

    def run_job(self, job):
        self.report_job_submission(SubmittedJobInfo(job))

    async def check_active_jobs(self, active_jobs):
        for job in active_jobs:
            yield job

    def cancel_jobs(self, active_jobs):
        pass
'''


class Outcome(NamedTuple):
    """What one head came to.

    Attributes:
        submitted: what it had taken when every job was submitted.
        polled: what it had taken some time later.
        files: files in the executor's folder.
        megabytes: their size.
        calls: of SLURM's programs.
    """

    submitted: Cost
    polled: Cost
    files: int
    megabytes: float
    calls: Counter[str]


def main() -> None:
    """Measure both heads in turn, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--num", type=int, default=10_000)
    parser.add_argument(
        "--poll", type=float, default=60, metavar="SECONDS", help="how long to look at the queue"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--quiet", type=float, default=0, metavar="SECONDS", help="wait so long for a load below 1"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        bed = Bed(Path(temporary) / "bin")
        package = Path(temporary) / "snakemake_executor_plugin_nothing"
        package.mkdir()
        (package / "__init__.py").write_text(NOTHING_AT_ALL)
        environment = {**bed.environment(sys.executable), "PYTHONPATH": temporary}
        wait_for_quiet(1, options.quiet)
        load = os.getloadavg()[0]
        outcomes: dict[str, list[Outcome]] = {NOTHING: [], OURS: []}
        bed.output("scontrol", "update", f"partitionname={PARTITION}", "state=down")
        try:
            for _ in range(options.rounds):
                for name, executor in ((NOTHING, "nothing"), (OURS, "submitit")):
                    outcomes[name].append(measure(bed, executor, environment, options))
                    print(f"{name}: {outcomes[name][-1]}", flush=True)
        finally:
            bed.output("scontrol", "update", f"partitionname={PARTITION}", "state=up")
        write_table(__file__, report(outcomes, options, circumstances(bed, load)))


def measure(bed: Bed, executor: str, environment: dict[str, str], options: argparse.Namespace) -> Outcome:
    """Start a head, wait until every job is submitted, let it poll, and end it."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "Snakefile").write_text(SNAKEFILE.format(num=options.num, partition=PARTITION))
        bed.calls()
        words = [sys.executable, "-m", "snakemake", "--executor", executor, *ALL_AT_ONCE, "--nolock"]
        head = Command(words, folder, environment)
        try:
            while sum(map(int, re.findall(r"submitted (\d+) jobs", head.said()))) < options.num:
                if head.process.poll() is not None:
                    sys.exit(head.said()[-3000:])
                time.sleep(0.2)
            submitted = head.cost()
            time.sleep(options.poll)
            polled = head.cost()
            files = files_below(folder / ".snakemake/submitit")
            size = sum(file.stat().st_size for file in files)
            calls = bed.calls()
        finally:
            stop(head)
            for array in re.findall(r"as array (\d+)", head.said()):
                bed.output("scancel", array)
        return Outcome(submitted, polled, len(files), size / 1e6, calls)


def stop(head: Command) -> None:
    """End a head; the executor that does nothing would wait for its jobs for ever."""
    head.process.send_signal(signal.SIGTERM)
    try:
        head.process.wait(10)
    except subprocess.TimeoutExpired:
        head.process.kill()
        head.process.wait()


def report(outcomes: dict[str, list[Outcome]], options: argparse.Namespace, where: str) -> str:
    """Return the table in Markdown."""
    whole = {
        name: statistics.median(run.polled.own + run.polled.called for run in runs)
        for name, runs in outcomes.items()
    }
    peaks = {name: statistics.median(run.polled.peak for run in runs) for name, runs in outcomes.items()}
    ours = outcomes[OURS][-1]
    calls = ", ".join(f"{name} {count}" for name, count in sorted(ours.calls.items()))
    return "\n".join(
        [
            f"# The head with {options.num:,} jobs in the queue",
            "",
            f"`python benchmarks/cluster_head.py`; {where}",
            f"From Snakemake's start until every job is submitted, and {options.poll:.0f} s more in which the queue is "
            "looked at. Processor time of the head, and of",
            "the programs that it called and waited for. Medians (ranges) of n runs, the two in turn.",
            "",
            "| | n | until submitted: wall, s | CPU s | with polling: CPU s | of its calls, CPU s | peak, MB |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *(row(name, runs) for name, runs in outcomes.items()),
            "",
            f"- Processor time, calls included: {whole[OURS] / whole[NOTHING]:.2f} times that of the executor that "
            "does nothing (the reach: at most 1.2).",
            f"- Memory: {peaks[OURS] - peaks[NOTHING]:.0f} MB more, of {peaks[OURS]:.0f}.",
            f"- Files in the executor's folder: {ours.files} for {options.num:,} queued jobs "
            f"({ours.files / options.num:.4f} a job), {ours.megabytes:.1f} MB.",
            f"- Calls of SLURM's programs: {calls}.",
            "",
        ]
    )


def row(name: str, runs: list[Outcome]) -> str:
    """Return one head's line."""
    cells = [
        spread(run.submitted.wall for run in runs),
        spread(run.submitted.own for run in runs),
        spread(run.polled.own for run in runs),
        spread((run.polled.called for run in runs), 2),
        spread((run.polled.peak for run in runs), 0),
    ]
    return f"| {name} | {len(runs)} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
