"""What a loader returns, and the loaders of datasets that need no torchvision."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hornlib.data.splits import stratified_order
from hornlib.randomness import generator

__all__ = ["Raw", "digits", "photo_patches"]


class Raw(NamedTuple):
    """A whole dataset as stored.

    Inputs are (examples, channels, height, width) or (examples, features): uint8 is read as x / 255, floats are
    taken as they are.
    Targets are int64 classes (examples,), or float32 (examples, num_outputs) of a regression.
    """

    train_inputs: Tensor
    train_targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor


def digits(root: Path, download: bool) -> Raw:
    """Read scikit-learn's digits (grey levels 0 to 16, here 0 to 1) and cut off a fixed stratified test part.

    scikit-learn ships the examples, so nothing is read below `root` and nothing is downloaded.
    """
    from sklearn.datasets import load_digits  # a second that other datasets need not pay

    stored = load_digits()
    images = torch.from_numpy(stored.images).float().unsqueeze(1) / 16
    targets = torch.from_numpy(stored.target).long()
    order = stratified_order(targets, generator("test split", "digits"))
    test, train = order[:360].sort().values, order[360:].sort().values
    return Raw(images[train], targets[train], images[test], targets[test])


def photo_patches(root: Path, download: bool) -> Raw:
    """Read photo_patches.npz, which must be given: nobody serves it, so that `download` changes nothing."""
    with np.load(root / "photo_patches.npz") as stored:
        images = [
            torch.from_numpy(stored[f"{part}_images"]).permute(0, 3, 1, 2).contiguous()
            for part in ("train", "test")
        ]
        targets = [torch.from_numpy(stored[f"{part}_labels"]).long() for part in ("train", "test")]
    return Raw(images[0], targets[0], images[1], targets[1])
