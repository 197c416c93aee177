"""From parameters to measurements at the sensors: one sparse factorisation for each example."""

from collections.abc import Callable
from functools import partial

import numpy as np

from hornlib.data.maxwell import problem
from hornlib.data.maxwell.edge_elements import EdgeElements
from hornlib.data.maxwell.problem import Array

__all__ = ["solve_all"]


def solve_all(
    cells_a_side: int, xi: Array, report: Callable[[int, int], None] | None = None
) -> tuple[Array, Array]:
    """Return the fields at the inner sensors, (examples, 600), and the readings at the face, (examples, 100).

    A(xi) = C + (e^{xi_5} - 1) C_chi + kappa M is affine in the contrast, so that only the source is assembled again for
    each example. C and C_chi are the curl-curl matrices with the coefficients 1 and chi.

    On the face z = 1 the tangential field is zero, and therefore the curl's normal component is zero too. The readings
    are the two tangential components of curl u, which is the magnetic field up to a constant.

    Args:
        cells_a_side: cells of the mesh along an edge of the cube.
        xi: parameters (examples, 5).
        report: called with the number of finished examples and the number of all.
    """
    elements = EdgeElements(cells_a_side)
    around = elements.curl_curl() + problem.ABSORPTION * elements.mass
    within = elements.curl_curl(problem.inclusion)
    inner, _ = elements.sampling(problem.inner_sensors())
    _, rotation = elements.sampling(problem.face_sensors())
    tangential = rotation[: 2 * problem.NUM_FACE_SENSORS]
    fields, readings = [], []
    for number, parameters in enumerate(xi, start=1):
        matrix = around + (problem.reluctivity_in_inclusion(parameters) - 1) * within
        field = elements.solve(matrix, elements.load(partial(problem.current_density, xi=parameters)))
        fields.append(inner @ field)
        readings.append(tangential @ field)
        if report is not None:
            report(number, len(xi))
    return np.array(fields), np.array(readings)
