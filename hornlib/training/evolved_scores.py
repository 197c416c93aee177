"""Scores of one evolved network: with its weights, or with a tuned shared weight and with the published six."""

from typing import NamedTuple

import torch
from torch import Tensor

from hornlib.data.loading import Split, Splits
from hornlib.data.parameters import DataParameters
from hornlib.evolution.evaluation import evaluation_flops, graph_of, mean_rewards, outputs_of, with_constant
from hornlib.evolution.genome import Frame, Genome
from hornlib.evolution.graph import PopulationGraph
from hornlib.models.evolved.parameters import EvolvedParameters
from hornlib.training.evaluation import LOSSES, METRICS, thinned

__all__ = ["TUNED_WEIGHTS", "TUNING_EXAMPLES", "EvolvedScores", "scores_of"]

TUNED_WEIGHTS = tuple(step / 10 for step in range(-30, 31))
"""Values among which the shared weight is tuned. The best of the published experiments lies between -2 and 2."""

TUNING_EXAMPLES = 2048
"""Largest number of training examples on which the shared weight is tuned, evenly spaced in the training split."""


class EvolvedScores(NamedTuple):
    """What an evaluation says of one network.

    Attributes:
        curves: name -> value, of `hornlib.results.variables.CURVES`.
        shared_weight: factor on the genome's weights with which losses and metrics were computed.
        tuning_flops: of the choice of that factor.
    """

    curves: dict[str, float]
    shared_weight: float
    tuning_flops: int


@torch.no_grad()
def scores_of(
    model: EvolvedParameters, genome: Genome, frame: Frame, splits: Splits, data: DataParameters
) -> EvolvedScores:
    """Return the losses and metrics of a network on the validation and test splits.

    Without weights of its own, the network has the shared weight with the best reward on training examples. Two further
    test metrics need no such choice: the mean over the model's shared weights, and that of the ensemble whose output is
    the mean over them, of the probabilities for classes.

    Args:
        model: shared weights and activations.
        genome: the network.
        frame: inputs and outputs.
        splits: the data.
        data: gives the loss and the metric.
    """
    graph = graph_of(model, [genome], frame)
    shared_weight, tuning_flops, curves = 1.0, 0, {"network_flops": float(graph.flops[0])}
    if len(model.shared_weights) > 1:
        examples = thinned(splits.train, TUNING_EXAMPLES)
        shared_weight = _tuned(graph, examples, data)
        of_one_weight = evaluation_flops(
            model, graph.flops, frame.num_outputs, len(examples.targets), data.loss
        ) // len(model.shared_weights)
        tuning_flops = len(TUNED_WEIGHTS) * of_one_weight
        curves |= {"shared_weight": shared_weight, **_without_tuning(model, graph, splits.test, data)}
    for name, split in (("validation", splits.validation), ("test", splits.test)):
        outputs = outputs_of(graph, with_constant(split.inputs), [shared_weight])[:, 0]
        curves |= {
            f"{name}_loss": _loss(outputs, split, data),
            f"{name}_metric": _metric(outputs, split, data),
        }
    return EvolvedScores(curves, shared_weight, tuning_flops)


def _tuned(graph: PopulationGraph, examples: Split, data: DataParameters) -> float:
    """Return the value of TUNED_WEIGHTS with the largest reward, the first of equal ones."""
    columns = with_constant(examples.inputs)
    (rewards,) = mean_rewards(graph, columns, examples.targets, TUNED_WEIGHTS, data.loss)
    return TUNED_WEIGHTS[int(rewards.argmax())]


def _without_tuning(
    model: EvolvedParameters, graph: PopulationGraph, test: Split, data: DataParameters
) -> dict[str, float]:
    """Return the mean test metric over the shared weights, and that of the mean output."""
    outputs = outputs_of(graph, with_constant(test.inputs), model.shared_weights)[:, 0]
    metrics = [_metric(of_weight, test, data) for of_weight in outputs.split(1)]
    votes = outputs.softmax(-1) if data.loss == "cross_entropy" else outputs
    return {
        "mean_weight_test_metric": sum(metrics) / len(metrics),
        "ensemble_test_metric": _metric(votes.mean(0, keepdim=True), test, data),
    }


def _loss(outputs: Tensor, split: Split, data: DataParameters) -> float:
    """Return the mean loss of outputs (1, examples, outputs); NaN on a split without examples."""
    return float(LOSSES[data.loss](outputs, split.targets[None]).mean(dtype=torch.float64))


def _metric(outputs: Tensor, split: Split, data: DataParameters) -> float:
    """Return the metric of outputs (1, examples, outputs); NaN on a split without examples."""
    return float(METRICS[data.metric](outputs, split.targets[None])[0])
