"""The program of a node: it runs the jobs of one array task, and handles their signals and their requeue.

It uses the standard library alone. The file is copied beside the batches, under a name with its digest. The batch
script compares the two and starts the copy (`snapshots.LAUNCHER`), so that a node runs the submitted code and starts
within 30 ms.
"""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

__all__ = [
    "DIGITS",
    "EXIT_INTERRUPTED",
    "clean_environment",
    "copy_path",
    "exit_path",
    "is_unchanged",
    "log_path",
    "main",
    "run_task",
    "seal",
    "starts_path",
    "unseal",
]

EXIT_INTERRUPTED = 75
"""Exit code of a job that saved its state and wants to be started again (BSD's EX_TEMPFAIL)."""

EXIT_CHANGED = 78
"""Exit code of a task whose code is not the code that was submitted (BSD's EX_CONFIG); none of its jobs ran."""

DIGITS = 16
"""Hexadecimal digits of a file's SHA-256 that its name holds."""

LOCAL_REQUEUE = 144
"""Exit code that asks submitit's local controller to start a task again."""

STOP_SIGNALS = (signal.SIGUSR2, signal.SIGTERM)
KILLED = {-signal.SIGKILL, 128 + signal.SIGKILL}
STOPPED = {-number for number in STOP_SIGNALS} | {128 + number for number in STOP_SIGNALS}
# SLURM signals the processes of a step one after the other. A job may die of a signal a moment before this process
# receives it; that is not a failure of the job.
SECONDS_BETWEEN_SIGNALS = 2
SECONDS_TO_APPEAR = 60  # a shared file system may show a new folder that much later
SECONDS_TO_BE_KILLED = 120  # after scontrol requeue, SLURM ends this task itself

SLURM_FAMILIES = (
    *("SLURM_", "SLURMD_", "SBATCH_", "SALLOC_", "SRUN_", "SQUEUE_", "SACCT_", "SACCTMGR_", "SCANCEL_"),
    *("SCONTROL_", "SINFO_", "SPRIO_", "SSTAT_", "SSHARE_", "SREPORT_", "STRIGGER_", "SBCAST_", "SATTACH_"),
)
"""Beginnings of the variables that SLURM's programs read: options of the user, and facts of the caller's own job."""

SITE_VARIABLES = {
    *("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_JWT", "SLURM_JWKS"),
    *("SLURM_MPI_TYPE", "SLURM_HINT", "SBATCH_ACCOUNT"),
}
"""Variables of these families that say which cluster is meant, who asks, and what the site wants of every job."""


def clean_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables for SLURM's programs and for submitted jobs.

    Variables that filter what a program shows, that replace options of the command line, or that describe the job in
    which the caller runs are left out: `SQUEUE_PARTITION` hides running jobs, and `SLURM_NTASKS` ends every `srun`.

    Args:
        environ: the caller's variables.
    """
    return {
        name: value
        for name, value in environ.items()
        if name in SITE_VARIABLES or name.startswith("SLURM_SACK_") or not name.startswith(SLURM_FAMILIES)
    }


def seal(record: Mapping[str, Any]) -> bytes:
    """Return a record as one line of JSON with a digest, by which `unseal` notices a flipped bit."""
    digest = hashlib.sha256(json.dumps(record).encode()).hexdigest()[:DIGITS]
    return json.dumps({**record, "digest": digest}).encode()


def unseal(content: bytes | str, strict: bool = False) -> dict[str, Any]:
    """Return a record without its digest.

    Args:
        content: one line of JSON.
        strict: whether a record without a digest, as earlier versions wrote them, is refused.

    Raises:
        ValueError: the content is no JSON object, or its digest is another one.
    """
    try:
        record = json.loads(content)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None
    if not isinstance(record, dict):
        raise ValueError("it is no JSON object")
    if strict or "digest" in record:
        digest = record.pop("digest", "")
        if digest != hashlib.sha256(json.dumps(record).encode()).hexdigest()[:DIGITS]:
            raise ValueError("its digest is another one")
    return record


def copy_path(path: Path) -> Path:
    """Return the path of the copy of a file without which a batch is lost."""
    return path.with_name(f"{path.name}.copy")


def starts_path(folder: Path, job: int) -> Path:
    """Return the file in which each start of a job is noted, one line for each start.

    Args:
        folder: the batch's folder.
        job: the job's number in the batch.
    """
    return folder / f"{job}.starts"


def exit_path(folder: Path, job: int) -> Path:
    """Return the file that says how a job ended; it appears once, at the very end.

    Args:
        folder: the batch's folder.
        job: the job's number in the batch.
    """
    return folder / f"{job}.exit"


def log_path(folder: Path, array: str, task: int) -> Path:
    """Return the log of a task, which is not the log of its jobs; submitit chose its name.

    Args:
        folder: the batch's folder.
        array: SLURM's id of the array.
        task: the task's number in the array.
    """
    return folder / f"{array}_{task}_0_log.out"


def is_unchanged(path: Path) -> bool:
    """Return whether a file has the content whose digest stands in its name, <stem>-<digest>.<suffix>."""
    return _digest(path) == path.stem.rpartition("-")[2]


class _StopRequest:
    """Notes the signals that ask to stop. Outside SLURM it hands them on to the jobs.

    SLURM signals every process of a step. Elsewhere only this process receives the signal.
    """

    def __init__(self, forward: bool) -> None:
        self.signal_name: str | None = None
        self.children: list[subprocess.Popen[bytes]] = []
        self.forward = forward

    def install(self) -> None:
        for number in STOP_SIGNALS:
            signal.signal(number, self._note)
        signal.signal(signal.SIGCONT, signal.SIG_IGN)
        if self.forward:
            signal.signal(signal.SIGINT, self._hurry)
            signal.signal(signal.SIGALRM, self._kill)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal_name = signal.Signals(number).name
        if self.forward:
            self._send(number)

    def _hurry(self, number: int, frame: FrameType | None) -> None:
        """Stop at once. submitit's local controller kills this process in a second, and no job may outlive it."""
        self._note(signal.SIGTERM, frame)
        signal.setitimer(signal.ITIMER_REAL, 0.7)

    def _kill(self, number: int, frame: FrameType | None) -> None:
        self._send(signal.SIGKILL)

    def _send(self, number: int) -> None:
        for child in self.children:
            if child.poll() is None:
                with contextlib.suppress(ProcessLookupError):  # it ended just now
                    os.killpg(child.pid, number)


def run_task(folder: Path, task: int, in_process: bool = False) -> int:
    """Run the jobs of a task side by side, and return the task's exit status.

    Args:
        folder: the batch's folder.
        task: its number in the array.
        in_process: whether the caller's process handles the signals.
    """
    header = _read_header(folder)
    first = task * header["jobs_per_task"]
    numbers = range(first, min(first + header["jobs_per_task"], len(header["offsets"])))
    if (folder / "abandoned").exists():
        print("this batch was given up by the head; nothing is done", flush=True)
        # a head that takes the fence away again must not think that they left no trace
        for number in numbers:
            if not exit_path(folder, number).exists():
                _write_exit(folder, number, EXIT_INTERRUPTED, fenced=True)
        return 0
    if changed := _changed_snapshot(header.get("snapshots", [])):
        print(f"{changed} is not the code that was submitted", flush=True)
        for number in numbers:
            if not exit_path(folder, number).exists() and not _is_collected(folder, number):
                _write_exit(folder, number, EXIT_CHANGED, changed=changed)
        return EXIT_CHANGED
    managed = _in_slurm() and not in_process
    stop = _StopRequest(forward=not managed)
    if not in_process:
        stop.install()
    children: dict[int, subprocess.Popen[bytes]] = {}
    jobs = {
        number: _read_job(folder, header["offsets"][number])
        for number in numbers
        # a sibling of an earlier start, or SLURM requeues what it does not know to have ended
        if not exit_path(folder, number).exists() and not _is_collected(folder, number)
    }
    worst = 0
    for number, job in jobs.items():
        if _is_stuck(folder, number, job, header["requeues"]):
            worst = worst or EXIT_INTERRUPTED
            _write_exit(folder, number, EXIT_INTERRUPTED, stuck=True)
            continue
        try:
            children[number] = child = _start(job, header, own_session=not managed)
        except OSError as error:  # its siblings go on
            print(f"job {number} cannot be started in {header['directory']}: {error}", flush=True)
            worst = worst or 127
            _write_exit(folder, number, 127)
            continue
        stop.children.append(child)
        if stop.signal_name and stop.forward:  # it came between two starts
            os.killpg(child.pid, getattr(signal, stop.signal_name))
    interrupted = []
    for number, child in children.items():
        code = child.wait()
        if code in KILLED or (code in STOPPED and stop.signal_name is None):
            time.sleep(SECONDS_BETWEEN_SIGNALS)
        if _wants_to_go_on(code, stop.signal_name):
            interrupted.append(number)
            continue
        worst = worst or code
        _write_exit(folder, number, code)
    if interrupted:
        return _requeue(folder, interrupted, stop.signal_name or "itself", in_process)
    return worst if worst >= 0 else 128 - worst


def _read_header(folder: Path) -> dict[str, Any]:
    path = folder / "batch.json"
    deadline = time.monotonic() + SECONDS_TO_APPEAR
    while True:
        for file in (path, copy_path(path)):
            with contextlib.suppress(OSError, ValueError):
                return unseal(file.read_bytes(), strict=True)
        if time.monotonic() > deadline:
            sys.exit(
                f"{path} is not seen on {os.uname().nodename}, or is damaged: the folder must be shared by all nodes"
            )
        time.sleep(1)


def _changed_snapshot(snapshots: list[str]) -> str | None:
    """Return the first snapshot that is damaged or missing, which Python would skip for the working tree; or None."""
    deadline = time.monotonic() + SECONDS_TO_APPEAR
    for snapshot in snapshots:
        while not is_unchanged(Path(snapshot)):
            if time.monotonic() > deadline:
                return snapshot
            time.sleep(1)
    return None


def _read_job(folder: Path, offset: int) -> dict[str, Any]:
    """Return one job of the batch. Reading the whole file on every node would flood the file server."""
    path = folder / "jobs.jsonl"
    for file in (path, copy_path(path)):
        with contextlib.suppress(OSError, ValueError), file.open("rb") as lines:
            lines.seek(offset)
            return unseal(lines.readline(), strict=True)
    sys.exit(f"{path} cannot be read, or is damaged, and so is its copy")


def _is_collected(folder: Path, number: int) -> bool:
    """Return whether the workflow has this job's result; its exit record was removed then."""
    try:
        return f"\n{number}.{number}." in (folder / "collected").read_text(errors="replace")
    except FileNotFoundError:
        return False


def _is_stuck(folder: Path, number: int, job: dict[str, Any], requeues: int) -> bool:
    """Note this start; return whether too many starts in a row found the same checkpoint."""
    checkpoint = job.get("checkpoint")
    mark = _digest(checkpoint) if checkpoint else None  # its content shows progress; its time does not
    path = starts_path(folder, number)
    text = path.read_text(errors="replace") if path.exists() else ""
    noted = [*job.get("earlier_marks", []), *_marks(text)]
    start = {
        "job": _job_id(),
        "host": os.uname().nodename,
        "time": time.time(),
        "mark": mark,
        "restart": int(os.environ.get("SLURM_RESTART_COUNT", 0)),
    }
    whole = text == "" or text.endswith("\n")
    try:
        with path.open("a") as file:
            file.write(("" if whole else "\n") + seal(start).decode() + "\n")
    except OSError as error:
        print(f"{path} cannot be written: {error.strerror}", flush=True)
    marks = [*noted, mark]
    return len(marks) > requeues + 1 and len(set(marks[-requeues - 2 :])) == 1


def _marks(starts: str) -> list[str | None]:
    """Return the checkpoint's digests at earlier starts, without torn lines of a node that died."""
    marks = []
    for line in starts.splitlines():
        try:
            marks.append(unseal(line)["mark"])
        except (ValueError, KeyError):
            continue
    return marks


def _digest(path: str | Path) -> str | None:
    """Return the first digits of a file's SHA-256; None for a file that cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:DIGITS]
    except OSError:
        return None


def _start(job: dict[str, Any], header: dict[str, Any], own_session: bool) -> "subprocess.Popen[bytes]":
    # Without the trap the shell dies of a signal that its child obeys by saving, and the child's exit code is lost.
    script = f"trap : USR2 TERM; {job['command']}"
    environment = {**os.environ, **job["environment"]}
    os.stat(header["directory"])  # a node that does not see the folder must not make one of its own
    _make_folders(
        [os.path.join(header["directory"], file) for file in (*job["outputs"], *job["logs"])], header["umask"]
    )
    arguments: list[str] = [header["shell"], "-c", script]
    descriptors: list[int] = []
    if (
        len(script.encode()) > 100_000
    ):  # one argument holds 128 KiB; a longer script is read from a file without name
        descriptor = os.memfd_create("script")
        os.write(descriptor, script.encode())
        arguments, descriptors = [header["shell"], f"/proc/self/fd/{descriptor}"], [descriptor]
    return subprocess.Popen(
        arguments,
        cwd=header["directory"],
        env=environment,
        umask=header["umask"],
        pass_fds=descriptors,
        stdin=subprocess.DEVNULL,
        start_new_session=own_session,
    )


def _make_folders(files: list[str], umask: int) -> None:
    """Make the files' folders; a head that stopped in between may have removed empty ones."""
    ours = os.umask(umask)
    try:
        for file in files:
            os.makedirs(os.path.dirname(file), exist_ok=True)
    finally:
        os.umask(ours)


def _wants_to_go_on(code: int, signal_name: str | None) -> bool:
    """Return whether a job asks to be started again, or died of the signal that asked it to stop."""
    return code == EXIT_INTERRUPTED or (code in STOPPED and signal_name is not None)


def _write_exit(folder: Path, number: int, code: int, **more: Any) -> None:
    record = {"code": code, "job": _job_id(), "host": os.uname().nodename, "time": time.time(), **more}
    path = exit_path(folder, number)
    temporary = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}")
    try:
        temporary.write_bytes(seal(record))
        os.replace(temporary, path)
    except OSError as error:  # SLURM's own record of the exit status has to do
        print(f"{path} cannot be written: {error.strerror}", flush=True)


def _in_slurm() -> bool:
    """Return whether this task is a SLURM job, and not a process of a head inside a SLURM job."""
    return os.environ.get("SUBMITIT_EXECUTOR") == "slurm" and "SLURM_JOB_ID" in os.environ


def _requeue(folder: Path, interrupted: list[int], signal_name: str, in_process: bool) -> int:
    """Ask SLURM to start this task again in its slot; if SLURM refuses, leave it to the head."""
    print(f"stopped by {signal_name}; wants to go on", flush=True)
    if in_process or not _in_slurm():
        if in_process or os.environ.get("SUBMITIT_EXECUTOR") != "local":
            for number in interrupted:
                _write_exit(folder, number, EXIT_INTERRUPTED, refused="no queue to return to")
        return LOCAL_REQUEUE
    refused = _refusal_to_requeue(_job_id())
    if refused is None:
        time.sleep(SECONDS_TO_BE_KILLED)
    elif refused != "":
        print(f"the requeue is refused: {refused}", flush=True)
        for number in interrupted:
            _write_exit(folder, number, EXIT_INTERRUPTED, refused=refused)
    return EXIT_INTERRUPTED


def _refusal_to_requeue(job: str) -> str | None:
    """Requeue a job; return None when done, a reason when refused, "" when SLURM ends the job for its own reasons.

    A job that is being cancelled must not be brought back, and one that SLURM requeues itself needs no help. It is
    named as a task of its array (123_4): the last task's own number is the array's, and would name all of them.
    """
    try:
        listing = _ask_slurm("squeue", "-a", "-h", "-j", job, "-o", "%T")
        if listing.returncode == 0 and listing.stdout.strip() != "RUNNING":
            return ""
        done = _ask_slurm("scontrol", "requeue", job)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return None if done.returncode == 0 else (done.stderr.strip() or f"scontrol: exit {done.returncode}")


def _ask_slurm(*command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, timeout=60, check=False
    )


def _job_id() -> str:
    if _in_slurm() and (array := os.environ.get("SLURM_ARRAY_JOB_ID")):
        return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID')}"
    return os.environ.get("SUBMITIT_LOCAL_JOB_ID", str(os.getpid()))


def main() -> None:
    """Run the task that the arguments and SLURM's environment name."""
    os.umask(0o077)  # the jobs themselves get the caller's
    folder = Path(sys.argv[1])
    task = int(sys.argv[2]) if len(sys.argv) > 2 else int(os.environ["SLURM_ARRAY_TASK_ID"])
    sys.exit(run_task(folder, task))


if __name__ == "__main__":
    main()
