"""Number of lanes trained at once. It follows from shapes and type of device, never from timing or free memory."""

from hornlib.grid.cell import Cell
from hornlib.grid.planned import planned_costs

__all__ = ["LEAST_LANES", "NUMBERS_AT_ONCE", "chunk_width", "numbers_a_step"]

NUMBERS_AT_ONCE = {"cpu": 170e6, "mps": 1.7e9, "cuda": 2.7e9}
"""Numbers that one training step of all lanes of a chunk may handle together, by the type of the device.

cpu: measured (benchmarks/lanes.md). Chunks of small and large networks took 0.3 to 3 bytes for each number there, so a
chunk takes at most 0.5 GB. mps and cuda: not measured. They are chosen so that a chunk takes at most 5 or 8 GB at 3
bytes for each number.
"""

LEAST_LANES = 3
"""Fewer lanes train one after the other: on a CPU two lanes side by side are up to a fifth slower."""


def chunk_width(lanes: int | str, cell: Cell, num_runs: int, device_type: str) -> int:
    """Return the number of lanes trained at once.

    A lane saves the calls that its kernels share with other lanes. It saves nothing where one lane's kernels fill
    the device already. `auto` therefore takes NUMBERS_AT_ONCE / `numbers_a_step` lanes, and one lane where this is
    below LEAST_LANES. Other widths round differently, so the width must not depend on how fast or how large the
    machine is: equal jobs then have equal results.

    Args:
        lanes: a number, or auto.
        cell: gives the shapes, which all runs share.
        num_runs: number of runs that may train side by side. There are never more lanes.
        device_type: cpu, cuda or mps.
    """
    if isinstance(lanes, int):
        return min(lanes, num_runs)
    width = int(NUMBERS_AT_ONCE[device_type] / numbers_a_step(cell))
    return min(width, num_runs) if width >= LEAST_LANES else 1


def numbers_a_step(cell: Cell) -> float:
    """Return about how many numbers one lane's kernels handle in a training step: N = B (E + P / 16) + 100 p.

    B: examples of a batch. E, P: elementwise operations and operations of products for one example, forward. p:
    trained parameters. The weights 1/16 and 100 are fitted to the times of benchmarks/lanes.md. Masks make no number
    fewer; a network that stores connections alone has few. Of a network that changes its shape, the largest counts.
    """
    batch_size = min(cell.training.batch_size, cell.data.num_train)
    return max(
        batch_size * (cost.elementwise + cost.products / 16) + 100 * cost.num_parameters
        for _, cost in planned_costs(cell)
    )
