"""A job that takes its time, saves at a signal, and goes on from its checkpoint: what a trainer does, in 20 ms.

The output depends on every step in turn, so that one lost or done twice shows; and two that work on the same output
at the same time are noted in `doubled`, the newcomer first.
"""

import fcntl
import hashlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import TextIO

EXIT_INTERRUPTED = 75


def main() -> None:
    output, checkpoint, steps, seconds = (
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        int(sys.argv[3]),
        float(sys.argv[4]),
    )
    wanted_stop = []
    for number in (signal.SIGUSR2, signal.SIGTERM):
        signal.signal(number, lambda number, frame: wanted_stop.append(number))
    step, digest = 0, "0"
    if checkpoint.exists():
        first, digest = checkpoint.read_text().split()
        step = int(first)
    names = ("SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID", "SLURMD_NODENAME")
    array, task, node = (os.environ.get(name, "-") for name in names)
    held = hold(checkpoint.with_name(f"{output.name}.held"), f"{array} {task} {node}")
    with Path("starts").open("a") as starts:
        starts.write(f"{output.name} {array} {task} {step} {node}\n")
    print(f"starts at step {step}", flush=True)
    while step < steps:
        time.sleep(seconds)
        step += 1
        digest = hashlib.sha256(f"{digest} {output.name} {step}".encode()).hexdigest()
        save(checkpoint, f"{step} {digest}")
        if wanted_stop:
            print(f"stopped by {signal.Signals(wanted_stop[0]).name} at step {step}", flush=True)
            sys.exit(EXIT_INTERRUPTED)
    save(output, f"{output.name} {digest}\n")
    with Path("ends").open("a") as ends:
        ends.write(f"{output.name} {array} {task} {step} {node}\n")
    checkpoint.unlink(missing_ok=True)
    held.close()


def hold(path: Path, here: str) -> TextIO:
    """Keep others from this job until the end of the process, or note who is at it already."""
    file = path.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.truncate(0)
        print(here, file=file, flush=True)
    except BlockingIOError:
        file.seek(0)
        with Path("doubled").open("a") as doubled:
            doubled.write(f"{path.stem} {here} {file.read().strip()} {time.time():.1f}\n")
    return file


def save(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    os.replace(temporary, path)


if __name__ == "__main__":
    main()
