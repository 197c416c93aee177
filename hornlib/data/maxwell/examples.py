"""The file of examples: it is computed once, verified and written; every job reads and verifies it again."""

import fcntl
import json
import os
import secrets
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from hornlib.data.maxwell import problem
from hornlib.data.maxwell.problem import Array
from hornlib.randomness import generator

__all__ = ["NUM_MODES", "Examples", "ensure", "make", "read_examples"]

NUM_MODES = 20
"""Number of POD modes that a field is projected onto."""

REPORTS = 10
"""Number of progress lines while the examples are computed."""


class Examples(NamedTuple):
    """All examples, those of the training part first.

    Attributes:
        xi: parameters of `problem.PARAMETERS`, (examples, 5).
        coefficients: POD coefficients of the inner field, divided by `scale`, (examples, 20), float32.
        readings: x and y components of curl u at the 50 sensors of the face z = 1, (examples, 100), float32.
        fields: u at the inner sensors, three components of 200 points each, (examples, 600), float32.
        modes: orthonormal POD modes of the training part's fields, (600, 20).
        scale: root mean square of the training part's coefficients, (). Since it is one number, relative errors are
            those of the projected fields.
        pod_floor: relative L2 error of the test part's fields projected onto the modes, (). No network that predicts
            coefficients has a smaller error.
    """

    xi: Array
    coefficients: Array
    readings: Array
    fields: Array
    modes: Array
    scale: Array
    pod_floor: Array


def ensure(path: Path, cells_a_side: int, num_train: int, num_test: int) -> None:
    """Compute and write the file of examples if it does not exist.

    If two commands need it at once, the second one waits for the first. The file is written under a temporary name,
    read back, and renamed, so that an incomplete file never has the final name.

    Args:
        path: of the file.
        cells_a_side: cells of the mesh along an edge of the cube.
        num_train, num_test: number of examples.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        with suppress(OSError):  # without locks both commands write the same file, and the last one remains
            fcntl.flock(lock, fcntl.LOCK_EX)
        if path.exists():
            return
        examples = make(cells_a_side, num_train, num_test, _reporter(path.stem))
        temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
        try:
            with temporary.open("wb") as file:
                np.savez_compressed(
                    file, about=_about(cells_a_side, num_train, num_test), **examples._asdict()
                )
                file.flush()
                os.fsync(file.fileno())
            read_examples(temporary, cells_a_side, num_train, num_test)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def read_examples(path: Path, cells_a_side: int, num_train: int, num_test: int) -> Examples:
    """Return the stored examples.

    Args:
        path: of the file.
        cells_a_side: cells of the mesh along an edge of the cube.
        num_train, num_test: number of examples.

    Raises:
        ValueError, OSError, KeyError, zipfile.BadZipFile: the file is missing or damaged, belongs to another problem
            or number of examples, or contains numbers that are not finite.
    """
    with np.load(path) as stored:
        about = str(stored["about"])
        if about != _about(cells_a_side, num_train, num_test):
            raise ValueError(f"{path.name} was made for another problem: {about}")
        examples = Examples(*(stored[name] for name in Examples._fields))
    count, features = num_train + num_test, 3 * problem.NUM_INNER_SENSORS
    shapes = {
        "xi": (count, len(problem.PARAMETERS)),
        "coefficients": (count, NUM_MODES),
        "readings": (count, 2 * problem.NUM_FACE_SENSORS),
        "fields": (count, features),
        "modes": (features, NUM_MODES),
        "scale": (),
        "pod_floor": (),
    }
    for name, array in examples._asdict().items():
        if array.shape != shapes[name]:
            raise ValueError(f"{path.name}: {name} has the shape {array.shape}, expected {shapes[name]}")
        if not np.isfinite(array).all():
            raise ValueError(f"{path.name}: {name} holds numbers that are not finite")
    return examples


def make(
    cells_a_side: int, num_train: int, num_test: int, report: Callable[[int, int], None] | None = None
) -> Examples:
    """Compute all examples and project the fields onto POD modes. The same versions give the same numbers.

    Args:
        cells_a_side: cells of the mesh along an edge of the cube.
        num_train, num_test: number of examples. The POD modes are those of the training part, which includes the
            examples for validation.
        report: called with the number of finished examples and the number of all.
    """
    from threadpoolctl import threadpool_limits

    from hornlib.data.maxwell.solve import solve_all

    count = num_train + num_test
    draw = generator("examples", "maxwell", cells_a_side, num_train, num_test)
    xi = problem.draw_parameters(_uniform(draw, (count, len(problem.PARAMETERS))))
    with threadpool_limits(1):  # with more threads the order of sums, and so the last bits, would differ
        fields, readings = solve_all(cells_a_side, xi, report)
        modes = _pod(fields[:num_train])
        coefficients = fields @ modes
        test = fields[num_train:]
        floor = np.linalg.norm(test - coefficients[num_train:] @ modes.T) / np.linalg.norm(test)
    scale = np.sqrt((coefficients[:num_train] ** 2).mean())
    return Examples(
        xi=xi,
        coefficients=(coefficients / scale).astype(np.float32),
        readings=readings.astype(np.float32),
        fields=fields.astype(np.float32),
        modes=modes,
        scale=np.asarray(scale),
        pod_floor=np.asarray(floor),
    )


def _uniform(draw: torch.Generator, shape: tuple[int, int]) -> Array:
    return torch.rand(shape, generator=draw, dtype=torch.float64).numpy()


def _pod(fields: Array) -> Array:
    """Return the first left singular vectors of the fields as columns, each with its largest entry positive."""
    modes = np.linalg.svd(fields, full_matrices=False)[2][:NUM_MODES].T
    largest = np.abs(modes).argmax(0)
    return modes * np.sign(modes[largest, np.arange(NUM_MODES)])


def _about(cells_a_side: int, num_train: int, num_test: int) -> str:
    """Return a description of everything that the examples depend on, which the file must contain."""
    sizes = {"cells_a_side": cells_a_side, "num_train": num_train, "num_test": num_test, "modes": NUM_MODES}
    return json.dumps({**sizes, **problem.description()}, sort_keys=True)


def _reporter(name: str) -> Callable[[int, int], None]:
    started = time.perf_counter()

    def report(done: int, count: int) -> None:
        if done % max(1, count // REPORTS) == 0 or done == count:
            seconds = time.perf_counter() - started
            print(f"{name}: {done:,} of {count:,} examples, {seconds:.0f} s", file=sys.stderr, flush=True)

    return report
