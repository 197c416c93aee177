"""The targets of batches, all through submitit: SLURM arrays, processes of this machine, or this process."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from snakemake_executor_plugin_submitit import task as task_module
from snakemake_executor_plugin_submitit.batches import Batch
from snakemake_executor_plugin_submitit.explain import describe_resources
from snakemake_executor_plugin_submitit.slurm import (
    FULL,
    OTHER_LIMIT,
    REFUSED,
    Accounted,
    ListedArray,
    Queued,
    QueueFull,
    Refused,
    Slurm,
    TaskId,
    Unavailable,
)
from snakemake_executor_plugin_submitit.snapshots import LAUNCHER, store
from snakemake_executor_plugin_submitit.task import clean_environment

__all__ = [
    "Cluster",
    "DebugCluster",
    "LocalCluster",
    "SlurmCluster",
    "install_runner",
    "make_cluster",
    "program_missing",
]


class Cluster(Protocol):
    """The operations that the dispatcher needs from a cluster."""

    def submit(self, batch: Batch, name: str, comment: str) -> str:
        """Submit a batch and return its id.

        Args:
            batch: the batch; its record is on the disk already.
            name: the name of the array, for people.
            comment: the comment of the array; it begins with the batch's uuid.

        Raises:
            Unavailable: the cluster does not answer, or takes no jobs at the moment.
            Refused: the cluster refuses the batch.
        """

    def max_tasks(self) -> int:
        """Return the most tasks of one batch."""

    def queued(self, arrays: Iterable[str]) -> dict[TaskId, Queued]:
        """Return the tasks that have not ended."""

    def look_up(self, arrays: Iterable[str]) -> dict[TaskId, Queued]:
        """Return the tasks that have not ended, by a second way that shows what `queued` may leave out."""

    def accounted(self, arrays: Iterable[str]) -> dict[TaskId, Accounted]:
        """Return the records of tasks, as far as the cluster keeps accounts."""

    def find_arrays(self, folder: Path, uuids: Iterable[str]) -> dict[str, ListedArray]:
        """Return the listed arrays of these batches, and of others in this executor's folder, by their uuids.

        Args:
            folder: the executor's folder.
            uuids: the names of batches.
        """

    def cancel(self, tasks: list[str]) -> None:
        """Cancel arrays or tasks."""

    def release(self, task: str) -> None:
        """Release a held task, so that it waits for a node again."""

    def unavailable_nodes(self, partitions: str | None) -> tuple[list[str], int]:
        """Return the nodes of these partitions that take no jobs, in words, and the number of all their nodes."""


def install_runner(folder: Path) -> Path:
    """Copy the node's program beside the batches, under a name with its digest, and return the path of the copy."""
    return store(folder, "task", ".py", Path(task_module.__file__).read_bytes())


def make_cluster(kind: str, runner: Path, setup: list[str], parallelism: int, slurm: Slurm) -> Cluster:
    """Return the cluster of this kind.

    Args:
        kind: slurm, local or debug.
        runner: the node's program, see `install_runner`.
        setup: shell lines that run on the node before a job.
        parallelism: the most tasks of one array at the same time; 0 for no limit.
        slurm: the SLURM to ask.
    """
    if kind == "slurm":
        return SlurmCluster(runner, setup, parallelism, slurm)
    if kind == "local":
        return LocalCluster(runner, setup)
    return DebugCluster()


SECONDS_FOR_SBATCH = 300
"""Seconds until sbatch is stopped. sbatch itself waits and tries again while the controller is busy."""

# python -I -S starts in 10 ms, submitit's own entry with its pickle in 150; and a pickle that is renamed after sbatch
# is lost with a head that is killed in between.
_PYTHON = shlex.join([sys.executable, "-I", "-S", "-u", "-c", LAUNCHER])


class SlurmCluster:
    """SLURM, through submitit's sbatch script with this package's program in it; see `make_cluster`."""

    def __init__(self, runner: Path, setup: list[str], parallelism: int, slurm: Slurm) -> None:
        self.runner, self.setup, self.parallelism, self.slurm = runner, setup, parallelism, slurm
        self.queued, self.look_up, self.accounted = slurm.queued, slurm.look_up, slurm.accounted
        self.find_arrays, self.cancel, self.max_tasks = slurm.find_arrays, slurm.cancel, slurm.max_array_size
        self.release, self.unavailable_nodes = slurm.release, slurm.unavailable_nodes

    def submit(self, batch: Batch, name: str, comment: str) -> str:
        """Submit a batch as one array; see `Cluster.submit`.

        Raises:
            Unavailable: the queue is full, or sbatch failed for a reason that may pass: the batch may be in the queue.
            Refused: sbatch refuses; the message is that of sbatch.
        """
        executor = _array_executor(self.runner)(batch.folder)
        parameters = {**batch.parameters, "job_name": name, "comment": comment, "wckey": None}
        parallelism = self.parallelism or batch.num_tasks
        executor.update_parameters(**parameters, setup=self.setup or None, array_parallelism=parallelism)
        # from 22.05 on, srun takes one CPU unless it is told, and fills a node of its own (--exclusive) with tasks
        cpus = str(parameters["cpus_per_task"])
        executor.update_parameters(srun_args=["--ntasks", "1", "--cpus-per-task", cpus])
        executor.parameters["map_count"] = batch.num_tasks
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        try:
            job = executor._submit_command(executor._submitit_command_str)
        except FailedSubmissionError as error:  # the job may be in the queue
            raise Unavailable(
                f"sbatch's answer is not understood ({' '.join(str(error).split())[:200]})"
            ) from None
        except (FailedJobError, subprocess.SubprocessError) as error:
            status = getattr(error.__cause__, "returncode", 1)
            if status < 0:
                raise Unavailable(f"sbatch was killed by signal {-status}") from None
            if status in (124, 137):  # of `timeout`
                raise Unavailable(f"sbatch did not answer within {SECONDS_FOR_SBATCH} s") from None
            said = _sbatch_said(str(error))
            if FULL.search(said) and not OTHER_LIMIT.search(said):
                raise QueueFull(f"the queue takes no more for now ({said})") from None
            if REFUSED.search(said):
                raise Refused(said) from None
            resources = describe_resources(batch.parameters)
            raise Unavailable(f"sbatch: {said} (asked for: {resources})") from None
        return str(job.job_id)


def _sbatch_said(text: str) -> str:
    """Return the lines of an error that sbatch wrote; without such lines, the end of the error."""
    lines = [
        line.partition("sbatch: error: ")[2] or line for line in text.splitlines() if "sbatch: error:" in line
    ]
    return "; ".join(lines) if lines else " ".join(text.split())[-500:]


def _array_executor(runner: Path) -> Any:
    """Return submitit's SLURM executor with this package's program; submitit is imported with the first array."""
    from submitit.slurm.slurm import SlurmExecutor

    class ArrayExecutor(SlurmExecutor):
        """One script for all tasks of a batch, and no pickle."""

        @property
        def _submitit_command_str(self) -> str:
            return f"{_PYTHON} {shlex.quote(str(runner))} {shlex.quote(str(self.folder))}"

        def _make_submission_command(self, submission_file_path: Path) -> list[str]:
            # Variables of the shell would overrule the script, and sbatch hands them on to the job.
            foreign = set(os.environ) - set(clean_environment())
            if "account" in self.parameters:
                foreign.add("SBATCH_ACCOUNT")
            unset = [part for name in sorted(foreign) for part in ("-u", name)]
            # a session of its own: Ctrl-C in the terminal is for the head, not for an sbatch in flight
            limit = ["timeout", "-k", "10", str(SECONDS_FOR_SBATCH)]
            return ["setsid", *limit, "env", *unset, "sbatch", str(submission_file_path)]

    return ArrayExecutor


class LocalCluster:
    """Processes of this machine, which outlive the head; see `make_cluster`."""

    def __init__(self, runner: Path, setup: list[str]) -> None:
        self.runner, self.setup = runner, setup
        self.processes: dict[str, Any] = {}

    def max_tasks(self) -> int:
        """One process a batch."""
        return 1

    def submit(self, batch: Batch, name: str, comment: str) -> str:
        """Start submitit's local controller with this package's program; see `Cluster.submit`."""
        from submitit.local.local import LocalExecutor

        executor = LocalExecutor(batch.folder)
        delay = batch.parameters["signal_delay_s"]
        executor.update_parameters(
            timeout_min=batch.parameters["time"],
            signal_delay_s=delay,
            stderr_to_stdout=True,
        )
        folder = shlex.quote(str(batch.folder))
        # submitit's own setup lines would leave a shell in between that passes no signal on.
        lines = [
            f'exec >> {folder}/"$SUBMITIT_LOCAL_JOB_ID"_0_0_log.out 2>&1',
            *self.setup,
            f"exec {_PYTHON} {shlex.quote(str(self.runner))} {folder} 0",
        ]
        job: Any = executor._submit_command(shlex.join(["bash", "-c", "\n".join(lines)]))
        self.processes[job.job_id] = job._process
        return str(job.job_id)

    def queued(self, arrays: Iterable[str]) -> dict[TaskId, Queued]:
        """Return the living processes, without zombies."""
        for process in self.processes.values():
            process.poll()
        return {(array, 0): Queued("RUNNING") for array in set(arrays) if _is_controller(array)}

    def look_up(self, arrays: Iterable[str]) -> dict[TaskId, Queued]:
        """Return nothing: `queued` sees every process."""
        return {}

    def accounted(self, arrays: Iterable[str]) -> dict[TaskId, Accounted]:
        """Return nothing: there are no accounts."""
        return {}

    def find_arrays(self, folder: Path, uuids: Iterable[str]) -> dict[str, ListedArray]:
        """Return nothing: a process has no comment and no script."""
        return {}

    def cancel(self, tasks: list[str]) -> None:
        """Ask the processes to stop."""
        for task in tasks:
            pid = task.split("_")[0]
            if _is_controller(pid):
                os.kill(int(pid), 15)

    def release(self, task: str) -> None:
        """Do nothing: no task is held."""

    def unavailable_nodes(self, partitions: str | None) -> tuple[list[str], int]:
        """Return no node: every job runs here."""
        return [], 1


def _is_controller(pid: str) -> bool:
    try:
        return b"submitit" in Path(f"/proc/{int(pid)}/cmdline").read_bytes()
    except (OSError, ValueError):
        return False


class DebugCluster:
    """This process, which runs one job after the other."""

    def __init__(self) -> None:
        self.count = 0

    def max_tasks(self) -> int:
        """One at a time."""
        return 1

    def submit(self, batch: Batch, name: str, comment: str) -> str:
        """Run the batch now, through submitit's debug executor; see `Cluster.submit`."""
        from submitit.local.debug import DebugExecutor

        self.count += 1
        DebugExecutor(batch.folder).submit(task_module.run_task, batch.folder, 0, True).result()
        return f"{os.getpid()}{self.count:06d}"

    def queued(self, arrays: Iterable[str]) -> dict[TaskId, Queued]:
        """Return nothing: every job has ended."""
        return {}

    def look_up(self, arrays: Iterable[str]) -> dict[TaskId, Queued]:
        """Return nothing: `queued` sees every process."""
        return {}

    def accounted(self, arrays: Iterable[str]) -> dict[TaskId, Accounted]:
        """Return nothing: there are no accounts."""
        return {}

    def find_arrays(self, folder: Path, uuids: Iterable[str]) -> dict[str, ListedArray]:
        """Return nothing: no job waits."""
        return {}

    def cancel(self, tasks: list[str]) -> None:
        """Do nothing: no job runs."""

    def release(self, task: str) -> None:
        """Do nothing: no task is held."""

    def unavailable_nodes(self, partitions: str | None) -> tuple[list[str], int]:
        """Return no node: every job runs here."""
        return [], 1


def program_missing() -> str | None:
    """Return the first of SLURM's programs that is not on the PATH, or None."""
    return next(
        (name for name in ("sbatch", "squeue", "scancel", "scontrol", "srun") if not shutil.which(name)), None
    )
