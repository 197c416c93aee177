"""Loaders of torchvision's datasets, apart because importing torchvision takes a second."""

from pathlib import Path

import torch
import torchvision

from hornlib.data.loaders import Raw

__all__ = ["cifar10", "cifar100", "fashion_mnist", "from_torchvision", "mnist"]


def from_torchvision(dataset: type[torchvision.datasets.VisionDataset], root: Path, download: bool) -> Raw:
    """Read both parts of a torchvision dataset that holds images in `.data` and classes in `.targets`."""
    parts = [dataset(str(root), train=train, download=download) for train in (True, False)]
    inputs = [torch.as_tensor(part.data) for part in parts]
    images = [
        array.unsqueeze(1) if array.ndim == 3 else array.permute(0, 3, 1, 2).contiguous() for array in inputs
    ]
    targets = [torch.as_tensor(part.targets) for part in parts]
    return Raw(images[0], targets[0], images[1], targets[1])


def mnist(root: Path, download: bool) -> Raw:
    """Read MNIST's idx files."""
    return from_torchvision(torchvision.datasets.MNIST, root, download)


def fashion_mnist(root: Path, download: bool) -> Raw:
    """Read Fashion-MNIST's idx files."""
    return from_torchvision(torchvision.datasets.FashionMNIST, root, download)


def cifar10(root: Path, download: bool) -> Raw:
    """Read CIFAR-10's pickled batches, whose checksums torchvision verifies."""
    return from_torchvision(torchvision.datasets.CIFAR10, root, download)


def cifar100(root: Path, download: bool) -> Raw:
    """Read CIFAR-100's pickled batches with their fine labels; torchvision verifies the checksums."""
    return from_torchvision(torchvision.datasets.CIFAR100, root, download)
