"""Floating-point operations of a training step: forward, loss, backward and update."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import MappingProxyType

from hornlib.models.build import build_network
from hornlib.models.operations import Work, training_work
from hornlib.parameters import Flops, ModelParameters, Task, Weight
from hornlib.parameters.structure import DensePart

__all__ = ["UPDATE_FLOPS", "VECTOR_UPDATE_FLOPS", "gradient_flops", "training_step_flops"]

UPDATE_FLOPS: dict[str, int] = {"adamw": 14, "sgd_nesterov": 6, "sgd": 5, "beta_lasso": 7}
"""Operations of one update of one parameter, as `hornlib.training.optimizers` computes it without weight decay.

adamw: first moment 3 (lerp), second 4, corrected root and epsilon 3, quotient and its correction 2, rate and
difference 2. sgd_nesterov: buffer 2, look-ahead 2, rate and difference 2. sgd: as sgd_nesterov, with 1 for the
look-ahead. beta_lasso: sign 1, its product and sum 2, rate and difference 2, threshold 2.
"""

VECTOR_UPDATE_FLOPS: dict[str, int] = {"beta_lasso": 2}
"""Operations of one update of one bias, or of one number of a norm, where they differ from those of a weight."""

DENSE: Mapping[str, int] = MappingProxyType({})
"""The connections of a network without masks."""


def training_step_flops(
    model: ModelParameters,
    task: Task,
    batch_size: int,
    update_rule: str,
    connections: Mapping[str, int] = DENSE,
    dense: DensePart = "nothing",
) -> Flops:
    """Return the FLOPs of one training step of one lane: `training_work` of the batch, and the update.

    Gradient clipping, weight decay and evaluations are not counted. A connection that a mask removes has no update.

    Args:
        model: the network.
        task: shapes of inputs and outputs.
        batch_size: examples of the step.
        update_rule: of the optimiser, a key of `UPDATE_FLOPS`.
        connections: masked weight -> number of its connections; other weights are dense.
        dense: what masked weights have besides; with moments the optimiser updates them too.
    """
    _, num_weights, num_others = _training_work(model, task)
    if dense != "moments":
        num_weights -= sum(missing for _, missing in _missing(model, task, connections))
    passes = gradient_flops(model, task, batch_size, connections, dense)
    of_weight = UPDATE_FLOPS[update_rule]
    of_other = VECTOR_UPDATE_FLOPS.get(update_rule, of_weight)
    return passes + Flops(0, of_weight * num_weights + of_other * num_others)


def gradient_flops(
    model: ModelParameters,
    task: Task,
    batch_size: int,
    connections: Mapping[str, int] = DENSE,
    dense: DensePart = "nothing",
) -> Flops:
    """Return the FLOPs of forward pass, loss and backward pass of one lane over a batch, without an update.

    A missing connection saves 2 `uses` FLOPs of an example forward, 2 `backward_uses` in the gradient of its input, and
    2 `uses` in its own gradient unless gradients are dense; see `ModelParameters.weights`. A kernel that skips zeros
    saves them; multiplication by a mask does not.

    Args:
        model: the network.
        task: shapes of inputs and outputs.
        batch_size: examples of the batch.
        connections: masked weight -> number of its connections; other weights are dense.
        dense: what masked weights have besides.

    Reference:
        Evci et al., Rigging the lottery, ICML 2020, appendix H.
    """
    saved = sum(
        2 * missing * (weight.backward_uses + weight.uses * (2 if dense == "nothing" else 1))
        for weight, missing in _missing(model, task, connections)
    )
    return _training_work(model, task)[0].of_batch(batch_size) + Flops(-batch_size * saved, 0)


def _missing(
    model: ModelParameters, task: Task, connections: Mapping[str, int]
) -> Iterator[tuple[Weight, int]]:
    """Yield every masked weight with the number of connections that it lacks."""
    if connections:
        for weight in model.weights(task):
            if weight.name in connections:
                yield weight, weight.size - connections[weight.name]


@lru_cache(maxsize=256)
def _training_work(model: ModelParameters, task: Task) -> tuple[Work, int, int]:
    """Return the work of a pass, and the numbers of trained entries of matrices and kernels, and of all others."""
    network = build_network(model, task, seed=0)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    num_weights = sum(parameter.numel() for parameter in trained if parameter.dim() > 1)
    num_parameters = sum(parameter.numel() for parameter in trained)
    return training_work(network, task), num_weights, num_parameters - num_weights
