"""Networks before their first update: the weights, first batch, features and gradients that training would have."""

import torch
from torch import Tensor, nn

from hornlib.data.loading import Split
from hornlib.data.order import epoch_order
from hornlib.grid.cell import Cell
from hornlib.models.build import build_network
from hornlib.models.lanes import BATCH_NORM
from hornlib.models.readout import Readout
from hornlib.parameters import ModelParameters
from hornlib.training.evaluation import LOSSES

__all__ = ["features", "first_batch", "hold_statistics_", "layer_of", "loss_of", "untrained"]


def untrained(cell: Cell, seed: int, model: ModelParameters | None = None) -> nn.Module:
    """Return the network of a seed with its initial weights.

    Args:
        cell: gives the task.
        seed: draws the weights.
        model: model parameters; None: those of the cell.
    """
    return build_network(model or cell.model, cell.task(), seed)


def first_batch(cell: Cell, seed: int, train: Split, num_inputs: int | None = None) -> Split:
    """Return the examples of the seed's first training step, or `num_inputs` examples in the same order.

    Args:
        cell: gives the batch size.
        seed: draws the order. All arms have the same order for the same seed.
        train: the training split.
        num_inputs: number of examples; None: the batch size.
    """
    order = epoch_order(seed, 0, len(train.targets)).to(train.targets.device)
    chosen = order[: cell.training.batch_size if num_inputs is None else num_inputs]
    return Split(train.inputs[chosen], train.targets[chosen])


def features(network: nn.Module, inputs: Tensor) -> Tensor:
    """Return the inputs of the read-out, before its normalisation, (batch, num_features).

    Args:
        network: a network with a `Readout`.
        inputs: (batch, ...).
    """
    seen: list[Tensor] = []
    readout = next(module for module in network.modules() if isinstance(module, Readout))
    handle = readout.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    try:
        network(inputs)
    finally:
        handle.remove()
    return seen[0]


def loss_of(cell: Cell, logits: Tensor, targets: Tensor) -> Tensor:
    """Return the training loss of a batch, a scalar.

    Args:
        cell: gives loss and label smoothing.
        logits: (batch, num_outputs).
        targets: (batch,) classes, or (batch, num_outputs) numbers.
    """
    smoothing = cell.training.label_smoothing
    return LOSSES[cell.data.loss](logits.unsqueeze(0), targets.unsqueeze(0), smoothing).mean()


def layer_of(parameter: str) -> str:
    """Return the layer that a parameter belongs to: "stages.0.convolution" of "stages.0.convolution.weight"."""
    return parameter.rpartition(".")[0] or parameter


def hold_statistics_(network: nn.Module, inputs: Tensor) -> None:
    """Put the network into evaluation mode with batch norm's statistics those of these inputs.

    Args:
        network: changed in place: its mode, its running statistics, and their momentum, which stays 1.
        inputs: (batch, ...), as for the forward pass.
    """
    network.train()
    for norm in network.modules():
        if isinstance(norm, BATCH_NORM):
            norm.momentum = 1.0
    with torch.no_grad():
        network(inputs)
    network.eval()
