"""The size of the weights that a run keeps, from closed forms; free of torch."""

from hornlib.grid.cell import Cell
from hornlib.grid.refusals import course_of

__all__ = ["run_bytes"]

NUMBER, MASK, PLACE = 4, 1, 12
"""Bytes of a trained number, of an entry of a mask, and of the place of a connection that is stored alone."""

RUN_BYTES, STORED_BYTES = 4_000, 2_000
"""Names, sizes and padding of tensors, some 400 bytes each: of a run with its running statistics, and of the places of
one weight that is stored as connections alone."""


def run_bytes(cell: Cell) -> int:
    """Return the bytes of the network that one run of a cell ends with, masks included.

    Where the training decides on the shape, it is an estimate.

    Args:
        cell: what is trained.
    """
    task = cell.task()
    _, model = cell.structure.planned_models(cell.model, task, course_of(cell))[-1]
    connections = cell.structure.connections(cell.model, task)
    size = RUN_BYTES + NUMBER * model.num_parameters(task)
    if cell.is_masked():
        return size + MASK * sum(weight.size for weight in model.weights(task) if weight.name in connections)
    stored = model.masked_form(task)[1]
    return size + STORED_BYTES * len(stored) + PLACE * sum(stored.values())
