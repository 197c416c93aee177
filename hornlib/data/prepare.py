"""Fetching or computing a dataset before any job starts, on a machine that has a network and time."""

from pathlib import Path

from hornlib.data import DATASETS
from hornlib.data.reading import missing_files, read
from hornlib.errors import DataError, nearest

__all__ = ["prepare"]


def prepare(name: str, root: Path) -> Path:
    """Make sure that a dataset can be read below `root`, and return `root`.

    Files that are there are checked and used as they are, and nothing is written; otherwise torchvision
    downloads them where the dataset is served, or they are computed. Archives that were put there by hand are
    unpacked.

    Args:
        name: a key of `hornlib.data.DATASETS`.
        root: folder of the files, created only where files are missing.

    Raises:
        DataError: the name is unknown, files are damaged, or cannot be had.
    """
    if name not in DATASETS:
        raise DataError(f"unknown dataset {name!r}; valid: {', '.join(DATASETS)}{nearest(name, DATASETS)}")
    declaration = DATASETS[name]
    read(declaration, root, download=bool(missing_files(declaration, root)))
    return root
