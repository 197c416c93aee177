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
from hornlib.data.splits import split_training

__all__ = ["Split", "Splits", "load", "load_with_digest", "moments"]


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
    """Return the whole dataset on the device, with mean 0 and standard deviation 1 of each channel or feature.

    x' = (x - mean) / std, where mean and std are taken over the training examples and all pixels, after the resize. A
    channel that is constant is only centred. With `input_scaling: raw` x' = x. Targets of a regression are not scaled.

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


@lru_cache(maxsize=2)
def _load(
    data: DataParameters, declaration: DatasetDeclaration, root: Path, device: torch.device
) -> tuple[Splits, str]:
    raw = read(declaration, root)
    is_classification = declaration.loss == "cross_entropy"
    strata = raw.train_targets if is_classification else torch.zeros(len(raw.train_targets), dtype=torch.long)
    train, validation = split_training(data.name, strata, data.num_validation, data.train_subset)
    targets = [raw.train_targets[train], raw.train_targets[validation], raw.test_targets]
    digest = digest_of([*_inputs(raw, train, validation), *targets])
    if data.noise:
        raw = with_noise(raw, data.noise, data.name)
    images = [resize(_as_float(part), data.image_size) for part in _inputs(raw, train, validation)]
    if data.input_scaling == "standardised":
        mean, std = moments(images[0])
        images = [(part - mean) / std for part in images]
    inputs = [present(part, data.presentation).to(device) for part in images]
    splits = (Split(part, target.to(device)) for part, target in zip(inputs, targets, strict=True))
    return Splits(*splits), digest


def _inputs(raw: Raw, train: Tensor, validation: Tensor) -> list[Tensor]:
    return [raw.train_inputs[train], raw.train_inputs[validation], raw.test_inputs]


def moments(examples: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel, (channels, 1, 1), or feature, (features,).

    A standard deviation of 0 is replaced by 1.

    Args:
        examples: (examples, channels, height, width) or (examples, features).
    """
    axes = (0, *range(2, examples.ndim))
    std, mean = torch.std_mean(examples, dim=axes, correction=0, keepdim=True)
    return mean[0], torch.where(std > 0, std, 1)[0]


def _as_float(inputs: Tensor) -> Tensor:
    return inputs.float() / 255 if inputs.dtype == torch.uint8 else inputs.float()
