"""CIFAR-10 and CIFAR-100, as pickled batches through torchvision and in the official binary version."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hornlib.data.loaders import Raw

__all__ = ["cifar10", "cifar10_binary", "cifar100", "cifar100_binary", "read_records"]

SHAPE = (3, 32, 32)
"""Channels (red, green, blue), height and width of an image, which is also the order of its bytes in a file."""


def cifar10(root: Path, download: bool) -> Raw:
    """Read CIFAR-10 from the pickled batches in `root`/cifar-10-batches-py.

    Args:
        root: the data root.
        download: whether torchvision downloads the files that do not exist.
    """
    return _from_torchvision("CIFAR10", root, download)


def cifar100(root: Path, download: bool) -> Raw:
    """Read CIFAR-100 with its 100 fine classes from the pickles in `root`/cifar-100-python.

    Args:
        root: the data root.
        download: whether torchvision downloads the files that do not exist.
    """
    return _from_torchvision("CIFAR100", root, download)


def cifar10_binary(root: Path, download: bool) -> Raw:
    """Read CIFAR-10 from the binary batches in `root`/cifar-10-batches-bin.

    Args:
        root: the data root.
        download: not used; `cifar10` is what is downloaded.
    """
    folder = root / "cifar-10-batches-bin"
    train = read_records([folder / f"data_batch_{number}.bin" for number in range(1, 6)], num_labels=1)
    return Raw(*train, *read_records([folder / "test_batch.bin"], num_labels=1))


def cifar100_binary(root: Path, download: bool) -> Raw:
    """Read CIFAR-100 with its 100 fine classes from the binary files in `root`/cifar-100-binary.

    Args:
        root: the data root.
        download: not used; `cifar100` is what is downloaded.
    """
    folder = root / "cifar-100-binary"
    train = read_records([folder / "train.bin"], num_labels=2)
    return Raw(*train, *read_records([folder / "test.bin"], num_labels=2))


def read_records(paths: Sequence[Path], num_labels: int) -> tuple[Tensor, Tensor]:
    """Return the images (examples, 3, 32, 32), uint8, and the classes (examples,), int64, of binary files.

    A record is the bytes of its labels, of which the last one is the finest, and 3,072 bytes of pixels: 1,024 red,
    1,024 green, 1,024 blue, each row by row.

    Args:
        paths: the files, in the order of their examples.
        num_labels: label bytes of a record: 1 in CIFAR-10; 2 in CIFAR-100, the coarse and the fine one.

    Raises:
        ValueError: a file does not hold whole records.

    Source: www.cs.toronto.edu/~kriz/cifar.html, "Binary version".
    """
    length = num_labels + int(np.prod(SHAPE))
    files = [np.fromfile(path, np.uint8) for path in paths]
    for path, content in zip(paths, files, strict=True):
        if content.size % length:
            raise ValueError(f"{path.name} has {content.size:,} bytes, which is no multiple of {length:,}")
    records = torch.from_numpy(np.concatenate(files)).view(-1, length)
    return records[:, num_labels:].contiguous().view(-1, *SHAPE), records[:, num_labels - 1].long()


def _from_torchvision(name: str, root: Path, download: bool) -> Raw:
    import torchvision  # a second, which only the pickled version pays

    dataset = getattr(torchvision.datasets, name)
    train, test = (dataset(str(root), train=is_train, download=download) for is_train in (True, False))
    images = [torch.from_numpy(part.data).permute(0, 3, 1, 2).contiguous() for part in (train, test)]
    targets = [torch.as_tensor(part.targets) for part in (train, test)]
    return Raw(images[0], targets[0], images[1], targets[1])
