"""The result of a loader, and the loaders of digits and photo_patches."""

import importlib.util
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hornlib.data.splits import stratified_order
from hornlib.errors import DataError
from hornlib.randomness import generator

__all__ = ["Raw", "digits", "photo_patches"]


class Raw(NamedTuple):
    """A whole dataset as stored.

    Attributes:
        train_inputs, test_inputs: (examples, channels, height, width) or (examples, features). uint8 means x / 255;
            floats are used as they are.
        train_targets, test_targets: classes (examples,), int64; or (examples, num_outputs), float32, of a regression.
    """

    train_inputs: Tensor
    train_targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor


def digits(root: Path, download: bool) -> Raw:
    """Return scikit-learn's digits (grey levels 0 to 16, here 0 to 1) with a fixed stratified test part.

    Args:
        root: not used, since scikit-learn contains the examples.
        download: not used.

    Raises:
        DataError: scikit-learn is not installed.
    """
    # The rows of the file are what `sklearn.datasets.load_digits` returns. That import takes 2 s and 120 MB.
    package = importlib.util.find_spec("sklearn")
    if package is None or not package.submodule_search_locations:
        raise DataError(
            "digits: scikit-learn, which contains the examples, is not installed; "
            "run `pip install scikit-learn`"
        )
    file = Path(package.submodule_search_locations[0], "datasets", "data", "digits.csv.gz")
    rows = torch.from_numpy(np.loadtxt(file, delimiter=","))
    images, targets = rows[:, :-1].float().view(-1, 1, 8, 8) / 16, rows[:, -1].long()
    order = stratified_order(targets, generator("test split", "digits"))
    test, train = order[:360].sort().values, order[360:].sort().values
    return Raw(images[train], targets[train], images[test], targets[test])


def photo_patches(root: Path, download: bool) -> Raw:
    """Read photo_patches.npz.

    Args:
        root: folder of the file.
        download: not used, since no server has the file.
    """
    with np.load(root / "photo_patches.npz") as stored:
        images = [
            torch.from_numpy(stored[f"{part}_images"]).permute(0, 3, 1, 2).contiguous()
            for part in ("train", "test")
        ]
        targets = [torch.from_numpy(stored[f"{part}_labels"]).long() for part in ("train", "test")]
    return Raw(images[0], targets[0], images[1], targets[1])
