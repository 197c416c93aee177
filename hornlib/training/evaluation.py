"""Losses and metrics of lanes, and the evaluation of every lane on a split."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from hornlib.data.loading import Split
from hornlib.models.lanes import LaneGroup
from hornlib.parameters.training import TrainingParameters

__all__ = [
    "LOSSES",
    "METRICS",
    "Metric",
    "Scores",
    "accuracy",
    "cross_entropy",
    "evaluate",
    "evaluated_lanes",
    "mean_squared_error",
    "relative_l2",
    "thinned",
]

CPU_NUMBERS = 2**17
"""Numbers of all inputs that are evaluated at once on a CPU. More do not fit the cache and cost up to three times as
much. Fewer make many small kernels, which for small networks spend most of their time on starting."""

LEAST_AT_ONCE, MOST_AT_ONCE = 256, 8192
"""Limits of examples times lanes evaluated at once. An accelerator always takes the upper limit."""


class Scores(NamedTuple):
    """Mean loss and metric of every lane, both (lanes,) float64; NaN on a split without examples."""

    loss: Tensor
    metric: Tensor


def cross_entropy(logits: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return each example's cross-entropy, (lanes, batch), in nats.

    Args:
        logits: (lanes, batch, classes).
        targets: (lanes, batch) classes.
        label_smoothing: share of the target that is spread evenly over all classes.
    """
    losses = functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), reduction="none", label_smoothing=label_smoothing
    )
    return losses.view(targets.shape)


def mean_squared_error(outputs: Tensor, targets: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Return each example's squared error, averaged over the outputs, (lanes, batch).

    Args:
        outputs, targets: (lanes, batch, outputs).
        label_smoothing: not used; all losses have the same arguments.
    """
    return (outputs - targets).square().mean(-1)


def accuracy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return 1 where the largest logit is that of the target, else 0, (lanes, batch).

    Args:
        logits: (lanes, batch, classes).
        targets: (lanes, batch) classes.
    """
    return (logits.argmax(-1) == targets).to(logits.dtype)


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return ||output - target||^2 of each example, (lanes, batch).

    Args:
        outputs, targets: (lanes, batch, outputs).
    """
    return (outputs - targets).square().sum(-1)


def squared_norm(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return ||target||^2 of each example, (lanes, batch).

    Args:
        outputs: not used; both parts of a metric have the same arguments.
        targets: (lanes, batch, outputs).
    """
    return targets.square().sum(-1)


def one_each(logits: Tensor, targets: Tensor) -> Tensor:
    """Return 1 for each example, (lanes, batch).

    Args:
        logits: not used; both parts of a metric have the same arguments.
        targets: (lanes, batch) classes.
    """
    return torch.ones(targets.shape, device=targets.device)


class Metric(NamedTuple):
    """A metric of a whole split, (sum of `part` / sum of `whole`)^power over its examples.

    Attributes:
        part, whole: functions of outputs and targets that return one number for each example, (lanes, batch).
        power: exponent of the ratio of the sums.
    """

    part: Callable[[Tensor, Tensor], Tensor]
    whole: Callable[[Tensor, Tensor], Tensor]
    power: float = 1.0

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the metric over all examples of these tensors, (lanes,).

        Args:
            outputs: (lanes, batch, outputs).
            targets: (lanes, batch) classes, or (lanes, batch, outputs).
        """
        part, whole = (share(outputs, targets).sum(-1, dtype=torch.float64) for share in self[:2])
        return (part / whole) ** self.power


relative_l2 = Metric(squared_error, squared_norm, 0.5)
"""sqrt(sum_n ||o_n - t_n||^2 / sum_n ||t_n||^2) over all examples n of a split. Outputs of zero give 1.

It is one ratio for the whole split. A mean of the ratios of single examples would be dominated by the few examples
where ||t_n|| is near 0."""

LOSSES: dict[str, Callable[..., Tensor]] = {"cross_entropy": cross_entropy, "mse": mean_squared_error}
METRICS: dict[str, Metric] = {"accuracy": Metric(accuracy, one_each), "relative_l2": relative_l2}


def thinned(split: Split, limit: int | None) -> Split:
    """Return at most `limit` examples, evenly spaced, so that a split sorted by class stays balanced.

    Args:
        split: the examples.
        limit: their largest number; None: all.
    """
    if limit is None or limit >= len(split.targets):
        return split
    index = torch.linspace(0, len(split.targets) - 1, limit, device=split.targets.device).round().long()
    return Split(split.inputs[index], split.targets[index])


def evaluated_lanes(lanes: LaneGroup, training: TrainingParameters, train: Split) -> LaneGroup:
    """Return the networks that are evaluated: the lanes with the batch norm statistics that `training` asks for.

    With `batch_norm_statistics: precise` the result depends on the weights and on the training split only. It does not
    depend on earlier weights or on the seed's batches. As many lanes run at once as the cache holds.

    Args:
        lanes: not changed.
        training: which statistics, and of how many examples.
        train: the training split.
    """
    if training.batch_norm_statistics != "precise" or not lanes.has_batch_norm:
        return lanes
    inputs = thinned(train, training.precise_examples).inputs
    at_once = max(1, _examples_at_once(inputs) // len(inputs))
    parts = [
        lanes.keep(range(start, min(start + at_once, len(lanes)))).with_statistics_of(inputs).buffers
        for start in range(0, len(lanes), at_once)
    ]
    return lanes.with_buffers({name: torch.cat([part[name] for part in parts]) for name in lanes.buffers})


@torch.no_grad()
def evaluate(lanes: LaneGroup, split: Split, loss: str, metric: str) -> Scores:
    """Return mean loss and metric of every lane over a split, in evaluation mode.

    Args:
        lanes: the networks; not changed.
        split: examples, the same for all lanes.
        loss, metric: keys of LOSSES and METRICS.
    """
    inputs, targets = split.inputs, split.targets
    if not len(targets):
        nothing = torch.full((len(lanes),), float("nan"), dtype=torch.float64)
        return Scores(nothing, nothing.clone())
    ratio = METRICS[metric]
    shares = (LOSSES[loss], ratio.part, ratio.whole)
    sums = torch.zeros(len(shares), len(lanes), dtype=torch.float64, device=inputs.device)
    at_once = max(1, _examples_at_once(inputs) // len(lanes))
    for start in range(0, len(targets), at_once):
        batch = slice(start, start + at_once)
        logits = lanes.forward(inputs[batch], training=False).logits
        expected = targets[batch].expand(len(lanes), *targets[batch].shape)
        for total, share in zip(sums, shares, strict=True):
            total += share(logits, expected).sum(1, dtype=torch.float64)
    losses, part, whole = sums.cpu()
    return Scores(losses / len(targets), (part / whole) ** ratio.power)


def _examples_at_once(inputs: Tensor) -> int:
    if inputs.device.type != "cpu":
        return MOST_AT_ONCE
    return min(max(CPU_NUMBERS // inputs[0].numel(), LEAST_AT_ONCE), MOST_AT_ONCE)
