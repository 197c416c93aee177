"""Download or computation of a dataset before any job starts, on a machine that has a network and time."""

from pathlib import Path

from hornlib.data import DATASETS
from hornlib.data.reading import read
from hornlib.errors import DataError, nearest

__all__ = ["prepare"]


def prepare(name: str, root: Path) -> Path:
    """Make sure that a dataset can be read below `root`, and return `root`.

    Existing files are checked and used as they are; nothing is written. Missing files are downloaded through
    torchvision where the dataset is served, or computed. Archives that somebody put into the folder are unpacked.

    Args:
        name: a key of `hornlib.data.DATASETS`.
        root: folder of the files, created only if files are missing.

    Raises:
        DataError: the name is unknown, or files are damaged or cannot be obtained.
    """
    if name not in DATASETS:
        raise DataError(f"unknown dataset {name!r}; valid: {', '.join(DATASETS)}{nearest(name, DATASETS)}")
    declaration = DATASETS[name]
    read(declaration, root, download=bool(declaration.missing_files(root)))
    return root
