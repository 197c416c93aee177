"""The loop of evolution: in every step each run evaluates a generation, and breeds the next one."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor

from hornlib.data.loading import Split, Splits
from hornlib.evolution.breeders import BREEDERS
from hornlib.evolution.evaluation import evaluation_flops, rewards_of, with_constant
from hornlib.evolution.genome import Genome, frame_of
from hornlib.evolution.network import genome_tensors
from hornlib.evolution.population import Population, first_population, packed_genomes, unpacked_genomes
from hornlib.models.evolved.parameters import EvolvedParameters, WannParameters
from hornlib.randomness import generator
from hornlib.training.chunk import CURVES, Chunk, Run
from hornlib.training.curves import Evaluation, summary
from hornlib.training.evaluation import thinned
from hornlib.training.evolved_scores import scores_of
from hornlib.training.evolved_weights import trained_weights
from hornlib.training.kept_weights import RunState

__all__ = ["EvolvingChunk", "evolve_chunk", "evolve_step", "evolved_states", "start_populations"]


@dataclass
class EvolvingChunk(Chunk):
    """Runs whose populations evolve side by side, each by its own random numbers. It has no lanes, and none diverges.

    Attributes:
        populations: the generation of each run that is evaluated next.
        champions: of each run, the network with the largest mean reward in the last generation.
        shared_weights: (rows,), factor on the champions' weights at the last evaluation.
        losses: (2, rows) float64, sum of the champions' losses since the last evaluation, and number of generations.
        evaluations: (rows,) int64, networks evaluated so far; at several shared weights a network counts several times.
    """

    populations: list[Population] = field(default_factory=list)
    champions: list[Genome] = field(default_factory=list)
    shared_weights: Tensor = field(default_factory=lambda: torch.ones(0, dtype=torch.float64))
    losses: Tensor = field(default_factory=lambda: torch.zeros(2, 0, dtype=torch.float64))
    evaluations: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))

    @property
    def model(self) -> EvolvedParameters:
        """Parameters of the populations."""
        return cast(EvolvedParameters, self.cell.model)

    @property
    def training_rows(self) -> list[int]:
        """All rows."""
        return list(range(len(self.rows)))

    def state(self) -> dict[str, Any]:
        """Return the content for a checkpoint: tensors, numbers, lists and dicts only."""
        return {
            **super().state(),
            "populations": [population.state() for population in self.populations],
            "champions": packed_genomes(self.champions),
            "shared_weights": self.shared_weights,
            "losses": self.losses,
            "evaluations": self.evaluations,
        }

    def restore_(self, state: dict[str, Any], device: torch.device) -> None:
        """Replace everything by a state that `state()` returned.

        Args:
            state: from a checkpoint, on the CPU.
            device: not used: populations are on the CPU.
        """
        super().restore_(state, device)
        self.populations = [Population.restored(population) for population in state["populations"]]
        self.champions = unpacked_genomes(state["champions"])
        self.shared_weights, self.losses = state["shared_weights"], state["losses"]
        self.evaluations = state["evaluations"]


def start_populations(rows: Sequence[Run], device: torch.device) -> EvolvingChunk:
    """Return the chunk of these runs before its first generation.

    Args:
        rows: runs of one cell.
        device: not used: populations are on the CPU, and are evaluated where the data are.
    """
    cell, count = rows[0].cell, len(rows)
    frame, evaluations = frame_of(cell.task()), len(cell.training.evaluation_steps(cell.data.num_train))
    model = cast(EvolvedParameters, cell.model)
    return EvolvingChunk(
        rows=list(rows),
        groups=[],
        step=0,
        curves={name: torch.full((count, evaluations), torch.nan, dtype=torch.float64) for name in CURVES},
        profiles={},
        events=[],
        diverged_at=torch.full((count,), torch.nan, dtype=torch.float64),
        seconds=0.0,
        flops=torch.zeros(count, dtype=torch.int64),
        populations=[first_population(model, frame, row.seed) for row in rows],
        shared_weights=torch.ones(count, dtype=torch.float64),
        losses=torch.zeros(2, count, dtype=torch.float64),
        evaluations=torch.zeros(count, dtype=torch.int64),
    )


def evolve_chunk(
    chunk: EvolvingChunk,
    splits: Splits,
    after_step: Callable[[EvolvingChunk], None] = lambda chunk: None,
    report: Callable[[Evaluation], None] = lambda evaluation: None,
) -> None:
    """Evolve the populations from the chunk's present step to its last one. One step is one generation.

    Args:
        chunk: changed in place.
        splits: the data.
        after_step: called after each step. It may save `chunk.state()`, or raise to stop the training.
        report: called after each evaluation.
    """
    training, num_train = chunk.cell.training, chunk.cell.data.num_train
    total_steps, evaluation_steps = training.total_steps(num_train), training.evaluation_steps(num_train)
    thin = [thinned(split, training.evaluation_examples) for split in (splits.validation, splits.test)]
    in_between = splits._replace(validation=thin[0], test=thin[1])
    columns = with_constant(splits.train.inputs)
    while chunk.step < total_steps:
        started = time.perf_counter()
        evolve_step(chunk, columns, splits.train.targets)
        chunk.step += 1
        chunk.seconds += time.perf_counter() - started
        if chunk.step in evaluation_steps:
            is_last, column = chunk.step == total_steps, evaluation_steps.index(chunk.step)
            for row in chunk.training_rows:
                _write_curves(chunk, row, splits if is_last else in_between, column)
                if is_last:
                    _write_trained(chunk, row, splits, column)
            chunk.losses = torch.zeros_like(chunk.losses)
            report(summary(chunk, column, total_steps))
        after_step(chunk)


def evolve_step(chunk: EvolvingChunk, columns: Tensor, targets: Tensor) -> None:
    """Evaluate the generation of every run on images drawn anew, and breed the next generation.

    Args:
        chunk: changed in place, without its `step`.
        columns: training examples in columns, (inputs + 1, examples).
        targets: of these examples.
    """
    model, data = chunk.model, chunk.cell.data
    size = min(chunk.cell.training.batch_size, len(targets))
    champions = []
    for row, (run, population) in enumerate(zip(chunk.rows, chunk.populations, strict=True)):
        batch = _drawn(columns, targets, size, run.seed, chunk.step)
        rewards = rewards_of(model, population.genomes, population.frame, *batch, data.loss)
        means = rewards.values.mean(1)
        champions.append(population.genomes[int(means.argmax())])
        chunk.losses[:, row] += torch.tensor([-means.max(), 1.0], dtype=torch.float64)
        chunk.evaluations[row] += model.networks_per_example
        chunk.flops[row] += evaluation_flops(
            model, rewards.flops, population.frame.num_outputs, size, data.loss
        )
        chunk.populations[row] = BREEDERS[model.name](model, population, rewards.values, run.seed)
    chunk.champions = champions


def _drawn(columns: Tensor, targets: Tensor, size: int, seed: int, step: int) -> Split:
    """Return random training examples without repetition, in columns: a pure function of seed and step."""
    if size == len(targets):
        return Split(columns, targets)
    order = torch.randperm(len(targets), generator=generator("evolution examples", seed, step))
    chosen = order[:size].to(targets.device)
    return Split(columns.index_select(1, chosen), targets[chosen])


def _write_curves(chunk: EvolvingChunk, row: int, splits: Splits, column: int) -> None:
    """Write one column of the curves of a run.

    The FLOPs are those of all generations, and of the tuning of the network that is evaluated here.
    """
    champion, frame, data = chunk.champions[row], chunk.populations[row].frame, chunk.cell.data
    scores = scores_of(chunk.model, champion, frame, splits, data)
    chunk.shared_weights[row] = scores.shared_weight
    mean_loss = float(chunk.losses[0, row] / chunk.losses[1, row])
    values = {
        "training_loss": mean_loss,
        "training_total_loss": mean_loss,
        "training_flops": float(chunk.flops[row]) + scores.tuning_flops,
        "num_parameters": float(champion.num_enabled),
        "seconds": chunk.seconds / len(chunk.rows),
        "evaluations": float(chunk.evaluations[row]),
        **scores.curves,
    }
    for name, value in values.items():
        _curve(chunk, name)[row, column] = value


def _write_trained(chunk: EvolvingChunk, row: int, splits: Splits, column: int) -> None:
    """Write the outcome of training a weight of its own for each connection, where the model asks for it."""
    model = chunk.model
    if not isinstance(model, WannParameters) or not model.gradient_steps:
        return
    outcome = trained_weights(
        model,
        chunk.champions[row],
        chunk.populations[row].frame,
        float(chunk.shared_weights[row]),
        splits,
        chunk.cell.data,
        chunk.cell.training,
        chunk.rows[row].seed,
    )
    _curve(chunk, "trained_test_metric")[row, column] = outcome.test_metric
    _curve(chunk, "trained_flops")[row, column] = outcome.flops


def _curve(chunk: Chunk, name: str) -> Tensor:
    if name not in chunk.curves:
        chunk.curves[name] = torch.full_like(chunk.curves["training_loss"], torch.nan)
    return chunk.curves[name]


def evolved_states(chunk: EvolvingChunk, splits: Splits) -> list[RunState]:
    """Return the champion of every run after the last generation, for `hornlib.evolution.network.evolved_network`.

    Its weights are those of the last evaluation: of a network without weights of its own, the tuned shared weight.

    Args:
        chunk: after its last step.
        splits: not used.
    """
    return [
        {
            "seed": run.seed,
            "model": chunk.model.canonical(),
            **genome_tensors(champion, float(shared_weight)),
            "masks": {},
            "training_flops": int(flops),
        }
        for run, champion, shared_weight, flops in zip(
            chunk.rows, chunk.champions, chunk.shared_weights, chunk.flops, strict=True
        )
    ]
