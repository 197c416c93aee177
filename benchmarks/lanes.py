"""Seeds trained side by side against the same seeds one after another, in one process.

python benchmarks/lanes.py [--quick]   writes benchmarks/lanes.md
"""

import statistics
import sys
import time
from pathlib import Path

import torch

from hornlib.cell import Cell, parse_specification
from hornlib.data.loading import load
from hornlib.training.chunk import Lane, start_chunk
from hornlib.training.loop import train_step
from hornlib.training.width import fastest_width

SEEDS = list(range(16))
HORN_CNN = {"name": "horn_cnn", "num_nodes": 8, "timesteps": 8}
CASES = [
    ("HORN-CNN, C = (8, 16, 32), T = 8", "digits 8x8", HORN_CNN, {"name": "digits"}),
    ("MLP 64-64", "digits 8x8", {"name": "mlp", "hidden_nodes": "64-64"}, {"name": "digits"}),
    ("HORN by rows, 32 nodes", "digits 8x8", {"name": "horn"}, {"name": "digits", "presentation": "rows"}),
    (
        "HORN-CNN, C = (8, 16, 32), T = 8",
        "digits resized to 14x14",
        HORN_CNN,
        {"name": "digits", "image_size": 14},
    ),
    (
        "HORN-CNN, C = (8, 16, 32), T = 8",
        "digits resized to 28x28",
        HORN_CNN,
        {"name": "digits", "image_size": 28},
    ),
]


def cell_of(model: dict, data: dict) -> Cell:
    return parse_specification({"data": data, "model": model, "training": {"batch_size": 64}})


def seconds(cell: Cell, groups: list[list[int]], steps: int) -> float:
    """Time `steps` training steps of every seed, chunk after chunk; set-up and a first step are not counted."""
    splits = load(cell.data, "cpu")
    total = 0.0
    for group in groups:
        chunk = start_chunk(cell, group, torch.device("cpu"))
        index = torch.arange(cell.training.batch_size).expand(len(group), -1)
        inputs, targets = splits.train.inputs[index], splits.train.targets[index]
        train_step(chunk, chunk.groups[0], inputs, targets, 1000)
        started = time.perf_counter()
        for _ in range(steps):
            train_step(chunk, chunk.groups[0], inputs, targets, 1000)
        total += time.perf_counter() - started
    return total / steps / len(SEEDS)


def main() -> None:
    quick = "--quick" in sys.argv
    repetitions, steps = (1, 2) if quick else (5, 4)
    torch.set_num_threads(2)
    lines = [
        "# Lanes: 16 seeds at once against one after another",
        "",
        f"`python benchmarks/lanes.py`; torch {torch.__version__}, CPU, {torch.get_num_threads()} threads, batch 64; "
        f"medians of {repetitions} interleaved repetitions of {steps} steps. Times are milliseconds a lane and step.",
        "",
        "| model | data | alone | 16 lanes | ratio | width that `auto` takes | `auto` / alone |",
        "|---|---|---|---|---|---|---|",
    ]
    for label, data_label, model, data in CASES:
        cell = cell_of(model, data)
        width = fastest_width([Lane(cell, seed) for seed in SEEDS], load(cell.data, "cpu"))
        ways = {
            "alone": [[seed] for seed in SEEDS],
            "together": [SEEDS],
            "auto": [SEEDS[start : start + width] for start in range(0, len(SEEDS), width)],
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(repetitions):
            for way, groups in ways.items():
                times[way].append(seconds(cell, groups, steps))
        medians = {way: statistics.median(found) for way, found in times.items()}
        ratio = {
            way: statistics.median(a / b for a, b in zip(times[way], times["alone"], strict=True))
            for way in ways
        }
        lines.append(
            f"| {label} | {data_label} | {1e3 * medians['alone']:.2f} | {1e3 * medians['together']:.2f} "
            f"| {ratio['together']:.2f} | {width} | {ratio['auto']:.2f} |"
        )
        print(lines[-1], flush=True)
    lines += [
        "",
        "The larger the maps, the less lanes save on a CPU: one lane's kernels already fill it.",
    ]
    if not quick:
        (Path(__file__).parent / "lanes.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
