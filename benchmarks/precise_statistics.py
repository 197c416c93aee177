"""What batch norm's precise statistics cost: their share of a job's time at the default evaluation grid.

python benchmarks/precise_statistics.py > benchmarks/precise_statistics.md

One thread. A job is its training steps, its evaluations (validation and test) and, before each evaluation, a forward
pass over 512 training examples. Each is timed alone, alternately, on the processor's clock of this process (smallest of
several), and multiplied by how often it happens.
"""

import os
import platform
import time
from collections.abc import Callable
from typing import Any

import torch

from hornlib.data.loading import load
from hornlib.grid.cell import Cell, parse_specification
from hornlib.training.chunk import start_chunk
from hornlib.training.evaluation import evaluate, evaluated_lanes, thinned
from hornlib.training.loop import train_step
from hornlib.training.width import chunk_width

ROUNDS, MOST_LANES = 5, 7

DIGITS, SMALL = {"name": "digits"}, {"name": "mnist", "image_size": 14, "train_subset": 5000}
TUNED = {"steps": 400, "batch_size": 64, "evaluation_examples": 500}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "digits, cnn, 15 epochs": (
        DIGITS,
        {"name": "cnn", "channels": "8-16-32"},
        {"epochs": 15, "batch_size": 64},
    ),
    "digits, horn_cnn, 15 epochs": (
        DIGITS,
        {"name": "horn_cnn", "num_nodes": 8, "timesteps": 8},
        {"epochs": 15, "batch_size": 64},
    ),
    "digits by rows, horn, 15 epochs": (
        {**DIGITS, "presentation": "rows"},
        {"name": "horn", "num_nodes": 32},
        {"epochs": 15, "batch_size": 64},
    ),
    "MNIST 14x14, cnn, 400 steps": (SMALL, {"name": "cnn", "channels": "9-17"}, TUNED),
    "MNIST 14x14, horn_cnn, 400 steps": (
        SMALL,
        {"name": "horn_cnn", "num_nodes": 8, "num_stages": 2, "timesteps": 8},
        TUNED,
    ),
    "MNIST 28x28, cnn, 3 epochs": (
        {"name": "mnist"},
        {"name": "cnn", "channels": "16-32-64"},
        {"epochs": 3, "batch_size": 128, "evaluation_examples": 2000},
    ),
    "MNIST 28x28, horn_cnn, 3 epochs": (
        {"name": "mnist"},
        {"name": "horn_cnn", "num_nodes": 8, "timesteps": 8},
        {"epochs": 3, "batch_size": 128, "evaluation_examples": 2000},
    ),
}


def clocked(call: Callable[[], object]) -> float:
    """Return the processor time of a call, seconds."""
    started = time.process_time()
    call()
    return time.process_time() - started


def shares(cell: Cell) -> tuple[int, float, float]:
    """Return the number of evaluations, and the shares of a job's time: of statistics, of other evaluation."""
    device = torch.device("cpu")
    splits = load(cell.data, device)
    width = chunk_width("auto", cell, MOST_LANES, device.type)
    chunk = start_chunk(cell, list(range(width)), device)
    steps, batch = cell.training.total_steps(cell.data.num_train), cell.training.batch_size
    index = torch.arange(batch).expand(width, -1)
    inputs, targets = splits.train.inputs[index], splits.train.targets[index]
    limit = cell.training.evaluation_examples
    parts = [thinned(split, limit) for split in (splits.validation, splits.test)]

    def step() -> None:
        train_step(chunk, chunk.groups[0], inputs, targets, 1_000_000)
        chunk.step += 1

    def judge() -> None:
        for split in parts:
            evaluate(chunk.lanes, split, cell.data.loss, cell.data.metric)

    calls = (step, judge, lambda: evaluated_lanes(chunk.lanes, cell.training, splits.train))
    times = [[clocked(call) for call in calls] for _ in range(ROUNDS)]
    one_step, evaluation, statistics = (min(column) for column in zip(*times, strict=True))
    evaluations = len(cell.training.evaluation_steps(cell.data.num_train))
    whole = steps * one_step + evaluations * (evaluation + statistics)
    return evaluations, evaluations * statistics / whole, evaluations * evaluation / whole


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print("# What batch norm's precise statistics cost")
    print()
    print(
        "Share of a job's time at the default evaluation grid, statistics of 512 training examples; one thread."
    )
    machine = f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    print(f"`python benchmarks/precise_statistics.py`, {machine}.")
    print()
    print("| job | evaluations | precise statistics | validation and test |")
    print("|---|---:|---:|---:|")
    for label, (data, model, training) in CASES.items():
        evaluations, statistics, judged = shares(
            parse_specification({"data": data, "model": model, "training": training})
        )
        print(f"| {label} | {evaluations} | {100 * statistics:.1f} % | {100 * judged:.1f} % |")


if __name__ == "__main__":
    main()
