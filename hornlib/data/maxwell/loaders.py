"""Loaders of the Maxwell examples: the forward map to POD coefficients, and the ill-posed inverse."""

from functools import partial
from pathlib import Path

import torch

from hornlib.data import MAXWELL, MAXWELL_SMALL, MaxwellFile
from hornlib.data.loaders import Raw
from hornlib.data.maxwell import problem
from hornlib.data.maxwell.examples import Examples, ensure, read_examples
from hornlib.data.maxwell.problem import Array

__all__ = ["examples_of", "forward", "forward_small", "inverse", "inverse_small"]


def examples_of(stored: MaxwellFile, root: Path, download: bool = False) -> Examples:
    """Return the whole content of a file, with the POD's floor.

    Args:
        stored: `hornlib.data.MAXWELL` or `MAXWELL_SMALL`.
        root: folder of the file.
        download: whether to compute the file if it does not exist; this takes minutes for 8 cells a side.
    """
    path = root / stored.file
    if download:
        ensure(path, *stored[1:])
    return read_examples(path, *stored[1:])


def forward(root: Path, download: bool, stored: MaxwellFile = MAXWELL) -> Raw:
    """Read the forward map: from the five numbers xi to the 20 POD coefficients of the inner field.

    Args:
        root: folder of the file.
        download: whether to compute the file if it does not exist.
        stored: which file.
    """
    examples = examples_of(stored, root, download)
    return _parts(stored, examples.xi, examples.coefficients)


def inverse(root: Path, download: bool, stored: MaxwellFile = MAXWELL) -> Raw:
    """Read the inverse: from the tangential curl of u at 50 points of one face to xi, standardised; without noise.

    Args:
        root: folder of the file.
        download: whether to compute the file if it does not exist.
        stored: which file.
    """
    examples = examples_of(stored, root, download)
    return _parts(stored, examples.readings, problem.standardised(examples.xi))


forward_small = partial(forward, stored=MAXWELL_SMALL)
inverse_small = partial(inverse, stored=MAXWELL_SMALL)


def _parts(stored: MaxwellFile, inputs: Array, targets: Array) -> Raw:
    x, y = torch.from_numpy(inputs).float(), torch.from_numpy(targets).float()
    cut = stored.num_train
    return Raw(x[:cut], y[:cut], x[cut:], y[cut:])
