"""The continuous problem: parameters and their ranges, source, material, positions of the sensors.

curl(nu(x; xi) curl u) + kappa u = J(x; xi) in the unit cube, n x u = 0 on its walls, with the parameters xi of
`PARAMETERS`.
"""

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ABSORPTION",
    "PARAMETERS",
    "Array",
    "current_density",
    "description",
    "draw_parameters",
    "face_sensors",
    "inclusion",
    "inner_sensors",
    "reluctivity_in_inclusion",
    "standardised",
]

Array = NDArray[np.floating]

PARAMETERS = {
    "source_x": (0.35, 0.65),
    "source_y": (0.35, 0.65),
    "source_z": (0.35, 0.65),
    "source_strength": (0.5, 1.5),
    "log_contrast": (-1.6, 1.6),
}
"""The components of xi, each uniform on its range: the source's centre in edges of the cube, the source's strength, and
the natural logarithm of the ratio of the reluctivities within the inclusion and around it (0.2 to 5)."""

ABSORPTION = 1.0
"""kappa makes the equation definite. The field decays over the length sqrt(nu / kappa), one edge of the cube."""

SOURCE_WIDTH = 0.18
"""Standard deviation of the source's Gaussian, in edges of the cube; 1.4 cells of a mesh with 8 cells a side."""

INCLUSION_RADIUS = 0.3
"""Radius of the inclusion in the middle of the cube, in edges of the cube."""

NUM_INNER_SENSORS = 200
NUM_FACE_SENSORS = 50
INNER_MARGIN = 0.05
"""Least distance of an inner sensor from the walls, in edges of the cube."""
FACE_MARGIN = 0.15
"""Least distance of a face's sensor from the face's edges, in edges of the cube. It is more than one cell of a mesh
with 8 cells a side, since the discrete field is zero in the cells at the corners."""


def description() -> dict[str, object]:
    """Return the constants that the examples depend on, as they are stored with them."""
    return {
        "parameters": {name: list(bounds) for name, bounds in PARAMETERS.items()},
        "absorption": ABSORPTION,
        "source_width": SOURCE_WIDTH,
        "inclusion_radius": INCLUSION_RADIUS,
        "sensors": [NUM_INNER_SENSORS, NUM_FACE_SENSORS, INNER_MARGIN, FACE_MARGIN],
    }


def draw_parameters(uniform: Array) -> Array:
    """Return xi (examples, 5) in its ranges, from numbers (examples, 5) that are uniform on [0, 1)."""
    low, high = np.array(list(PARAMETERS.values())).T
    return low + (high - low) * uniform


def standardised(xi: Array) -> Array:
    """Return xi (examples, 5) with mean 0 and standard deviation 1: (xi - (a + b) / 2) sqrt(12) / (b - a)."""
    low, high = np.array(list(PARAMETERS.values())).T
    return (xi - (low + high) / 2) * np.sqrt(12) / (high - low)


def current_density(points: Array, xi: Array) -> Array:
    """Return the source J: a smooth loop of current around a vertical axis.

    J = s curl(psi e_z) / w = s (-(y - y_0), x - x_0, 0) / w exp(-|x - x_0|^2 / (2 w^2)), psi = w^2 exp(...),

    with the source's centre x_0, strength s and width w. J is solenoidal, since it is a curl.

    Args:
        points: (3, ...), in edges of the cube.
        xi: parameters (5,).

    Returns:
        (3, ...).
    """
    x, y, z = (axis - centre for axis, centre in zip(points, xi, strict=False))
    density = xi[3] / SOURCE_WIDTH * np.exp(-(x**2 + y**2 + z**2) / (2 * SOURCE_WIDTH**2))
    return np.stack([-y * density, x * density, np.zeros_like(z)])


def inclusion(points: Array) -> Array:
    """Return chi = exp(-(|x - m| / R)^4) at points (3, ...), where m is the middle of the cube; of shape (...).

    chi is 1 within the inclusion, 0 outside and smooth between, so that it is the same on every mesh.
    """
    return np.exp(-(((points - 0.5) ** 2).sum(0) ** 2) / INCLUSION_RADIUS**4)


def reluctivity_in_inclusion(xi: Array) -> float:
    """Return nu in the middle of the inclusion, for xi (5,); nu = 1 + (e^{xi_5} - 1) chi(x)."""
    return float(np.exp(xi[4]))


def inner_sensors() -> Array:
    """Return the points within the cube where the field is measured, (3, 200)."""
    return INNER_MARGIN + (1 - 2 * INNER_MARGIN) * _spread(NUM_INNER_SENSORS, 3)


def face_sensors() -> Array:
    """Return the points of the face z = 1 where the magnetic field is measured, (3, 50)."""
    plane = FACE_MARGIN + (1 - 2 * FACE_MARGIN) * _spread(NUM_FACE_SENSORS, 2)
    return np.vstack([plane, np.ones(NUM_FACE_SENSORS)])


def _spread(count: int, dimension: int) -> Array:
    """Return evenly spread points of the unit cube, (dimension, count).

    x_k = frac(1/2 + k a), a_j = phi^{-j}, where phi is the positive root of phi^{d + 1} = phi + 1.

    Source: Roberts (2018), The unreasonable effectiveness of quasirandom sequences.
    """
    phi = 2.0
    for _ in range(60):
        phi = (1 + phi) ** (1 / (dimension + 1))
    steps = phi ** -np.arange(1.0, dimension + 1)
    return (0.5 + np.outer(steps, np.arange(1, count + 1))) % 1
