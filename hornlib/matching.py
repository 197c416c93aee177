"""Matching: the width at which a rival has as many parameters, or FLOPs, as its target; free of torch."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from hornlib.cell import Cell
from hornlib.errors import nearest
from hornlib.parameters import ModelParameters, Task

__all__ = ["TOLERANCE", "Match", "MatchRequest", "matched_widths", "nearest_width", "parse_match", "request_order"]

TOLERANCE = 0.05
"""A rival farther than this share from its target is warned of; small networks cannot always do better."""

Quantity = Literal["parameters", "flops"]


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
        return self.reached / self.target - 1


def parse_match(value: object, error: Callable[[str], Exception]) -> MatchRequest:
    """Return the request that a config's `match:` makes, or raise `error(message)`."""
    if not isinstance(value, dict) or set(value) != {"to", "by"}:
        raise error(f"expected {{to: <arm>, by: parameters | flops}}, found {value!r}")
    if value["by"] not in ("parameters", "flops"):
        raise error(f"by: unknown {value['by']!r}{nearest(value['by'], ['parameters', 'flops'])}; valid: parameters, flops")
    if not isinstance(value["to"], str):
        raise error(f"to: expected the label of an arm, found {value['to']!r}")
    return MatchRequest(value["to"], value["by"])


def request_order(
    requests: Mapping[str, MatchRequest | None], error: Callable[[str, str], Exception]
) -> list[str]:
    """Return the arms so that each comes after the one it is matched to; raise `error(arm, message)` on a circle."""
    ordered: list[str] = []

    def visit(arm: str, above: tuple[str, ...]) -> None:
        if arm in ordered:
            return
        if arm in above:
            raise error(arm, f"an arm cannot be matched to itself: {' -> '.join((*above, arm))}")
        request = requests[arm]
        if request is not None and request.to in requests:
            visit(request.to, (*above, arm))
        ordered.append(arm)

    for arm in sorted(requests, key=lambda arm: requests[arm] is not None):  # unmatched arms first: none is unknown
        visit(arm, ())
    return ordered


def matched_widths(
    sweep: str, arm: str, rival: Cell, request: MatchRequest, targets: Sequence[Cell]
) -> tuple[list[int], list[Match]]:
    """Return the rival's distinct widths for every distinct size of the targets on its dataset, and how near they are."""
    sizes = {
        count(target.model, target.task(), request.by): None
        for target in targets
        if (target.data.name, target.data.image_size) == (rival.data.name, rival.data.image_size)
    }
    matches = []
    for size in sizes:
        width = nearest_width(rival.model, rival.task(), request.by, size)
        reached = count(rival.model.with_width(width), rival.task(), request.by)
        matches.append(Match(sweep, rival.data.name, arm, request.to, request.by, width, size, reached))
    return list(dict.fromkeys(match.width for match in matches)), matches


@lru_cache(maxsize=65536)
def count(model: ModelParameters, task: Task, by: Quantity) -> int:
    """Return the model's parameters, or the total FLOPs of one forward pass of one example."""
    return model.num_parameters(task) if by == "parameters" else model.forward_flops(task).total


@lru_cache(maxsize=65536)
def nearest_width(model: ModelParameters, task: Task, by: Quantity, target: int) -> int:
    """Return the width whose count is nearest to the target, by doubling and bisection; the count grows with width."""

    def counted(width: int) -> int:
        return count(model.with_width(width), task, by)

    high = 1
    while counted(high) < target:
        high *= 2
    low = max(1, high // 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if counted(middle) < target else (low, middle)
    return min((low, high), key=lambda width: (abs(counted(width) - target), width))
