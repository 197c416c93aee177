"""Weights of their own for the connections of an evolved network, trained by gradient after the last generation."""

import math
from typing import NamedTuple

import torch

from hornlib.data.loading import Split, Splits
from hornlib.data.parameters import DataParameters
from hornlib.evolution.activations import activations_of
from hornlib.evolution.genome import Frame, Genome
from hornlib.evolution.graph import compiled
from hornlib.evolution.network import EvolvedNetwork
from hornlib.models.evolved.parameters import WannParameters
from hornlib.models.flops import UPDATE_FLOPS
from hornlib.parameters.training import TrainingParameters
from hornlib.randomness import generator
from hornlib.training.evaluation import LOSSES, METRICS

__all__ = ["TrainedWeights", "trained_weights"]

BACKWARD_OVER_FORWARD = 2
"""FLOPs of a backward pass over those of a forward pass: a gradient for the sources, and one for the weights."""


class TrainedWeights(NamedTuple):
    """Outcome of the training by gradient.

    Attributes:
        test_metric: of the network with its trained weights.
        flops: of the training.
    """

    test_metric: float
    flops: int


def trained_weights(
    model: WannParameters,
    genome: Genome,
    frame: Frame,
    shared_weight: float,
    splits: Splits,
    data: DataParameters,
    training: TrainingParameters,
    seed: int,
) -> TrainedWeights:
    """Train the weights of a network's connections by Adam, from the shared weight on.

    The learning rate falls along half a cosine to 0. Every batch is drawn anew.

    Args:
        model: number of steps and learning rate.
        genome: the network.
        frame: inputs and outputs.
        shared_weight: first weight of every connection.
        splits: the data. The validation split is not read.
        data: gives the loss and the metric.
        training: gives the size of a batch.
        seed: of the run.
    """
    network = EvolvedNetwork(genome, frame, activations_of(model), shared_weight).to(
        splits.train.inputs.device
    )
    optimizer = torch.optim.Adam(network.parameters(), lr=model.gradient_rate)
    size = min(training.batch_size, len(splits.train.targets))
    for step in range(model.gradient_steps):
        optimizer.param_groups[0]["lr"] = (
            model.gradient_rate * (1 + math.cos(math.pi * step / model.gradient_steps)) / 2
        )
        inputs, targets = _batch(splits.train, size, seed, step)
        loss = LOSSES[data.loss](network(inputs)[None], targets[None]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    forward = int(compiled([genome], frame, activations_of(model), has_weights=True).flops[0])
    flops_of_a_step = (1 + BACKWARD_OVER_FORWARD) * size * forward + UPDATE_FLOPS["adamw"] * len(
        network.weights
    )
    return TrainedWeights(_test_metric(network, splits.test, data), model.gradient_steps * flops_of_a_step)


def _batch(train: Split, size: int, seed: int, step: int) -> Split:
    """Return random training examples without repetition: a pure function of seed and step."""
    number = len(train.targets)
    if size == number:
        return train
    order = torch.randperm(number, generator=generator("evolved weights", seed, step))
    chosen = order[:size].to(train.targets.device)
    return Split(train.inputs[chosen], train.targets[chosen])


@torch.no_grad()
def _test_metric(network: EvolvedNetwork, test: Split, data: DataParameters) -> float:
    return float(METRICS[data.metric](network(test.inputs)[None], test.targets[None])[0])
