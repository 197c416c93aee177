"""The convolutional rivals' training step: this commit over an earlier one, alone and in lanes.

python benchmarks/fair_cnn.py --before FOLDER [--rounds N]   writes benchmarks/fair_cnn.md

FOLDER is a checkout of an earlier commit (`git worktree add FOLDER COMMIT`). Two processes, one for each commit, train
each case and take turns step by step. A step is timed by the processor time of its thread.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any

from checkouts import REPOSITORY, commit_of, environment_of

CNN = {"name": "cnn", "channels": "8-16-32"}
ODD_CNN = {"name": "cnn", "channels": "8-17-33"}
CASES: list[tuple[str, dict[str, Any], int]] = [
    *(("CNN 8-16-32", CNN, size) for size in (8, 14, 28)),
    *(("CNN 8-17-33", ODD_CNN, size) for size in (8, 14, 28)),
    ("CNN 32-64-128", {"name": "cnn", "channels": "32-64-128"}, 8),
    ("ResNet", {"name": "resnet"}, 8),
]
WIDTHS = (1, 7, 16)


def work(model: str, image_size: int, lanes: int) -> None:
    """Make a training step for each line of standard input, and print its seconds."""
    import torch

    from hornlib.data.loading import load
    from hornlib.grid.cell import parse_specification
    from hornlib.training.chunk import start_chunk
    from hornlib.training.loop import train_step

    torch.set_num_threads(1)
    with suppress(ImportError):  # which an earlier commit may lack
        from hornlib.training.devices import keep_freed_memory

        keep_freed_memory()
    cell = parse_specification(
        {"data": {"name": "digits", "image_size": image_size}, "model": json.loads(model)}
    )
    train = load(cell.data, "cpu").train
    chunk = start_chunk(cell, range(lanes), torch.device("cpu"))
    index = torch.arange(cell.training.batch_size).expand(lanes, -1)
    inputs, targets = train.inputs[index], train.targets[index]
    for _ in sys.stdin:
        started = time.thread_time()
        train_step(chunk, chunk.groups[0], inputs, targets, 1000)
        print(time.thread_time() - started, flush=True)


class Worker:
    """A process that makes training steps with the library of a checkout.

    Args:
        repository: the checkout.
        words: case, as `work` takes it.
    """

    def __init__(self, repository: Path, words: list[str]) -> None:
        command = [sys.executable, __file__, "--work", *words]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment_of(repository),
        )

    def step(self) -> float:
        """Return the seconds of one training step."""
        assert self.process.stdin and self.process.stdout
        print(file=self.process.stdin, flush=True)
        return float(self.process.stdout.readline())

    def end(self) -> None:
        """Let the process end."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def compared(before: Path, words: list[str], rounds: int) -> tuple[float, float]:
    """Return the median seconds of a step before, and the median of the ratio now / before.

    Args:
        before: checkout of the earlier commit.
        words: case, as `work` takes it.
        rounds: number of pairs of steps.
    """
    workers = [Worker(repository, words) for repository in (before, REPOSITORY)]
    for worker in workers:
        for _ in range(3):  # the first steps warm caches up
            worker.step()
    pairs = [[worker.step() for worker in workers] for _ in range(rounds)]
    for worker in workers:
        worker.end()
    return statistics.median(old for old, _ in pairs), statistics.median(new / old for old, new in pairs)


def main() -> None:
    """Measure every case, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", nargs=3, metavar=("MODEL", "SIZE", "LANES"), help="internal")
    parser.add_argument("--before", type=Path, help="a checkout of an earlier commit")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--only", default="", help="cases whose name contains this; nothing is written")
    options = parser.parse_args()
    if options.work:
        model, size, lanes = options.work
        work(model, int(size), int(lanes))
        return
    if options.before is None:
        parser.error("--before FOLDER is needed")
    heads = [
        head for lanes in WIDTHS for head in (f"{lanes} lanes, ms" if lanes > 1 else "alone, ms", "ratio")
    ]
    lines = [
        "# Convolutional rivals: a training step now over one before",
        "",
        f"`python benchmarks/fair_cnn.py --before FOLDER`, with {commit_of(options.before)} in FOLDER; "
        f"torch {version('torch')}, CPU, one thread, batch 64, digits of 8x8 pixels or resized. Milliseconds a lane of "
        f"a step before; ratio: now / before, median of {options.rounds} pairs of steps in turn, by processor time. "
        f"Load of the machine {os.getloadavg()[2]:.0f}.",
        "",
        f"| network | pixels | {' | '.join(heads)} |",
        "|---|---|" + "---:|" * len(heads),
    ]
    for label, model, size in CASES:
        if options.only not in label:
            continue
        cells = []
        for lanes in WIDTHS:
            seconds, ratio = compared(
                options.before, [json.dumps(model), str(size), str(lanes)], options.rounds
            )
            cells += [f"{1e3 * seconds / lanes:.2f}", f"{ratio:.2f}"]
        lines.append(f"| {label} | {size}x{size} | {' | '.join(cells)} |")
        print(lines[-1], flush=True)
    if not options.only:
        Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
