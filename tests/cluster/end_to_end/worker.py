"""A job that takes its time, saves at a signal, and goes on from its checkpoint: what a trainer does, in 40 ms.

The output depends on every step in turn, so that one lost or done twice shows. As a trainer, it has the lock of its
output while it works, and leaves a finished output as it is.
"""

import hashlib
import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from noting import noted_training

from hornlib.errors import ResultsError
from hornlib.lease import lock_run_file

EXIT_INTERRUPTED = 75


def main() -> None:
    output, checkpoint, steps, seconds = (
        Path(sys.argv[1]),
        Path(sys.argv[2]),
        int(sys.argv[3]),
        float(sys.argv[4]),
    )
    wanted_stop: list[int] = []
    for number in () if sys.argv[5:] == ["deaf"] else (signal.SIGUSR2, signal.SIGTERM):
        signal.signal(number, lambda number, frame: wanted_stop.append(number))
    try:
        with lock_run_file(output):
            if output.exists():
                print(f"{output} is finished; nothing is done")
            else:
                work(output, checkpoint, steps, seconds, wanted_stop)
    except ResultsError as error:
        sys.exit(f"error: {error}")


def work(output: Path, checkpoint: Path, steps: int, seconds: float, wanted_stop: list[int]) -> None:
    step, digest = 0, "0"
    if checkpoint.exists():
        first, digest = checkpoint.read_text().split()
        step = int(first)
    with noted_training(output.name, step):
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
    checkpoint.unlink(missing_ok=True)


def save(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    os.replace(temporary, path)


if __name__ == "__main__":
    main()
