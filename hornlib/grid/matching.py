"""Matching: the width at which a rival has as many parameters, or FLOPs, as its target.

Parameters and forward FLOPs have closed forms. Training FLOPs are counted on built networks, which loads torch
(`hornlib.models.training_counts`); nothing else here does.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal, NamedTuple

from hornlib.config.messages import spelled
from hornlib.errors import nearest
from hornlib.grid.cell import Cell, masked_cost
from hornlib.grid.refusals import course_of
from hornlib.models.training_counts import training_flops_per_example
from hornlib.parameters import ModelParameters, Task
from hornlib.parameters.structure import Course, StructureParameters
from hornlib.structures.static import StaticParameters

__all__ = [
    "QUANTITIES",
    "SPELLINGS",
    "TOLERANCE",
    "Match",
    "MatchRequest",
    "Network",
    "Quantity",
    "Sizes",
    "count",
    "largest_deviations",
    "nearest_width",
    "network_of",
    "parse_match",
    "request_order",
    "target_sizes",
    "where",
]

TOLERANCE = 0.05
"""A rival farther than this share from its target is warned of; small networks cannot always do better."""

WIDEST = 2**24
"""No network that trains is wider; a count still below its target there does not grow with the width."""

Quantity = Literal["parameters", "forward_flops", "training_flops"]

QUANTITIES: dict[Quantity, str] = {
    "parameters": "parameters",
    "forward_flops": "forward FLOPs",
    "training_flops": "training FLOPs",
}
"""What `by` may say -> how plans call it.

All count by masks: a missing connection is no parameter and takes no product. Forward FLOPs are those of one forward
pass of one example in evaluation mode. Training FLOPs are those of one training step (forward, loss, backward, update),
over the examples of its batch, with the mean number of connections and the mean work of gradients over the training. Of
a network that changes its shape, parameters and forward FLOPs are those at the end, and training FLOPs are the mean.
"""

SPELLINGS: dict[str, Quantity] = {**{name: name for name in QUANTITIES}, "flops": "forward_flops"}
"""Every accepted spelling of `by`; `flops` is the older one of `forward_flops`."""

FORM = f"{{to: <arm>, by: {' | '.join(QUANTITIES)}}}"

Sizes = dict[tuple[str, int | None], dict[int, "Network"]]
"""(dataset, image_size) -> the distinct counts of an arm's cells on it, each with the first network that has it."""


class MatchRequest(NamedTuple):
    """`match: {to: <arm>, by: parameters | forward_flops | training_flops}`."""

    to: str
    by: Quantity


class Network(NamedTuple):
    """All that a count depends on. Training FLOPs depend on the batch, the optimiser and the course, too."""

    model: ModelParameters
    task: Task
    batch_size: int
    update_rule: str
    structure: StructureParameters = StaticParameters()
    course: Course = Course(1.0, 1, 0)

    def with_width(self, width: int) -> "Network":
        """Return the same network at another width."""
        return self._replace(model=self.model.with_width(width))


@dataclass(frozen=True, slots=True)
class Match:
    """How near a rival came: its count beside the target's.

    Attributes:
        width: of the rival.
        target, reached: counts of the target and of the rival.
        target_network, network: what was counted, so that other quantities can be counted too. Matches that differ in
            these alone are equal.
    """

    sweep: str
    dataset: str
    arm: str
    to: str
    by: Quantity
    width: int
    target: int
    reached: int
    target_network: Network = field(compare=False, repr=False)
    network: Network = field(compare=False, repr=False)

    @property
    def deviation(self) -> float:
        """(reached - target) / target."""
        return (self.reached - self.target) / self.target

    def deviation_in(self, quantity: Quantity) -> float:
        """Return the same deviation in another quantity; training FLOPs load torch unless they are remembered."""
        target = count(self.target_network, quantity)
        return (count(self.network, quantity) - target) / target


def parse_match(value: object, error: Callable[[str], Exception]) -> MatchRequest:
    """Return the request of a `match:` in the configuration, or raise `error(message)`.

    Args:
        value: what stands at `match:`.
        error: makes the error from its message.
    """
    if not isinstance(value, dict) or set(value) != {"to", "by"}:
        raise error(f"got {spelled(value)}; expected {FORM}")
    to, by = value["to"], value["by"]
    if not isinstance(to, str):
        raise error(f"to: got {spelled(to)}; expected the label of an arm")
    if not isinstance(by, str) or by not in SPELLINGS:
        raise error(
            f"by: unknown {spelled(by)}{nearest(by, tuple(SPELLINGS))}; valid: {', '.join(QUANTITIES)}"
        )
    return MatchRequest(to, SPELLINGS[by])


def request_order(
    requests: Mapping[str, MatchRequest | None], error: Callable[[str, str], Exception]
) -> list[str]:
    """Return the arms so that each comes after the one it is matched to.

    Args:
        requests: arm -> its request, None for an arm of its own size.
        error: makes the error to raise from (arm, message): an unknown arm, or a circle.
    """
    ordered: list[str] = []
    for arm in requests:
        chain = [arm]
        while (request := requests[chain[-1]]) is not None and request.to not in ordered:
            if request.to not in requests:
                valid = [other for other in requests if other != chain[-1]]
                listed = f"{nearest(request.to, valid)}; valid: {', '.join(valid) or 'none'}"
                raise error(chain[-1], f"there is no arm {spelled(request.to)}{listed}")
            if request.to in chain:
                raise error(arm, f"an arm cannot be matched to itself: {' -> '.join((*chain, request.to))}")
            chain.append(request.to)
        ordered += [link for link in reversed(chain) if link not in ordered]
    return ordered


def network_of(cell: Cell) -> Network:
    """Return the network of a cell as it is before the first step, with what its training step depends on."""
    batch_size = min(cell.training.batch_size, cell.data.num_train)
    network = Network(cell.model, cell.task(), batch_size, cell.training.update_rule)
    course = course_of(cell)
    changes_shape = len(cell.structure.planned_models(cell.model, cell.task(), course)) > 1
    if not changes_shape and not cell.structure.connections(cell.model, cell.task()):
        return network  # equal for equal networks, however long they train
    return network._replace(structure=cell.structure, course=course)


def target_sizes(targets: Sequence[Cell], by: Quantity) -> Sizes:
    """Return the distinct counts of the cells of an arm, by dataset and image size, in their order.

    Args:
        targets: cells of the arm that others are matched to.
        by: the quantity that is counted.
    """
    sizes: Sizes = {}
    for target in targets:
        network = network_of(target)
        sizes.setdefault(where(target), {}).setdefault(count(network, by), network)
    return sizes


def where(cell: Cell) -> tuple[str, int | None]:
    """Return what two cells must share to be matched; the presentation may differ (a GRU reads rows)."""
    return cell.data.name, cell.data.image_size


def count(network: Network, by: Quantity) -> int:
    """Return the network's parameters, forward FLOPs of an example, or training FLOPs of an example.

    Args:
        network: what is counted.
        by: the quantity.
    """
    model, task, batch_size, update_rule, structure, course = network
    if by == "parameters":
        return masked_cost(structure, model, task).num_parameters
    if by == "forward_flops":
        return masked_cost(structure, model, task).flops.total
    if not structure.connections(model, task):
        return _mean_training_flops(network)
    connections = structure.mean_connections(model, task, course)
    counts = tuple((name, round(number)) for name, number in connections.items())
    flops = training_flops_per_example(model, task, batch_size, update_rule, counts, structure.dense)
    share = structure.dense_gradient_share(course)
    if structure.dense != "nothing" or not share:
        return flops
    updating = training_flops_per_example(model, task, batch_size, update_rule, counts, "gradients")
    return round(flops + share * (updating - flops))


def _mean_training_flops(network: Network) -> int:
    """Return the training FLOPs of an example, averaged over the steps of the networks that a structure plans."""
    model, task, batch_size, update_rule, structure, course = network
    models = structure.planned_models(model, task, course)
    if len(models) == 1:
        return training_flops_per_example(models[0][1], task, batch_size, update_rule)
    ends = [*(start for start, _ in models[1:]), course.total_steps]
    work = sum(
        (end - start) * training_flops_per_example(planned, task, batch_size, update_rule)
        for (start, planned), end in zip(models, ends, strict=True)
        if end > start
    )
    return round(work / course.total_steps)


@lru_cache(maxsize=65536)
def nearest_width(network: Network, by: Quantity, target: int) -> int:
    """Return the width whose count is nearest to the target, by doubling and bisection.

    Args:
        network: the rival; its own width does not matter.
        by: the quantity that is matched.
        target: the count to reach.

    Raises:
        ValueError: the network's count does not grow up to the target.
    """

    def counted(width: int) -> int:
        return count(network.with_width(width), by)

    high = 1
    while counted(high) < target:
        high *= 2
        if high > WIDEST:
            raise ValueError(f"no width of {network.model.name} comes near {target:,} {QUANTITIES[by]}")
    low = max(1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if counted(middle) < target else (low, middle)
    return min((low, high), key=lambda width: (abs(counted(width) - target), width))


def largest_deviations(matches: Iterable[Match]) -> list[Match]:
    """Return the matches that miss their target by more than `TOLERANCE`, the farthest first."""
    missed = [match for match in matches if abs(match.deviation) > TOLERANCE]
    return sorted(missed, key=lambda match: -abs(match.deviation))
