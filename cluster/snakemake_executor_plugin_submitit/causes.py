"""The cause of a job's end: a pure function of the node's exit record, SLURM's record and the log."""

import re
import signal
from enum import Enum
from typing import Any, NamedTuple

from snakemake_executor_plugin_submitit.slurm import Accounted
from snakemake_executor_plugin_submitit.task import EXIT_INTERRUPTED

__all__ = ["Cause", "Verdict", "judge"]


class Cause(Enum):
    """How a job ended; the value is a description."""

    SUCCESS = "done"
    EXIT_CODE = "failed"
    SIGNAL = "killed by a signal"
    CHANGED = "its code was changed"
    MEMORY = "out of memory"
    CANCELLED = "cancelled"
    STUCK = "restarted without progress"
    TIMEOUT = "time limit reached"
    PREEMPTED = "pre-empted"
    INTERRUPTED = "interrupted"
    NODE = "node failed"
    FENCED = "given up by another head"
    UNSEEN = "left no trace"
    VANISHED = "vanished"

    @property
    def goes_on(self) -> bool:
        """Whether a job with this cause is submitted again and goes on from its checkpoint."""
        return self in {
            Cause.TIMEOUT,
            Cause.PREEMPTED,
            Cause.INTERRUPTED,
            Cause.NODE,
            Cause.FENCED,
            Cause.VANISHED,
        }


class Verdict(NamedTuple):
    """The cause, a sentence for people, and the nodes to avoid at the next submission."""

    cause: Cause
    sentence: str
    nodes: tuple[str, ...] = ()


OUT_OF_MEMORY = re.compile(
    r"oom[-_ ]?kill|exceeded (job |step )?memory limit|memory limit.*exceeded|out[- ]of[- ]memory handler",
    re.IGNORECASE,
)
"""Messages of slurmstepd and the kernel for a job that used too much memory; a MemoryError is an ordinary exit."""


CHANGED_CODE = re.compile(r"^\s*(/.*) is not the code that was submitted$", re.MULTILINE)
"""The line with which a task refuses its own code; a log may also quote the launcher, which holds these words."""


def judge(
    exit_record: dict[str, Any] | None,
    accounted: Accounted | None,
    said: str = "",
    memory_mb: float | None = None,
    started: bool = True,
    fenced: bool = False,
    alone_unknown: bool = False,
    logged: bool = False,
) -> Verdict:
    """Return the cause of the end of a job that left the queue.

    The exit record counts first, then the accounting, then the log.

    Args:
        exit_record: the record that the node wrote at the job's end, or None.
        accounted: SLURM's record of the task, or None without one.
        said: the last lines of the task's log.
        memory_mb: the memory that was asked for, in MB.
        started: whether the node wrote anything into the shared folder.
        fenced: whether the batch was given up before the job started.
        alone_unknown: whether SLURM knows other tasks of the array but not this one. A waiting task that was
            cancelled with scancel looks like that.
        logged: whether the task's log exists. A task that is killed in its first moments has a log and no start
            record; the folder is then in order.
    """
    if exit_record is not None:
        return _judge_exit(exit_record, accounted, said, memory_mb)
    state = accounted.state.partition(" ")[0].rstrip("+") if accounted else ""
    nodes = (accounted.nodes,) if accounted and accounted.nodes not in ("", "None assigned") else ()
    on = f" on {nodes[0]}" if nodes else ""
    if state == "COMPLETED":
        if fenced and not started:
            return Verdict(Cause.FENCED, "its batch was given up before it started")
        return Verdict(Cause.SUCCESS, "done") if started else _unseen(on, nodes)
    if state in {"NODE_FAIL", "BOOT_FAIL"}:
        return Verdict(Cause.NODE, f"the node failed{on}", nodes)
    if state == "TIMEOUT" or state == "DEADLINE":
        return Verdict(Cause.TIMEOUT, f"the time limit was reached{on} before the job had saved")
    if state == "PREEMPTED":
        return Verdict(Cause.PREEMPTED, f"pre-empted{on}")
    if _took_too_much(accounted, said, memory_mb):
        return Verdict(Cause.MEMORY, _memory_sentence(accounted, memory_mb))
    if changed := CHANGED_CODE.search(said):
        return _changed(changed[1])
    if state == "CANCELLED":
        return Verdict(Cause.CANCELLED, "cancelled with scancel")
    if state == "FAILED" and accounted:
        if not started and not logged:
            return _unseen(on, nodes)
        # The end of a job is always on record. Without a record, the task itself was killed from outside.
        how = _signal_name(accounted.signal) if accounted.signal else f"exit code {accounted.exit_code}"
        return Verdict(Cause.INTERRUPTED, f"its task was ended{on} ({how}) before it could record anything")
    if fenced and not started:
        return Verdict(Cause.FENCED, "its batch was given up before it started")
    if alone_unknown and not started:
        return Verdict(Cause.CANCELLED, "cancelled with scancel while it waited")
    return Verdict(Cause.VANISHED, "it left the queue, and nothing says how it ended")


def _judge_exit(
    record: dict[str, Any], accounted: Accounted | None, said: str, memory_mb: float | None
) -> Verdict:
    code, on = int(record["code"]), f" on {record.get('host') or 'its node'}"
    if code == 0:
        return Verdict(Cause.SUCCESS, "done")
    if (name := str(record.get("cause"))) in Cause.__members__:  # a head has judged it
        return Verdict(Cause[name], str(record.get("sentence")))
    if record.get("stuck"):
        return Verdict(
            Cause.STUCK, "it was started again and again, and its checkpoint did not change in between"
        )
    if record.get("fenced"):
        return Verdict(Cause.FENCED, "its batch was given up before it started")
    if record.get("changed"):
        return _changed(str(record["changed"]))
    if code == EXIT_INTERRUPTED:
        why = record.get("refused")
        return Verdict(
            Cause.INTERRUPTED, f"interrupted{on}" + (f"; its requeue was refused: {why}" if why else "")
        )
    killed = -code if code < 0 else code - 128 if 128 < code < 160 else 0
    if killed == signal.SIGKILL and _took_too_much(accounted, said, memory_mb):
        return Verdict(Cause.MEMORY, _memory_sentence(accounted, memory_mb))
    if killed == signal.SIGKILL:
        return Verdict(Cause.SIGNAL, f"killed (signal 9): often out of memory; SIGKILL{on}")
    if killed:
        return Verdict(Cause.SIGNAL, f"killed by {_signal_name(killed)}{on}")
    return Verdict(Cause.EXIT_CODE, f"exit code {code}{on}")


def _took_too_much(accounted: Accounted | None, said: str, memory_mb: float | None) -> bool:
    if accounted and accounted.state.startswith("OUT_OF_ME"):
        return True
    if OUT_OF_MEMORY.search(said):
        return True
    killed = accounted is not None and (accounted.signal == 9 or accounted.exit_code in (137, 9))
    return bool(killed and accounted and memory_mb and accounted.max_rss_mb >= 0.95 * memory_mb)


def _memory_sentence(accounted: Accounted | None, memory_mb: float | None) -> str:
    """Return a sentence on the limit, which all processes share, and on SLURM's figure, which is often far below it."""
    limit = f"; {memory_mb:.0f} MB were asked for, for all its processes together" if memory_mb else ""
    sample = accounted.max_rss_mb if accounted else -1.0
    if sample <= 0:
        return f"out of memory{limit}"
    is_low = memory_mb is not None and sample < memory_mb
    missed = ", which misses a peak between two samples" if is_low else ""
    return f"out of memory{limit}; SLURM's largest sample is {sample:.0f} MB{missed}"


def _changed(path: str) -> Verdict:
    return Verdict(
        Cause.CHANGED,
        f"nothing of it ran, because {path} is not the code that was submitted: the file was changed or removed since. "
        "The same command makes the file anew and goes on",
    )


def _unseen(on: str, nodes: tuple[str, ...]) -> Verdict:
    return Verdict(
        Cause.UNSEEN,
        f"the task ran{on} and left no trace: the nodes do not see, or cannot write, the folder of the batches",
        nodes,
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
