"""Rows of benchmarks whose arms take turns: ratios of their times to that of the first arm, round by round."""

import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

__all__ = ["Arm", "Ratios", "Row", "busy_lines", "line", "measured", "shown"]

BUSY = 0.5
"""Load of the machine before the run, above which a table says that it must be measured again."""

Arm = Callable[[], float]
"""Does what is measured once, and returns its seconds."""


class Row(NamedTuple):
    """One line of a table.

    Attributes:
        label: what is measured.
        arms: name -> measures its seconds. The times of all others are divided by that of the first.
    """

    label: str
    arms: dict[str, Arm]


class Ratios(NamedTuple):
    """Measured: name -> median and quartiles of the ratio to the first arm, and the first arm's median, s."""

    of: dict[str, tuple[float, float, float]]
    first: float


def measured(row: Row, least: int, most: int, seconds: float, is_warmed: bool = False) -> Ratios:
    """Return the ratios of a row. All arms are measured in every round.

    Args:
        row: what is measured.
        least, most: numbers of rounds; `least` are always measured.
        seconds: processor time after which no further round begins.
        is_warmed: whether each arm runs once unmeasured before its turn, since the caches hold what the last one left.
    """
    times: dict[str, list[float]] = {name: [] for name in row.arms}
    started, rounds = time.process_time(), 0
    while rounds < least or (rounds < most and time.process_time() - started < seconds):
        for name, arm in row.arms.items():
            if is_warmed:
                arm()
            times[name].append(arm())
        rounds += 1
    first, *others = times
    ratios = {}
    for name in others:
        pairs = zip(times[name], times[first], strict=True)
        low, middle, high = statistics.quantiles([above / below for above, below in pairs], n=4)
        ratios[name] = (middle, low, high)
    return Ratios(ratios, statistics.median(times[first]))


def shown(ratio: tuple[float, float, float]) -> str:
    """Return 'median (quartile to quartile)'."""
    middle, low, high = ratio
    return f"{middle:.2g} ({low:.2g} to {high:.2g})"


def line(label: str, ratios: Ratios) -> str:
    """Return the row of a table: the milliseconds of the first arm, and the ratios of the others."""
    return f"| {label} | {1e3 * ratios.first:.3g} | {' | '.join(map(shown, ratios.of.values()))} |"


def busy_lines(load: float) -> list[str]:
    """Return what stands above figures of a busy machine; nothing for a quiet one."""
    if load <= BUSY:
        return []
    return [f"**The machine was busy (load {load:.1f}): these figures must be measured again.**"]
