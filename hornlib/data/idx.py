"""MNIST and Fashion-MNIST: their idx files, read here and downloaded through torchvision."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hornlib.data.loaders import Raw

__all__ = ["fashion_mnist", "mnist", "read_idx"]

UNSIGNED_BYTE = 8
"""The code of the numbers' type in an idx file."""


def mnist(root: Path, download: bool) -> Raw:
    """Read MNIST from `root`/MNIST/raw.

    Args:
        root: the data root.
        download: whether to download the files that do not exist.
    """
    return _read_parts(root, "MNIST", download)


def fashion_mnist(root: Path, download: bool) -> Raw:
    """Read Fashion-MNIST from `root`/FashionMNIST/raw.

    Args:
        root: the data root.
        download: whether to download the files that do not exist.
    """
    return _read_parts(root, "FashionMNIST", download)


def read_idx(path: Path) -> Tensor:
    """Return the array of an idx file: uint8, of the shape in its header, such as (examples, height, width).

    The file holds two zero bytes, the code of the type, the number of axes, the size of each axis as a big-endian
    32-bit integer, and the numbers with the last axis fastest.

    Raises:
        ValueError: the header is another one, or the length does not fit to it.
    """
    content = path.read_bytes()
    if len(content) < 4 or content[:3] != bytes([0, 0, UNSIGNED_BYTE]):
        raise ValueError(f"{path.name} does not begin like an idx file of bytes")
    start = 4 + 4 * content[3]
    shape = tuple(int(size) for size in np.frombuffer(content[4:start], ">u4"))
    numbers = np.frombuffer(content, np.uint8, offset=min(start, len(content)))
    if len(shape) != content[3] or numbers.size != int(np.prod(shape)):
        raise ValueError(f"{path.name} announces the shape {shape} and holds {numbers.size:,} numbers")
    return torch.from_numpy(numbers.reshape(shape).copy())


def _read_parts(root: Path, name: str, download: bool) -> Raw:
    folder = root / name / "raw"
    if download:
        _download_missing(folder, name)
    train_images, train_labels, test_images, test_labels = (
        read_idx(folder / f"{part}-{kind}-ubyte")
        for part in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    )
    return Raw(train_images.unsqueeze(1), train_labels.long(), test_images.unsqueeze(1), test_labels.long())


def _download_missing(folder: Path, name: str) -> None:
    """Download and unpack the files that do not exist, from the first mirror that has them."""
    import torchvision  # a second, which only a download pays

    dataset = getattr(torchvision.datasets, name)
    for archive, md5 in dataset.resources:
        errors = []
        for mirror in dataset.mirrors:
            if (folder / archive.removesuffix(".gz")).exists():
                break
            try:
                torchvision.datasets.utils.download_and_extract_archive(
                    f"{mirror}{archive}", str(folder), filename=archive, md5=md5
                )
            except (OSError, RuntimeError) as error:
                errors.append(f"{mirror}{archive}: {error}")
        if len(errors) == len(dataset.mirrors):
            raise RuntimeError("; ".join(errors))
