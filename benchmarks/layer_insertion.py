"""100 seeds of the spirals in lanes against one after another, and an insertion against an epoch of training.

python benchmarks/layer_insertion.py [--quick]   writes benchmarks/layer_insertion.md
"""

import platform
import statistics
import sys
import time
from pathlib import Path

import torch

from hornlib.data.loading import load
from hornlib.grid.cell import Cell, parse_specification
from hornlib.training.batches import Batches
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk
from hornlib.training.restructuring import restructure, structure_of

SEEDS = list(range(100))
CPU = torch.device("cpu")
EPOCHS = 20
SETTINGS = {
    "FNN [5], full batch": ({"name": "mlp", "hidden_nodes": "5"}, 450),
    "FNN [10, 10], batches of 45": ({"name": "mlp", "hidden_nodes": "10-10"}, 45),
    "ResNet [3, 3], full batch": (
        {
            "name": "time_resnet",
            "num_layers": 2,
            "num_nodes": 3,
            "block": "two_weight",
            "layer_steps": "fixed",
            "opening_step": "without",
            "activation": "tanh",
        },
        450,
    ),
}


def cell_of(model: dict, batch_size: int, epochs: int, insert_at: int) -> Cell:
    return parse_specification(
        {
            "data": {"name": "spirals", "validation": 0, "input_scaling": "raw"},
            "model": {**model, "readout_norm": "none"},
            "structure": {"name": "layer_insertion", "insert_at": insert_at},
            "training": {
                "epochs": epochs,
                "batch_size": batch_size,
                "optimizer": "sgd",
                "momentum": 0,
                "acceleration": "none",
                "schedule": "constant",
                "learning_rate": 0.05,
            },
        }
    )


def whole(cell: Cell, seeds: list[int]) -> float:
    """Train the seeds in lanes, insertion and evaluations included, s."""
    started = time.perf_counter()
    train_chunk(start_chunk(cell, seeds, CPU), load(cell.data, CPU))
    return time.perf_counter() - started


def event(cell: Cell, seeds: list[int]) -> float:
    """Look at all lanes and give each its layer, s."""
    chunk = start_chunk(cell, seeds, CPU)
    batches, structure = Batches(chunk, load(cell.data, CPU).train), structure_of(cell)
    assert structure is not None
    started = time.perf_counter()
    restructure(chunk, structure, batches)
    elapsed = time.perf_counter() - started
    assert all(group.model != cell.model for group in chunk.groups)
    return elapsed


def epoch(cell: Cell, seeds: list[int]) -> float:
    """Train the networks that insertion makes, without it, and return the mean time of an epoch's steps, s."""
    static = parse_specification(
        {
            **cell.job_specification(),
            "model": cell.structure.deepest(cell.model, cell.task()).given(),
            "structure": {"name": "static"},
            "training": {**cell.training.given(), "epochs": EPOCHS},
        }
    )
    chunk = start_chunk(static, seeds, CPU)
    train_chunk(chunk, load(static.data, CPU))
    return chunk.seconds / EPOCHS


def main() -> None:
    quick = "--quick" in sys.argv
    torch.set_num_threads(1)
    seeds, repetitions = (SEEDS[:4], 1) if quick else (SEEDS, 5)
    epochs, insert_at = (20, 5) if quick else (185, 45)
    lines = [
        "# Layer insertion: lanes, and what an insertion costs",
        "",
        f"`python benchmarks/layer_insertion.py`; torch {torch.__version__}, {platform.machine()}, 1 thread, two "
        "spirals, SGD.",
        "",
        f"## {len(seeds)} seeds in lanes against one after another",
        f"{epochs} epochs, a tenth of the sweep's, with the insertion after {insert_at} of them and all evaluations; "
        "in one process, without reading and writing of files.",
        "",
        "| setting | one after another, s | in lanes, s | times faster |",
        "|---|---:|---:|---:|",
    ]
    for name, (model, batch_size) in SETTINGS.items():
        cell = cell_of(model, batch_size, epochs, insert_at)
        whole(cell, seeds[:1])  # operations are counted once a process
        lanes = [whole(cell, seeds)]
        alone = sum(whole(cell, [seed]) for seed in seeds)
        lanes.append(whole(cell, seeds))
        together = statistics.mean(lanes)
        lines.append(f"| {name} | {alone:.1f} | {together:.2f} | {alone / together:.1f} |")
        print(lines[-1], flush=True)
    lines += [
        "",
        "## An insertion against an epoch",
        f"The look (gradients of all virtual layers over one epoch) and the change of all lanes, against an epoch of "
        f"training of the grown networks; medians of {repetitions} interleaved repetitions. The first insertion of a "
        "process also counts the operations of the new networks, which is not in it.",
        "",
        "| setting | lanes | insertion, ms | epoch, ms | insertion / epoch |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, (model, batch_size) in SETTINGS.items():
        cell = cell_of(model, batch_size, 2, 0)
        for lanes_of in (seeds, seeds[:1]):
            event(cell, lanes_of)  # operations of new networks are counted once a process
            times = [(event(cell, lanes_of), epoch(cell, lanes_of)) for _ in range(repetitions)]
            inserting, training = (statistics.median(column) for column in zip(*times, strict=True))
            ratio = statistics.median(one / other for one, other in times)
            lines.append(
                f"| {name} | {len(lanes_of)} | {1e3 * inserting:.1f} | {1e3 * training:.1f} | {ratio:.2f} |"
            )
            print(lines[-1], flush=True)
    if not quick:
        (Path(__file__).parent / "layer_insertion.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
