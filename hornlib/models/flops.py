"""Floating-point operations of a training step: forward, loss, backward and update."""

from functools import lru_cache

from hornlib.models.build import build_network
from hornlib.models.operations import Work, training_work
from hornlib.parameters import Flops, ModelParameters, Task

__all__ = ["UPDATE_FLOPS", "gradient_flops", "training_step_flops"]

UPDATE_FLOPS: dict[str, int] = {"adamw": 14, "sgd_nesterov": 6, "sgd": 5}
"""Operations of one update of one parameter, as `hornlib.training.optimizers` computes it without weight decay.

adamw: first moment 3 (lerp), second 4, corrected root and epsilon 3, quotient and its correction 2, rate and
difference 2. sgd_nesterov: buffer 2, look-ahead 2, rate and difference 2. sgd: as sgd_nesterov, with 1 for the
look-ahead.
"""


def training_step_flops(model: ModelParameters, task: Task, batch_size: int, update_rule: str) -> Flops:
    """Return the FLOPs of one training step of one lane: `training_work` of the batch, and the update.

    Gradient clipping, weight decay and evaluations are not counted.

    Args:
        model: the network.
        task: shapes of inputs and outputs.
        batch_size: examples of the step.
        update_rule: of the optimiser, a key of `UPDATE_FLOPS`.
    """
    work, num_parameters = _training_work(model, task)
    return work.of_batch(batch_size) + Flops(0, UPDATE_FLOPS[update_rule] * num_parameters)


def gradient_flops(model: ModelParameters, task: Task, batch_size: int) -> Flops:
    """Return the FLOPs of forward pass, loss and backward pass of one lane over a batch, without an update.

    Args:
        model: the network.
        task: shapes of inputs and outputs.
        batch_size: examples of the batch.
    """
    return _training_work(model, task)[0].of_batch(batch_size)


@lru_cache(maxsize=256)
def _training_work(model: ModelParameters, task: Task) -> tuple[Work, int]:
    network = build_network(model, task, seed=0)
    num_parameters = sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
    return training_work(network, task), num_parameters
