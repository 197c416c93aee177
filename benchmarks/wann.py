"""Generations of weight-agnostic networks: all networks at once, beside a plain loop over individuals.

`python benchmarks/wann.py [--quick]` writes benchmarks/wann.md. The arms of a row take turns; a ratio is the median
over rounds of the ratio within a round, with its quartiles. Times are processor times of one thread.
"""

import argparse
import os
import platform
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from rounds import Row, busy_lines, line, measured

from hornlib.data.loading import load
from hornlib.evolution.activations import activations_of
from hornlib.evolution.breeders import BREEDERS
from hornlib.evolution.evaluation import rewards_of, with_constant
from hornlib.evolution.genome import Frame, Genome, frame_of, levels_of
from hornlib.evolution.population import Population, first_population
from hornlib.evolution.wann import mutated
from hornlib.grid.cell import Cell, parse_specification
from hornlib.kernels.library import cpu_model
from hornlib.training.devices import keep_freed_memory

ROUNDS, SECONDS = 7, 60.0
"""Of a row: rounds at most, and processor time at most (but three rounds are always measured)."""

PLAIN_NETWORKS = 8
"""Networks of the plain loop, evenly spaced in the population; its time is scaled to all of them."""

NUMPY = {
    "linear": lambda sums: sums,
    "sine": lambda sums: np.sin(np.pi * sums),
    "gauss": lambda sums: np.exp(-(sums**2) / 2),
    "tanh": np.tanh,
    "sigmoid": lambda sums: 1 / (1 + np.exp(-sums)),
    "inverse": np.negative,
    "absolute": np.abs,
    "relu": lambda sums: np.maximum(sums, 0),
    "cosine": lambda sums: np.cos(np.pi * sums),
}


class Generation:
    """A generation of networks on examples of digits.

    Args:
        cell: parameters of the networks, and the dataset.
        population: the networks.
        examples: of an evaluation.
    """

    def __init__(self, cell: Cell, population: Population, examples: int) -> None:
        self.cell, self.population = cell, population
        train = load(cell.data, "cpu").train
        self.columns = with_constant(train.inputs[:examples])
        self.targets = train.targets[:examples]
        self.names = activations_of(cell.model)
        self.rewards = np.random.default_rng(0).normal(size=(len(population.genomes), 6))

    @property
    def size(self) -> str:
        """Mean numbers of connections and of hidden nodes."""
        genomes = self.population.genomes
        connections = np.mean([genome.num_enabled for genome in genomes])
        nodes = np.mean([len(genome.hidden) for genome in genomes])
        return f"{connections:.0f} connections, {nodes:.0f} hidden nodes"

    def at_once(self) -> float:
        """Return the seconds of the evaluation of all networks."""
        started = time.process_time()
        rewards_of(
            self.cell.model,
            self.population.genomes,
            self.population.frame,
            self.columns,
            self.targets,
            "cross_entropy",
        )
        return time.process_time() - started

    def one_by_one(self) -> float:
        """Return the seconds of the plain loop, scaled from some networks to all."""
        genomes = self.population.genomes
        chosen = genomes[:: max(1, len(genomes) // PLAIN_NETWORKS)][:PLAIN_NETWORKS]
        examples, targets = self.columns.mT.contiguous().numpy(), self.targets.numpy()
        started = time.process_time()
        for genome in chosen:
            plain_rewards(genome, self.population.frame, self.names, examples, targets)
        return (time.process_time() - started) * len(genomes) / len(chosen)

    def breeding(self) -> float:
        """Return the seconds from rewards to the next generation."""
        started = time.process_time()
        BREEDERS["wann"](self.cell.model, self.population, self.rewards, 0)
        return time.process_time() - started

    def whole(self) -> float:
        """Return the seconds of a generation, evaluated at once."""
        return self.at_once() + self.breeding()

    def whole_one_by_one(self) -> float:
        """Return the seconds of a generation in the plain loop; it breeds in the same way."""
        return self.one_by_one() + self.breeding()


def cell_of(individuals: int, image_size: int | None, examples: int) -> Cell:
    """Return a cell of weight-agnostic networks.

    Args:
        individuals: number of networks.
        image_size: of MNIST; None: the 8x8 digits.
        examples: of an evaluation.
    """
    data = {"name": "digits"} if image_size is None else {"name": "mnist", "image_size": image_size}
    return parse_specification(
        {
            "data": {**data, "input_scaling": "raw", "train_subset": 1000},
            "model": {"name": "wann", "num_individuals": individuals},
            "training": {"batch_size": examples},
        }
    )


def evolved(cell: Cell, generations: int) -> Iterator[Population]:
    """Yield the generations of a run, from the first on.

    Args:
        cell: of the run.
        generations: number of the last one.
    """
    train, frame = load(cell.data, "cpu").train, frame_of(cell.task())
    columns, population = with_constant(train.inputs), first_population(cell.model, frame, 0)
    yield population
    for _ in range(generations):
        rewards = rewards_of(cell.model, population.genomes, frame, columns, train.targets, "cross_entropy")
        population = BREEDERS["wann"](cell.model, population, rewards.values, 0)
        yield population


def unrelated(cell: Cell, mutations: int) -> Population:
    """Return networks that have no ancestor in common.

    Args:
        cell: of the networks.
        mutations: of each network since the first generation.
    """
    population = first_population(cell.model, frame_of(cell.task()), 0)
    rng = np.random.default_rng(1)
    for _ in range(mutations):
        population.innovations.begin_generation()
        genomes = [mutated(cell.model, population, genome, rng) for genome in population.genomes]
        population = replace(population, genomes=genomes)
    return population


def plain_rewards(
    genome: Genome, frame: Frame, names: tuple[str, ...], examples: np.ndarray, targets: np.ndarray
) -> list[float]:
    """Return the reward of one network at every shared weight, as one evaluates a network by itself.

    A matrix holds the connections. Node after node, in topological order, all nodes are multiplied by its column.

    Args:
        genome: the network.
        frame: inputs and outputs.
        names: of the activations.
        examples: (examples, inputs and the constant).
        targets: classes.
    """
    order = np.argsort(levels_of(genome, frame), kind="stable")
    numbers = np.concatenate(
        [np.arange(frame.num_sources), genome.hidden[order], np.arange(frame.num_sources, frame.num_nodes)]
    )
    place = {number: index for index, number in enumerate(numbers.tolist())}
    matrix = np.zeros((len(numbers), len(numbers)), np.float32)
    for source, target, enabled in zip(
        genome.sources.tolist(), genome.targets.tolist(), genome.enabled.tolist(), strict=True
    ):
        matrix[place[source], place[target]] = enabled
    kinds = [names[kind] for kind in genome.activations[order]] + ["linear"] * frame.num_outputs
    rewards = []
    for shared_weight in (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0):
        weighted = np.float32(shared_weight) * matrix
        nodes = np.zeros((len(examples), len(numbers)), np.float32)
        nodes[:, : frame.num_sources] = examples
        for node, kind in enumerate(kinds, frame.num_sources):
            nodes[:, node] = NUMPY[kind](nodes @ weighted[:, node])
        outputs = nodes[:, -frame.num_outputs :]
        outputs = outputs - outputs.max(1, keepdims=True)
        logarithms = outputs - np.log(np.exp(outputs).sum(1, keepdims=True))
        rewards.append(float(logarithms[np.arange(len(targets)), targets].mean()))
    return rewards


def check(generation: Generation) -> None:
    """Check that both ways give the same rewards."""
    genomes = generation.population.genomes[:4]
    arguments = (generation.population.frame, generation.columns, generation.targets, "cross_entropy")
    at_once = rewards_of(generation.cell.model, genomes, *arguments).values
    examples, targets = generation.columns.mT.contiguous().numpy(), generation.targets.numpy()
    plain = [
        plain_rewards(genome, generation.population.frame, generation.names, examples, targets)
        for genome in genomes
    ]
    np.testing.assert_allclose(at_once, plain, rtol=1e-3)


def generations(quick: bool) -> Iterator[tuple[str, Generation]]:
    """Yield populations with a label: three of one run on digits, one on MNIST, and one of unrelated networks.

    Args:
        quick: an early generation only.
    """
    individuals, examples = 192, 1000
    digits = cell_of(individuals, None, examples)
    last = 40 if quick else 800
    for number, population in enumerate(evolved(digits, last)):
        if number in (40, 200, 800):
            yield f"digits, generation {number}", Generation(digits, population, examples)
    if quick:
        return
    mnist = cell_of(individuals, 16, examples)
    *_, population = evolved(mnist, 400)
    yield "MNIST 16x16, generation 400", Generation(mnist, population, examples)
    yield "digits, unrelated networks", Generation(digits, unrelated(digits, 150), examples)


def main() -> None:
    """Measure the rows and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="the smallest size, three rounds, nothing written"
    )
    quick = parser.parse_args().quick
    load_before = os.getloadavg()[0]
    torch.set_num_threads(1)
    keep_freed_memory()
    lines = [
        "# Generations of weight-agnostic networks",
        f"{cpu_model() or platform.processor()}, one thread, torch {torch.__version__}. Processor times; a ratio is "
        "the median over rounds, with its quartiles. 192 networks, 6 shared weights, 1000 images.",
        *busy_lines(load_before),
        "",
        "The loop evaluates one network after another, as the published code does: for each shared weight and each "
        "node in topological order, all nodes times the column of its connections, in numpy. Both give the same "
        f"rewards, which is checked before. The loop's time is that of {PLAIN_NETWORKS} networks, scaled to all. A "
        "generation is the evaluation and the breeding, which is the same code in both.",
        "",
        "| | at once, ms | loop / at once |",
        "|---|---|---|",
    ]
    for label, generation in generations(quick):
        check(generation)
        words = f"{label}: {generation.size}"
        for row in (
            Row(f"evaluation. {words}", {"at once": generation.at_once, "loop": generation.one_by_one}),
            Row(
                f"whole generation. {words}",
                {"at once": generation.whole, "loop": generation.whole_one_by_one},
            ),
        ):
            lines.append(line(row.label, measured(row, 3, 3 if quick else ROUNDS, SECONDS, is_warmed=True)))
            print(lines[-1], flush=True)
    if not quick:
        Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
