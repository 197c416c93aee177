"""Matching: the width at which a rival has as many parameters, or FLOPs, as its target; free of torch."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from hornlib.cell import Cell
from hornlib.errors import nearest
from hornlib.parameters import ModelParameters, Task
from hornlib.validation import said

__all__ = [
    "TOLERANCE",
    "Match",
    "MatchRequest",
    "Sizes",
    "count",
    "largest_deviations",
    "nearest_width",
    "parse_match",
    "request_order",
    "target_sizes",
    "where",
]

TOLERANCE = 0.05
"""A rival farther than this share from its target is warned of; small networks cannot always do better."""

WIDEST = 2**24
"""No network that trains is wider; a count still below its target there does not grow with the width."""

Quantity = Literal["parameters", "flops"]

Sizes = dict[tuple[str, int | None], tuple[int, ...]]
"""(dataset, image_size) -> the distinct counts of an arm's cells on it."""


class MatchRequest(NamedTuple):
    """`match: {to: <arm>, by: parameters | flops}`."""

    to: str
    by: Quantity


class Match(NamedTuple):
    """How near a rival came: its count beside the target's."""

    sweep: str
    dataset: str
    arm: str
    to: str
    by: Quantity
    width: int
    target: int
    reached: int

    @property
    def deviation(self) -> float:
        """(reached - target) / target."""
        return (self.reached - self.target) / self.target


def parse_match(value: object, error: Callable[[str], Exception]) -> MatchRequest:
    """Return the request that a config's `match:` makes, or raise `error(message)`."""
    if not isinstance(value, dict) or set(value) != {"to", "by"}:
        raise error(f"got {said(value)}; expected {{to: <arm>, by: parameters | flops}}")
    to, by = value["to"], value["by"]
    if not isinstance(to, str):
        raise error(f"to: got {said(to)}; expected the label of an arm")
    if by not in ("parameters", "flops"):
        raise error(f"by: unknown {said(by)}{nearest(by, ('parameters', 'flops'))}; valid: parameters, flops")
    return MatchRequest(to, by)


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
                raise error(chain[-1], f"there is no arm {said(request.to)}{listed}")
            if request.to in chain:
                raise error(arm, f"an arm cannot be matched to itself: {' -> '.join((*chain, request.to))}")
            chain.append(request.to)
        ordered += [link for link in reversed(chain) if link not in ordered]
    return ordered


def target_sizes(targets: Sequence[Cell], by: Quantity) -> Sizes:
    """Return the distinct counts of the cells of an arm, by dataset and image size, in their order."""
    sizes: dict[tuple[str, int | None], dict[int, None]] = {}
    for target in targets:
        sizes.setdefault(where(target), {})[count(target.model, target.task(), by)] = None
    return {place: tuple(counts) for place, counts in sizes.items()}


def where(cell: Cell) -> tuple[str, int | None]:
    """Return what two cells must share to be matched; the presentation may differ (a GRU reads rows)."""
    return cell.data.name, cell.data.image_size


@lru_cache(maxsize=65536)
def count(model: ModelParameters, task: Task, by: Quantity) -> int:
    """Return the model's parameters, or the total FLOPs of one forward pass of one example."""
    return model.num_parameters(task) if by == "parameters" else model.forward_flops(task).total


@lru_cache(maxsize=65536)
def nearest_width(model: ModelParameters, task: Task, by: Quantity, target: int) -> int:
    """Return the width whose count is nearest to the target, by doubling and bisection.

    Raises:
        ValueError: the model's count does not grow up to the target.
    """

    def counted(width: int) -> int:
        return count(model.with_width(width), task, by)

    high = 1
    while counted(high) < target:
        high *= 2
        if high > WIDEST:
            raise ValueError(f"no width of {model.name} comes near {target:,} {by}")
    low = max(1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if counted(middle) < target else (low, middle)
    return min((low, high), key=lambda width: (abs(counted(width) - target), width))


def largest_deviations(matches: Iterable[Match]) -> list[Match]:
    """Return the matches that miss their target by more than `TOLERANCE`, the farthest first."""
    missed = [match for match in matches if abs(match.deviation) > TOLERANCE]
    return sorted(missed, key=lambda match: -abs(match.deviation))
