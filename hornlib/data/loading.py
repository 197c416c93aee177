"""From files to tensors on the device: read, split, resize, standardise and present."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from hornlib.data import DatasetDeclaration
from hornlib.data.checksums import digest_of
from hornlib.data.loaders import Raw
from hornlib.data.noise import with_noise
from hornlib.data.parameters import DataParameters
from hornlib.data.presentation import present, resize
from hornlib.data.reading import read
from hornlib.data.scaling import SCALINGS
from hornlib.data.splits import split_training

__all__ = ["Split", "Splits", "load", "load_with_digest"]


class Split(NamedTuple):
    """Examples on the device.

    Attributes:
        inputs: float32, (examples, *input_shape) in the shape of `DataParameters.task`.
        targets: classes (examples,), int64; or (examples, num_outputs), float32, of a regression.
    """

    inputs: Tensor
    targets: Tensor


class Splits(NamedTuple):
    """The three disjoint parts of a dataset; `validation` has no examples if `validation: 0`."""

    train: Split
    validation: Split
    test: Split


def load(data: DataParameters, device: torch.device | str) -> Splits:
    """Return the whole dataset on the device, scaled as `input_scaling` says (`hornlib.data.scaling`).

    By default x' = (x - mean) / std, where mean and std are taken over the training examples and all pixels, after the
    resize. A channel that is constant is only centred. Targets of a regression are not scaled.

    Everything is computed on the CPU, so that the numbers are the same on every device. Memory on the device is 4 bytes
    a number: MNIST 220 MB, CIFAR 737 MB, times (image_size / stored size)^2. The last two datasets of a process stay in
    memory for later calls: treat the tensors as read-only.

    Args:
        data: which dataset, in which presentation.
        device: where the tensors are stored.

    Raises:
        DataError: files are missing, unreadable, or not what the dataset declares.
    """
    return load_with_digest(data, device)[0]


def load_with_digest(data: DataParameters, device: torch.device | str) -> tuple[Splits, str]:
    """Return what `load` returns, and the digest of its examples: inputs and targets of all three parts.

    The digest is that of the stored examples after the split, before noise, resize and standardisation. Those follow
    from the parameters, which a cell's name contains, but their last bits depend on the machine. The digest is the same
    on every machine, and in every presentation of the same examples.

    Args:
        data: which dataset, in which presentation.
        device: where the tensors are stored.

    Raises:
        DataError: files are missing, unreadable, or not what the dataset declares.
    """
    return _load(data, data.declaration, data.root_path().absolute(), torch.device(device))


@lru_cache(maxsize=2)  # two, since some experiments turn again and again from one presentation to another
def _load(
    data: DataParameters, declaration: DatasetDeclaration, root: Path, device: torch.device
) -> tuple[Splits, str]:
    parts, targets, digest = _read_parts(data, declaration, root)
    inputs, change = [], None
    # Each part becomes floats in its turn, which then change in place: memory holds little more than the result.
    while parts:
        images = resize(_as_float(parts.pop(0)), data.image_size)
        change = change or SCALINGS[data.input_scaling](
            images, declaration.white_level
        )  # the training part is first
        inputs.append(present(change(images), data.presentation).to(device))
    splits = (Split(part, target.to(device)) for part, target in zip(inputs, targets, strict=True))
    return Splits(*splits), digest


def _read_parts(
    data: DataParameters, declaration: DatasetDeclaration, root: Path
) -> tuple[list[Tensor], list[Tensor], str]:
    """Return the inputs of the three parts as stored, with noise; their targets; the digest of both without noise."""
    raw = read(declaration, root)
    is_classification = declaration.loss == "cross_entropy"
    strata = raw.train_targets if is_classification else torch.zeros(len(raw.train_targets), dtype=torch.long)
    train, validation = split_training(data.name, strata, data.num_validation, data.train_subset)
    targets = [raw.train_targets[train], raw.train_targets[validation], raw.test_targets]
    parts = _inputs(raw, train, validation)
    digest = digest_of([*parts, *targets])
    if data.noise:
        parts = _inputs(with_noise(raw, data.noise, data.name), train, validation)
    return parts, targets, digest


def _inputs(raw: Raw, train: Tensor, validation: Tensor) -> list[Tensor]:
    return [raw.train_inputs[train], raw.train_inputs[validation], raw.test_inputs]


def _as_float(inputs: Tensor) -> Tensor:
    """Return a copy as float32, which the caller may change; bytes are divided by 255."""
    floats = inputs.to(torch.float32, copy=True)
    return floats.div_(255) if inputs.dtype == torch.uint8 else floats
