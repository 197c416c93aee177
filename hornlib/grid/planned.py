"""The networks that a cell is planned to train, one after another, with their steps and their work; free of torch."""

from hornlib.grid.cell import Cell
from hornlib.grid.refusals import course_of
from hornlib.parameters import Cost

__all__ = ["planned_costs"]


def planned_costs(cell: Cell) -> list[tuple[int, Cost]]:
    """Return the number of training steps of each network, with its size and work as they are really computed.

    Masks make no other network. Where the training decides on the shape, it is an estimate.

    Args:
        cell: what is trained.
    """
    course = course_of(cell)
    if cell.structure.connections(cell.model, cell.task()):
        return [(course.total_steps, cell.computed_cost())]
    models = cell.structure.planned_models(cell.model, cell.task(), course)
    ends = [*(start for start, _ in models[1:]), course.total_steps]
    return [(end - start, model.cost(cell.task())) for (start, model), end in zip(models, ends, strict=True)]
