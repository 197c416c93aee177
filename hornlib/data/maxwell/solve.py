"""From parameters to what sensors read: one sparse factorisation an example."""

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
    """Return the fields at the inner sensors and the readings of the face's, (examples, 600) and (examples, 100).

    A(xi) = C + (e^{xi_5} - 1) C_chi + kappa M, affine in the contrast, so that nothing but the source is
    assembled anew for an example; C and C_chi are the curl-curl matrices of 1 and of the inclusion's share.

    On the face z = 1 the tangential field is zero, and with it the curl's normal component: what is read
    there are the two tangential components of curl u, the magnetic field up to a constant.

    Args:
        cells_a_side: of the mesh.
        xi: parameters (examples, 5).
        report: called with the examples solved and all of them.
    """
    elements = EdgeElements(cells_a_side)
    around = elements.curl_curl() + problem.ABSORPTION * elements.mass
    within = elements.curl_curl(problem.inclusion)
    inner, _ = elements.sampling(problem.inner_sensors())
    _, rotation = elements.sampling(problem.face_sensors())
    tangential = rotation[: 2 * problem.NUM_FACE_SENSORS]
    fields, readings = [], []
    for number, own in enumerate(xi, start=1):
        matrix = around + (problem.reluctivity_in_inclusion(own) - 1) * within
        field = elements.solve(matrix, elements.load(partial(problem.current_density, xi=own)))
        fields.append(inner @ field)
        readings.append(tangential @ field)
        if report is not None:
            report(number, len(xi))
    return np.array(fields), np.array(readings)
