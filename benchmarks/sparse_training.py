"""Sparse training beside dense training: steps under masks, steps of connections stored alone, and updates of masks.

`python benchmarks/sparse_training.py [--quick] [--sparselab FOLDER]` writes benchmarks/sparse_training.md. `--only
TEXT` prints the rows whose label or section contains the text. The arms of a row take turns; a ratio is the median over
rounds of the ratio within a round, with its quartiles. `pip install --no-deps --target FOLDER sparselab==0.2.2` makes
the rival's folder. Examples are random numbers with the shapes of Fashion-MNIST and CIFAR-10.
"""

import argparse
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import torch
from rounds import Arm, Ratios, Row, busy_lines, line, measured, shown
from torch import nn

from hornlib.calibration.timing import FirstBatch, random_examples
from hornlib.grid.cell import Cell, parse_specification
from hornlib.kernels.library import cpu_model
from hornlib.training.chunk import start_chunk
from hornlib.training.devices import keep_freed_memory
from hornlib.training.loop import train_step
from hornlib.training.restructuring import restructure, structure_of

ROUNDS, SECONDS = 31, 20.0
"""Of a row: rounds at most, and processor time at most (but five rounds are always measured)."""

DENSITIES = (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.3, 0.5)


class Training:
    """Lanes after the structure's first decision, whose steps and updates are timed by this process's processor time.

    Args:
        cell: what is trained, from random examples.
        lanes: number of lanes.
    """

    def __init__(self, cell: Cell, lanes: int) -> None:
        examples = random_examples(cell, torch.device("cpu"))
        self.chunk = start_chunk(cell, range(lanes), torch.device("cpu"))
        self.batches, self.structure = FirstBatch(self.chunk, examples), structure_of(cell)
        if self.structure is not None:
            restructure(self.chunk, self.structure, self.batches)
        self.batch = self.batches.at(0, range(lanes))

    def step(self) -> float:
        """Return the seconds of one training step of all lanes."""
        started = time.process_time()
        train_step(self.chunk, self.chunk.groups[0], *self.batch, 1000)
        return time.process_time() - started

    def update(self) -> float:
        """Return the seconds of one update of the connections of all lanes."""
        assert self.structure is not None
        self.chunk.step = 1
        started = time.process_time()
        restructure(self.chunk, self.structure, self.batches)
        return time.process_time() - started


def cell(
    hidden: str, batch: int, density: float = 1.0, data: str = "fashion_mnist", **structure: object
) -> Cell:
    """Return the cell of a multilayer perceptron under SGD with momentum; a density of 1 is a dense network."""
    sparse = {"name": "sparse_training", "density": density, "distribution": "uniform", **structure}
    return parse_specification(
        {
            "data": {"name": data},
            "model": {"name": "mlp", "hidden_nodes": hidden, "readout_norm": "none"},
            "training": {
                "steps": 1000,
                "batch_size": batch,
                "optimizer": "sgd",
                "momentum": 0.9,
                "learning_rate": 1e-3,
                "schedule": "constant",
            },
            **({"structure": sparse} if density < 1 else {}),
        }
    )


def over_density(label: str, hidden: str, batch: int, lanes: int) -> Row:
    """Return the row of a dense step, a masked one, and one of connections stored alone for each density."""
    inner = {"sparse_layers": "all_but_last"}
    arms = {
        "dense": Training(cell(hidden, batch), lanes).step,
        "masked": Training(cell(hidden, batch, 0.1, **inner), lanes).step,
    }
    for density in DENSITIES:
        stored = cell(hidden, batch, density, storage="compressed", **inner)
        arms[f"{density:g}"] = Training(stored, lanes).step
    return Row(label, arms)


def widths() -> Iterator[tuple[str, Callable[[str], Row]]]:
    for width in (300, 1000, 2000, 4000):
        for lanes in (1, 5):
            yield (
                f"784-{width}-{width}-10, " + ("1 lane" if lanes == 1 else f"{lanes} lanes"),
                lambda label, width=width, lanes=lanes: over_density(label, f"{width}-{width}", 64, lanes),
            )


def networks() -> Iterator[tuple[str, Callable[[str], Row]]]:
    """Yield the networks of published tables, whole steps beside dense ones."""
    cases = [
        ("784-1568-1568-1568-10, density .01", "1568-1568-1568", 32, 0.01, "fashion_mnist"),
        ("3072-4000-1000-4000-10, density .015", "4000-1000-4000", 100, 0.015, "cifar10"),
        ("784-1000-1000-1000-10, density .03", "1000-1000-1000", 64, 0.03, "fashion_mnist"),
        ("784-1000-1000-1000-10, density .1", "1000-1000-1000", 64, 0.1, "fashion_mnist"),
    ]
    for label, hidden, batch, density, data in cases:
        yield (
            label,
            lambda label, hidden=hidden, batch=batch, density=density, data=data: Row(
                label,
                {
                    "dense": Training(cell(hidden, batch, data=data), 1).step,
                    "compressed": Training(
                        cell(
                            hidden, batch, density, data, storage="compressed", sparse_layers="all_but_last"
                        ),
                        1,
                    ).step,
                },
            ),
        )
    for lanes in (1, 5):
        yield (
            f"784-300-100-10 under masks, {lanes} lane(s)",
            lambda label, lanes=lanes: Row(
                label,
                {
                    "dense": Training(cell("300-100", 100), lanes).step,
                    "masked": Training(cell("300-100", 100, 0.1), lanes).step,
                },
            ),
        )


def updates() -> Iterator[tuple[str, Callable[[str], Row]]]:
    """Yield updates of the masks of five lanes beside their training step."""
    for hidden, batch, density, lanes in (("300-100", 100, 0.1, 5), ("1568-1568-1568", 32, 0.01, 1)):
        for rule in ("set", "rigl"):
            for storage in ("masked", "compressed"):

                def row(
                    label: str,
                    hidden: str = hidden,
                    batch: int = batch,
                    density: float = density,
                    lanes: int = lanes,
                    rule: str = rule,
                    storage: str = storage,
                ) -> Row:
                    trained = Training(
                        cell(
                            hidden, batch, density, rule=rule, storage=storage, sparse_layers="all_but_last"
                        ),
                        lanes,
                    )
                    dense = dense_gradients((784, *map(int, hidden.split("-"))), batch, lanes)
                    return Row(
                        label, {"step": trained.step, "update": trained.update, "dense gradients": dense}
                    )

                yield f"784-{hidden}-10, {lanes} lane(s), density {density:g}, {rule}, {storage}", row


def dense_gradients(nodes: Sequence[int], batch: int, lanes: int) -> Arm:
    """Return a function that computes the dense gradients of the hidden layers of all lanes and returns its seconds.

    Args:
        nodes: of the input and of the hidden layers.
        batch: examples of each lane.
        lanes: number of lanes.
    """
    layers = [
        (torch.randn(lanes, after, batch), torch.randn(lanes, batch, before))
        for before, after in pairwise(nodes)
    ]

    def run() -> float:
        started = time.process_time()
        for deltas, inputs in layers:
            torch.bmm(deltas, inputs)
        return time.process_time() - started

    return run


def rivals() -> Iterator[tuple[str, Callable[[str], Row]]]:
    """Yield steps of connections stored alone, of one lane and of five, beside those of SparseLab."""
    for width, density in ((1000, 0.01), (1000, 0.03), (1000, 0.1), (4000, 0.01)):

        def row(label: str, width: int = width, density: float = density) -> Row:
            stored = cell(f"{width}-{width}", 64, density, storage="compressed", sparse_layers="all_but_last")
            alone, together = Training(stored, 1), Training(stored, 5)
            arms = {
                "SparseLab": sparselab_step((784, width, width), density),
                "1 lane": alone.step,
                "5 lanes, a lane": lambda: together.step() / 5,
            }
            return Row(label, arms)

        yield f"784-{width}-{width}-10, density {density:g}", row


def sparselab_step(nodes: tuple[int, ...], density: float) -> Arm:
    """Return a function that makes a training step with SparseLab's layers and returns its seconds."""
    from sparselab import SparseLinear

    layers: list[nn.Module] = []
    for before, after in pairwise(nodes):
        layers += [SparseLinear(before, after, sparsity=1 - density), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Linear(nodes[-1], 10))
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9)
    inputs, targets = torch.randn(64, nodes[0]), torch.randint(10, (64,))

    def run() -> float:
        started = time.process_time()
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(inputs), targets).backward()
        optimizer.step()
        return time.process_time() - started

    return run


def break_even(ratios: Ratios) -> str:
    """Return the density at which a step takes as long as the dense one, between measured densities by their logs."""
    for low, high in pairwise(DENSITIES):
        below, above = (ratios.of[f"{density:g}"][0] for density in (low, high))
        if below < 1 <= above:
            share = math.log(1 / below) / math.log(above / below)
            return f"{low * (high / low) ** share:.2g}"
    return f"above {DENSITIES[-1]:g}" if ratios.of[f"{DENSITIES[-1]:g}"][0] < 1 else f"below {DENSITIES[0]:g}"


def lines_over_density(label: str, ratios: Ratios) -> str:
    columns = " | ".join(shown(ratios.of[f"{density:g}"]) for density in DENSITIES)
    return f"| {label} | {1e3 * ratios.first:.3g} | {shown(ratios.of['masked'])} | {columns} | {break_even(ratios)} |"


def table(heads: list[str]) -> list[str]:
    return ["| " + " | ".join(heads) + " |", "|---" + "|---:" * (len(heads) - 1) + "|"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="three rounds a row; nothing is written")
    parser.add_argument(
        "--only", default="", help="measure and print the rows whose label contains this text"
    )
    parser.add_argument("--sparselab", default="", help="folder that SparseLab is installed into")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as in a job
    sys.path.append(options.sparselab)
    load = os.getloadavg()[0]
    lines = [
        "# Sparse training: ratios of times",
        "",
        f"`python benchmarks/sparse_training.py`; {cpu_model()}, {platform.machine()}; torch {torch.__version__}, "
        "float32, 1 thread. Processor time of whole training steps of all lanes (SGD with momentum), medians with "
        "quartiles; the arms of a row take turns.",
        *busy_lines(load),
    ]
    sections = [
        (
            "Connections stored alone, over the dense step, by density",
            "Batch 64; the last layer is dense; masks at density .1. Reach: .15 at density .01 and .35 at .03 for "
            "widths of 1000 and more. From a width of 2000 on, dense lanes side by side take longer than one after "
            "another, so that a row with 5 lanes flatters; `lanes: auto` trains them one after another.",
            [
                "network",
                "dense, ms",
                "masked",
                *(f"{density:g}" for density in DENSITIES),
                "break-even density",
            ],
            widths(),
            lines_over_density,
        ),
        (
            "Networks of published tables, over the dense step",
            "Under masks, reach 1.1 with 5 lanes.",
            ["network", "dense, ms", "ratio"],
            networks(),
            line,
        ),
        (
            "An update of all lanes over their training step",
            "RigL's update holds the look that replaces a step, with dense gradients. The last column is the time of "
            "their products alone, below which no update of RigL can fall. Reach: 3; of RigL with connections stored "
            "alone, as near to that time as possible.",
            ["network", "step, ms", "update", "dense gradients alone"],
            updates(),
            line,
        ),
    ]
    if options.sparselab:
        sections.append(
            (
                "Connections stored alone, over SparseLab's step",
                "SparseLab 0.2.2 in a bare loop of torch, batch 64; the last layer is dense. Reach: below 1.",
                ["network", "SparseLab, ms", "1 lane", "5 lanes, a lane"],
                rivals(),
                line,
            )
        )
    for title, text, heads, rows, as_line in sections:
        lines += ["", f"## {title}", text, "", *table(heads)]
        for label, make in rows:
            if options.only in label or options.only in title:
                least, most = (3, 3) if options.quick else (5, ROUNDS)
                lines.append(as_line(label, measured(make(label), least, most, SECONDS, is_warmed=True)))
                print(lines[-1], flush=True)
    if not (options.quick or options.only):
        (Path(__file__).parent / "sparse_training.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
