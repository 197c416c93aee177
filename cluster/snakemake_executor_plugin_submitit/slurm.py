"""Queries to SLURM: the queue, the accounting, the cluster's limits. A malformed answer breaks none of them."""

import contextlib
import os
import re
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from snakemake_executor_plugin_submitit.answers import (
    TaskId,
    parse_exit_code,
    parse_megabytes,
    parse_task_ids,
)
from snakemake_executor_plugin_submitit.task import clean_environment

__all__ = [
    "ENDED",
    "STILL_GOING",
    "Accounted",
    "ListedArray",
    "QueueFull",
    "Queued",
    "Refused",
    "Slurm",
    "TaskId",
    "Unavailable",
    "run_program",
]

SECONDS = 60
"""Seconds that one of SLURM's programs may take to answer."""

SECONDS_FOR_REMARKS = 5
"""Seconds that a program may take whose answer is only for a remark; the polls of running jobs wait for it."""

REFUSED = re.compile(
    "|".join(
        (
            # the request of a job
            "invalid partition",
            "invalid account",
            "invalid qos",
            "invalid wckey",
            "invalid feature",
            "invalid generic resource",
            "invalid gres",
            "invalid trackable resource",
            "invalid license",
            "invalid burst buffer",
            "invalid job array",
            "invalid node name",
            "invalid [a-z -]*specification",
            "duplicate generic resource",
            "invalid cluster name",
            "invalid core reservation",
            "invalid job constraint",
            "invalid knl configuration",
            "invalid --[a-z-]+ value",
            "invalid (user|group) id",
            "burst buffer request invalid",
            "no partition specified or system default partition",
            "multiple partition job request not supported",
            "requested reservation is invalid",
            "access denied to requested reservation",
            "requested time limit is invalid",
            "time limit specification",
            "requested node configuration is not available",
            "requested nodes? not in (this )?partition",
            "more processors requested",
            "can not be satisfied",
            "(node|cpu|task) count specification",
            "task distribution specification invalid",
            "job size specification needs to be provided",
            "memory required by task is not available",
            "more tasks than available processors",
            "more threads per core than the job allocation",
            "not supported on this system",
            "unsupported by configured selecttype plugin",
            "container (support is|runtime) not configured",
            "--batch option is invalid",
            "violates accounting",
            "not permitted to use this partition",
            "permission denied",
            "parameter too long",
            "(unrecognized|invalid|ambiguous) option",
            "invalid numeric value",
            "job dependency problem",
            "requires an argument",
            # a query
            "invalid job id",
            "bad job/step",
            "already complet",
            "accounting storage is disabled",
            "configuration source",
        )
    ),
    re.IGNORECASE,
)
"""Messages of SLURM's programs that asking again does not change. Any other message may pass: the caller waits."""

FULL = re.compile(
    r"MaxSubmit|GrpSubmit|MaxJobCount|job submit limit|job queue full|unable to create job record|"
    r"temporarily unable to accept job|job creation temporarily disabled",
    re.IGNORECASE,
)
"""Messages of sbatch while the queue takes no more jobs."""

OTHER_LIMIT = re.compile(r"\b(QOS|Assoc)(?!\w*Submit)\w+")
"""A limit that waiting does not lift. The sentence of sbatch mentions the submit limit all the same."""


class Unavailable(Exception):
    """SLURM does not answer, or fails for a reason that may pass; the caller asks again later."""


class QueueFull(Unavailable):
    """The queue takes no more jobs of this user at the moment."""


class Refused(Exception):
    """SLURM refused; asking again does not help."""


class Queued(NamedTuple):
    """A task in the queue, which waits, runs or ends."""

    state: str
    reason: str = ""
    time_left: str = ""
    nodes: str = ""
    comment: str = ""


class ListedArray(NamedTuple):
    """An array in a listing of the queue, which shows arrays for some minutes after their end, too.

    Attributes:
        id: SLURM's id of the array.
        states: the states of its tasks.
    """

    id: str
    states: frozenset[str]

    @property
    def has_ended(self) -> bool:
        """Whether all its tasks have ended; one that leaves its node counts, which takes for ever on a broken node."""
        return self.states <= ENDED | {"COMPLETING"}


class Accounted(NamedTuple):
    """The accounting's record of a task; `max_rss_mb` is its memory in MB, -1 if unknown."""

    state: str
    exit_code: int
    signal: int
    nodes: str
    max_rss_mb: float = -1.0


STILL_GOING = {"PENDING", "RUNNING", "REQUEUED", "SUSPENDED", "RESIZING", "COMPLETING", "CONFIGURING"}
"""States of a task that has not ended."""

ENDED = frozenset(
    {
        *(
            "BOOT_FAIL",
            "CANCELLED",
            "COMPLETED",
            "DEADLINE",
            "FAILED",
            "NODE_FAIL",
            "OUT_OF_MEMORY",
            "PREEMPTED",
        ),
        *("REVOKED", "TIMEOUT"),
    }
)
"""States of a task that has left the queue."""

NO_JOBS = re.compile(r"down|drain|fail|maint|unk|error|inval|[a-z_]+\*")
"""States of a node that takes no jobs; a star stands behind the state of a node that does not respond."""

Runner = Callable[[Sequence[str]], str]


def run_program(command: Sequence[str]) -> str:
    """Run one of SLURM's programs in a clean environment and return its output.

    The program has a session of its own, so that a Ctrl-C in the terminal does not end a query.

    Raises:
        Unavailable: the program did not answer, or failed for a reason that may pass (every reason that is unknown).
        Refused: the program is missing, or failed for a reason that does not pass.
    """
    # squeue cuts long lists of array tasks at 64 characters unless told otherwise
    environment = {
        **clean_environment(),
        "SLURM_BITSTR_LEN": "0",
        "LC_ALL": "C.UTF-8",
        "SLURM_TIME_FORMAT": "standard",
    }
    seconds = SECONDS_FOR_REMARKS if command[0] == "sinfo" else SECONDS
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            env=environment,
            start_new_session=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{command[0]} did not answer within {seconds} s") from None
    except (FileNotFoundError, PermissionError) as error:
        raise Refused(f"{command[0]}: {error.strerror}") from None
    except OSError as error:
        raise Unavailable(f"{command[0]}: {error.strerror}") from None
    if done.returncode == 0:
        return done.stdout
    if done.returncode < 0:
        raise Unavailable(f"{command[0]} was killed by signal {-done.returncode}")
    message = done.stderr.strip() or done.stdout.strip() or f"exit {done.returncode}"
    raise (Refused if REFUSED.search(message) else Unavailable)(f"{command[0]}: {message}")


def _is_in(place: Path, folder: str) -> bool:
    """Return whether a place lies directly in a folder without links; other places are not looked at."""
    return place.parent.name == "batches" and os.path.realpath(place.parent) == folder


class Slurm:
    """The programs of one cluster; tests replace `run`."""

    def __init__(self, run: Runner = run_program) -> None:
        self.run = run
        self._configuration: dict[str, str] | None = None

    def configuration(self) -> dict[str, str]:
        """Return the pairs of `scontrol show config`, which is called once.

        Raises:
            Unavailable, Refused: see `run_program`.
        """
        if self._configuration is None:
            lines = self.run(["scontrol", "show", "config"]).splitlines()
            pairs = (line.partition("=") for line in lines if "=" in line)
            self._configuration = {key.strip(): value.strip() for key, _, value in pairs}
        return self._configuration

    def max_array_size(self) -> int:
        """Return the largest number of tasks in one array (MaxArraySize; SLURM's default is 1001)."""
        value = self.configuration().get("MaxArraySize", "")
        return max(1, int(value)) if re.fullmatch(r"[0-9]{1,9}", value) else 1001

    def has_accounting(self) -> bool:
        """Return whether the cluster keeps accounts that sacct can read."""
        kind = self.configuration().get("AccountingStorageType", "")
        return kind not in ("", "(null)") and "none" not in kind

    def requeues_by_default(self) -> bool:
        """Return whether SLURM requeues jobs by default (JobRequeue)."""
        return self.configuration().get("JobRequeue", "1") != "0"

    def queued(self, arrays: Iterable[str]) -> dict[TaskId, Queued]:
        """Return every task of these arrays that has not ended; one query serves all arrays.

        Raises:
            Unavailable, Refused: see `run_program`.
        """
        queue = self._list_queue(arrays)  # pending tasks stay folded into one line an array
        # a folded line says of tasks that a node did not start only that they are held
        held = {array for (array, _), task in queue.items() if "JobHeldUser" in task.reason}
        return queue | self._list_queue(held, "-r") if held else queue

    def _list_queue(self, arrays: Iterable[str], *options: str) -> dict[TaskId, Queued]:
        ids = sorted(set(arrays))
        if not ids:
            return {}
        # the comment comes last, since it may hold a "|"
        command = ["squeue", "-a", "-h", *options, "-j", ",".join(ids), "-o", "%i|%T|%L|%N|%r|%k"]
        try:
            answer = self.run(command)
        except Refused as refused:
            if "invalid job id" in str(refused).lower():  # all of them are long gone
                return {}
            raise
        queue: dict[TaskId, Queued] = {}
        for line in answer.splitlines():
            fields = line.strip().split("|", 5)
            tasks = parse_task_ids(fields[0])
            if len(fields) >= 5 and tasks:
                comment = "".join(fields[5:]).replace("(null)", "")
                queue.update(
                    dict.fromkeys(tasks, Queued(fields[1], fields[4], fields[2], fields[3], comment))
                )
            # a task left out would look gone, and be submitted again
            elif fields[0].partition("_")[0] in ids:
                raise Unavailable(f"squeue: {line.strip()!r} is not understood")
        return queue

    def look_up(self, arrays: Iterable[str]) -> dict[TaskId, Queued]:
        """Return the tasks of these arrays that the controller, asked for each array by its id, does not call ended.

        A listing of the queue can leave a task out; this is asked before a task counts as lost.

        Raises:
            Unavailable, Refused: see `run_program`.
        """
        queue: dict[TaskId, Queued] = {}
        for array in sorted(set(arrays)):
            try:
                answer = self.run(["scontrol", "-a", "-o", "show", "job", array])
            except Refused as refused:
                if "invalid job id" in str(refused).lower():
                    continue
                raise
            for line in answer.splitlines():
                task = re.search(r"\bArrayJobId=(\d+) ArrayTaskId=(\S+)", line)
                state = re.search(r"\bJobState=(\w+)", line)
                if task is None or task[1] != array or state is None or state[1] not in STILL_GOING:
                    continue
                numbers = task[2] if task[2].isdecimal() else f"[{task[2]}]"
                tasks = parse_task_ids(f"{array}_{numbers}")
                if not tasks:  # tasks left out would look gone
                    raise Unavailable(f"scontrol: ArrayTaskId={task[2]} of array {array} is not understood")
                comment = re.search(r"\bComment=(\S+)", line)
                queued = Queued(state[1], comment=comment[1] if comment else "")
                queue.update(dict.fromkeys(tasks, queued))
        return queue

    def accounted(self, arrays: Iterable[str]) -> dict[TaskId, Accounted]:
        """Return the accounting's records of these arrays' tasks; one query serves all arrays.

        Raises:
            Unavailable, Refused: see `run_program`.
        """
        ids = sorted(set(arrays))
        if not ids:
            return {}
        if not self.has_accounting():
            return self._remembered(ids)
        columns = "JobID,State,ExitCode,NodeList,MaxRSS"
        try:
            answer = self.run(["sacct", "-n", "-P", "-j", ",".join(ids), "-o", columns])
        # not installed here, not for this user, or its database is away: the controller remembers ends for a while
        except (Refused, Unavailable):
            return self._remembered(ids)
        accounts: dict[TaskId, Accounted] = {}
        memory: dict[TaskId, float] = {}
        for line in answer.splitlines():
            fields = line.strip().split("|")
            if len(fields) != 5:
                continue
            base, _, step = fields[0].partition(".")
            for task in parse_task_ids(base):
                if step:
                    memory[task] = max(memory.get(task, -1.0), parse_megabytes(fields[4]))
                else:
                    code, signal = parse_exit_code(fields[2])
                    accounts[task] = Accounted(fields[1], code, signal, fields[3])
        return {
            task: account._replace(max_rss_mb=memory.get(task, -1.0)) for task, account in accounts.items()
        }

    def _remembered(self, ids: Sequence[str]) -> dict[TaskId, Accounted]:
        """Return the states of tasks that the controller remembers, for MinJobAge seconds after their end.

        The controller gives no exit codes.
        """
        try:
            answer = self.run(["squeue", "-a", "-h", "-t", "all", "-j", ",".join(ids), "-o", "%i|%T|%N"])
        except Refused as refused:
            if "invalid job id" in str(refused).lower():
                return {}
            raise
        accounts: dict[TaskId, Accounted] = {}
        for line in answer.splitlines():
            fields = line.strip().split("|")
            if len(fields) == 3:
                account = Accounted(fields[1], 0, 0, fields[2])
                accounts.update(dict.fromkeys(parse_task_ids(fields[0]), account))
        return accounts

    def find_arrays(self, folder: Path, uuids: Iterable[str]) -> dict[str, ListedArray]:
        """Return this user's arrays of these batches, and all others whose script lies in `<folder>/batches/<uuid>`.

        One query asks for both. A site may replace comments, and a batch's folder may have been moved.

        Args:
            folder: an executor's folder; links in its path make no difference.
            uuids: the names of batches, with which the comments of their arrays begin.

        Returns:
            The arrays by the uuids of their batches.

        Raises:
            Unavailable, Refused: see `run_program`.
        """
        wanted = set(uuids)
        batches = os.path.realpath(folder / "batches")
        answer = self.run(["squeue", "-a", "-h", "-u", str(os.getuid()), "-t", "all", "-o", "%F|%T|%k|%o"])
        ids: dict[str, str] = {}
        states: dict[str, set[str]] = {}
        for line in answer.splitlines():
            array, state, text = (*line.strip().split("|", 2), "", "")[:3]
            comment, script = text.partition("|")[0].split()[:1], Path(text.rpartition("|")[2])
            uuid = script.parent.name if _is_in(script.parent, batches) else ""
            if comment and comment[0] in wanted:
                uuid = comment[0]
            if uuid and array.isdecimal():
                # an id of an array is given out twice only after a crash of the controller; the later one counts
                ids[uuid] = max(array, ids.get(uuid, array), key=int)
                states.setdefault(array, set()).add(state)
        return {uuid: ListedArray(array, frozenset(states[array])) for uuid, array in ids.items()}

    def cancel(self, tasks: Sequence[str]) -> None:
        """Cancel arrays or tasks by their ids; a task that has ended already is no error.

        Raises:
            Unavailable, Refused: see `run_program`.
        """
        for start in range(0, len(tasks), 500):  # a command line is finite
            try:
                self.run(["scancel", *tasks[start : start + 500]])
            except Refused as refused:
                if not re.search("invalid job id|already complet", str(refused), re.IGNORECASE):
                    raise

    def unavailable_nodes(self, partitions: str | None) -> tuple[list[str], int]:
        """Return the nodes that take no jobs, each with its state and reason, and the number of all nodes.

        Args:
            partitions: names with commas in between; None for the default partition.

        Raises:
            Unavailable, Refused: see `run_program`.
        """
        wanted = partitions.split(",") if partitions else []
        states: dict[str, str] = {}
        for line in self.run(["sinfo", "-h", "-N", "-o", "%N|%P|%T|%E"]).splitlines():
            node, partition, state, reason = (*line.strip().split("|", 3), "", "", "")[:4]
            if partition.removesuffix("*") in wanted or (not wanted and partition.endswith("*")):
                states[node] = f"{state} ({reason})" if reason not in ("", "none") else state
        unavailable = [f"{node} {state}" for node, state in states.items() if NO_JOBS.match(state)]
        return unavailable, len(states)

    def release(self, task: str) -> None:
        """Release a held task; if that fails, it stays held until the next poll sees it."""
        with contextlib.suppress(Refused, Unavailable):
            self.run(["scontrol", "release", task])

    def names(self, command: Sequence[str]) -> list[str]:
        """Return the names that a command lists, for a message on valid values; an empty list if it fails."""
        try:
            return sorted({line.strip() for line in self.run(command).splitlines() if line.strip()})
        except (Unavailable, Refused):
            return []
