"""The time of a training step a lane, by the number of lanes, beside the number that `lanes: auto` takes.

python benchmarks/lanes.py [--quick]   writes benchmarks/lanes.md
"""

import statistics
import sys
import time
from pathlib import Path

import torch

from hornlib.data.loading import load
from hornlib.grid.cell import Cell, parse_specification
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_step
from hornlib.training.width import LEAST_LANES, NUMBERS_AT_ONCE, chunk_width, numbers_a_step

NUM_RUNS = 16
WIDTHS = [1, 2, 4, 7, 16]
SECONDS = 8.0
"""Processor time spent on a case, at most (but three rounds are always measured)."""

HORN_CNN = {"name": "horn_cnn", "num_nodes": 8, "timesteps": 8}
CNN = {"name": "cnn", "channels": "8-16-32"}
WIDE_CNN = {"name": "cnn", "channels": "32-64-128"}
ROWS = {"presentation": "rows"}
CASES: list[tuple[str, dict, dict, int]] = [
    ("MLP 64-64", {"name": "mlp", "hidden_nodes": "64-64"}, {}, 64),
    ("MLP 256-256", {"name": "mlp", "hidden_nodes": "256-256"}, {}, 64),
    ("MLP 1024-1024", {"name": "mlp", "hidden_nodes": "1024-1024"}, {}, 64),
    ("HORN by rows, 32 nodes", {"name": "horn"}, ROWS, 64),
    ("HORN by rows, 256 nodes", {"name": "horn", "num_nodes": 256}, ROWS, 64),
    ("HORN by pixels, 784 steps", {"name": "horn"}, {"image_size": 28, "presentation": "pixels"}, 64),
    ("GRU by rows", {"name": "rnn", "unit": "gru"}, ROWS, 64),
    ("CNN 8-16-32", CNN, {}, 64),
    ("CNN 8-17-33", {"name": "cnn", "channels": "8-17-33"}, {}, 64),
    ("CNN 8-16-32", CNN, {"image_size": 28}, 64),
    ("CNN 32-64-128", WIDE_CNN, {}, 64),
    ("CNN 32-64-128", WIDE_CNN, {"image_size": 28}, 64),
    ("HORN-CNN, C = (8, 16, 32), T = 8", HORN_CNN, {}, 64),
    ("the same, batch 256", HORN_CNN, {}, 256),
    ("the same, T = 32", {**HORN_CNN, "timesteps": 32}, {}, 64),
    ("the same, C = (32, 64, 128)", {**HORN_CNN, "num_nodes": 32}, {}, 64),
    ("HORN-CNN, C = (8, 16, 32), T = 8", HORN_CNN, {"image_size": 14}, 64),
    ("HORN-CNN, C = (8, 16, 32), T = 8", HORN_CNN, {"image_size": 20}, 64),
    ("HORN-CNN, C = (8, 16, 32), T = 8", HORN_CNN, {"image_size": 28}, 64),
    ("the same, batch 16", HORN_CNN, {"image_size": 28}, 16),
    ("ResNet", {"name": "resnet"}, {}, 64),
    ("MobileNetV3", {"name": "mobilenet_v3"}, {}, 64),
]


class Timed:
    """A chunk in training, of which single steps are timed by the processor time of this process."""

    def __init__(self, cell: Cell, width: int) -> None:
        splits, self.width = load(cell.data, "cpu"), width
        self.chunk = start_chunk(cell, range(width), torch.device("cpu"))
        index = torch.arange(cell.training.batch_size).expand(width, -1)
        self.inputs, self.targets = splits.train.inputs[index], splits.train.targets[index]
        self.step()  # the first step warms caches up

    def step(self) -> float:
        """Return the seconds of one training step, divided by the number of lanes."""
        started = time.process_time()
        train_step(self.chunk, self.chunk.groups[0], self.inputs, self.targets, 1000)
        return (time.process_time() - started) / self.width


def seconds_a_lane(cell: Cell, widths: list[int], quick: bool) -> dict[int, float]:
    """Return the median time of a step a lane for each width, seconds; the widths take turns."""
    chunks = [Timed(cell, width) for width in widths]
    times: dict[int, list[float]] = {width: [] for width in widths}
    started, rounds = time.process_time(), 0
    while rounds < (1 if quick else 3) or (
        not quick and time.process_time() - started < SECONDS and rounds < 20
    ):
        for chunk in chunks:
            times[chunk.width].append(chunk.step())
        rounds += 1
    return {width: statistics.median(measured) for width, measured in times.items()}


def main() -> None:
    quick = "--quick" in sys.argv
    torch.set_num_threads(1)
    lines = [
        "# Lanes: time of a training step a lane, by the number of lanes",
        "",
        f"`python benchmarks/lanes.py`; torch {torch.__version__}, CPU, 1 thread, digits of 8x8 pixels or resized. "
        "Processor time, medians of up to 20 steps, widths in turn. N: `hornlib.training.width.numbers_a_step`. "
        f"`auto` takes {NUMBERS_AT_ONCE['cpu'] / 1e6:.0f} million / N lanes, one where this is below {LEAST_LANES}, "
        f"and never more than the runs of a job (here {NUM_RUNS}).",
        "",
        "| model | pixels | N, million | alone, ms | 2 lanes / alone | 4 | 7 | 16 | `auto` | `auto` / alone |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for label, model, data, batch_size in CASES:
        cell = parse_specification(
            {
                "data": {"name": "digits", **data},
                "model": model,
                "training": {"batch_size": batch_size},
            }
        )
        auto = chunk_width("auto", cell, NUM_RUNS, "cpu")
        seconds = seconds_a_lane(cell, sorted({*WIDTHS, auto}), quick)
        ratios = " | ".join(f"{seconds[width] / seconds[1]:.2f}" for width in WIDTHS[1:])
        size = data.get("image_size", 8)
        lines.append(
            f"| {label} | {size}x{size} | {numbers_a_step(cell) / 1e6:.2f} | {1e3 * seconds[1]:.2f} | {ratios} "
            f"| {auto} | {seconds[auto] / seconds[1]:.2f} |"
        )
        print(lines[-1], flush=True)
    lines += [
        "",
        "Lanes share the calls of small kernels. They save nothing where one lane's kernels fill the processor "
        "already: large maps, wide products.",
    ]
    if not quick:
        (Path(__file__).parent / "lanes.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
