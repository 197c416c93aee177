"""A job that takes its time, saves at a signal, and goes on from its checkpoint: what a trainer does, in 20 ms.

The output depends on every step in turn, so that one lost or done twice shows.
"""

import hashlib
import os
import signal
import sys
import time
from pathlib import Path

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
    here = os.environ.get("SLURM_ARRAY_JOB_ID", "-"), os.environ.get("SLURM_ARRAY_TASK_ID", "-")
    with Path("starts").open("a") as starts:
        starts.write(f"{output.name} {here[0]} {here[1]} {step} {os.environ.get('SLURMD_NODENAME', '-')}\n")
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
    checkpoint.unlink()


def save(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    os.replace(temporary, path)


if __name__ == "__main__":
    main()
