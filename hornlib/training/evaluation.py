"""Losses and metrics over lanes, and the evaluation of every lane on a split."""

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
"""Numbers of all inputs evaluated at once on a CPU: more leave the cache and cost up to thrice as much, and fewer make
many small kernels, whose start is most of their time where networks are small."""

LEAST_AT_ONCE, MOST_AT_ONCE = 256, 8192
"""Examples times lanes evaluated at once; on an accelerator, where few and large kernels are fast, always the most."""


class Scores(NamedTuple):
    """Mean loss and metric of every lane, (lanes,) both, float64; NaN on a split without examples."""

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
    """Return each example's squared error, averaged over the outputs, (lanes, batch); smoothing has no meaning here."""
    return (outputs - targets).square().mean(-1)


def accuracy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return 1 where the largest logit is the target's, else 0, (lanes, batch)."""
    return (logits.argmax(-1) == targets).to(logits.dtype)


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return each example's ||output - target||^2, (lanes, batch)."""
    return (outputs - targets).square().sum(-1)


def squared_norm(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return each example's ||target||^2, (lanes, batch)."""
    return targets.square().sum(-1)


def one_each(logits: Tensor, targets: Tensor) -> Tensor:
    """Return 1 for each example, (lanes, batch)."""
    return torch.ones(targets.shape, device=targets.device)


class Metric(NamedTuple):
    """A metric of a whole split, (sum of `part` / sum of `whole`)^power over its examples.

    Attributes:
        part, whole: functions of outputs and targets that return a number an example, (lanes, batch).
        power: of the ratio of the sums.
    """

    part: Callable[[Tensor, Tensor], Tensor]
    whole: Callable[[Tensor, Tensor], Tensor]
    power: float = 1.0

    def __call__(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the metric of examples that are all there at once, (lanes,)."""
        part, whole = (share(outputs, targets).sum(-1, dtype=torch.float64) for share in self[:2])
        return (part / whole) ** self.power


relative_l2 = Metric(squared_error, squared_norm, 0.5)
"""sqrt(sum_n ||o_n - t_n||^2 / sum_n ||t_n||^2) over all examples n of a split; the answer zero gives 1.

One ratio for the split, and no mean of each example's ratio: ||t_n|| may come near 0, of scalar targets in
particular, and a mean would measure the few examples where it does."""

LOSSES: dict[str, Callable[..., Tensor]] = {"cross_entropy": cross_entropy, "mse": mean_squared_error}
METRICS: dict[str, Metric] = {"accuracy": Metric(accuracy, one_each), "relative_l2": relative_l2}


def thinned(split: Split, limit: int | None) -> Split:
    """Return at most `limit` examples, evenly spaced, so that a split sorted by class stays balanced."""
    if limit is None or limit >= len(split.targets):
        return split
    index = torch.linspace(0, len(split.targets) - 1, limit, device=split.targets.device).round().long()
    return Split(split.inputs[index], split.targets[index])


def evaluated_lanes(lanes: LaneGroup, training: TrainingParameters, train: Split) -> LaneGroup:
    """Return the networks that an evaluation judges: the lanes with batch norm's statistics as `training` asks.

    Under `batch_norm_statistics: precise` the result depends on the weights and on the training split alone, neither
    on earlier weights nor on the seed's batches. As many lanes are run at once as the cache holds.

    Args:
        lanes: not changed.
        training: says which statistics, and of how many examples.
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
    """Return every lane's mean loss and metric over the split, in evaluation mode."""
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
