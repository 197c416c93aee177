"""Reading a dataset's files and holding them to the declaration, with errors that say what to put where."""

import importlib
import pickle
import zipfile
from pathlib import Path

from torch import Tensor

from hornlib.data import DatasetDeclaration
from hornlib.data.loaders import Raw
from hornlib.errors import DataError

__all__ = ["missing_files", "read"]

UNREADABLE = (
    *(OSError, RuntimeError, ValueError, TypeError, KeyError, AssertionError, EOFError),
    *(pickle.UnpicklingError, zipfile.BadZipFile),
)
"""What torchvision and numpy raise on a missing, truncated or foreign file, or without a network."""


def read(declaration: DatasetDeclaration, root: Path, download: bool = False) -> Raw:
    """Return the stored dataset, checked against its declaration.

    Args:
        declaration: the dataset.
        root: folder of its files.
        download: fetch or compute what is missing, where that can be done.

    Raises:
        DataError: files are missing, unreadable, or not what the dataset declares.
    """
    module, function = declaration.loader.split(":")
    loader = getattr(importlib.import_module(module), function)
    try:
        raw = loader(root, download)
    except UNREADABLE as error:
        missing = missing_files(declaration, root)
        if missing and not download:
            raise DataError(_absent(declaration, root, missing)) from error
        complaint = _absent(declaration, root, missing) if missing else _damaged(declaration, root)
        raise DataError(f"{complaint} ({type(error).__name__}: {error})") from error
    _check(declaration, raw, root)
    return raw


def missing_files(declaration: DatasetDeclaration, root: Path) -> list[str]:
    """Return the declared files that are not under the root."""
    return [file for file in declaration.files if not (root / file).exists()]


def _absent(declaration: DatasetDeclaration, root: Path, missing: list[str]) -> str:
    command = f"run `hornlib data {declaration.name} --root {root}`"
    remedy = {
        "served": f"{command} where there is a network, ",
        "computed": f"{command}, which computes them, ",
        "given": "",
    }
    return (
        f"{declaration.name}: not found in {root}: {', '.join(missing)}. Put these files there, "
        f"{remedy[declaration.origin]}or point data.root in config.yaml (or the environment "
        "variable HORNLIB_DATA) to the folder that holds them"
    )


def _damaged(declaration: DatasetDeclaration, root: Path) -> str:
    files = ", ".join(declaration.files)
    again = f"; `hornlib data {declaration.name} --root {root}` makes anew what was deleted"
    return (
        f"{declaration.name}: not readable in {root}; replace the damaged ones of {files}"
        f"{again if declaration.origin == 'computed' else ''}"
    )


def _check(declaration: DatasetDeclaration, raw: Raw, root: Path) -> None:
    """Refuse other sizes than declared, since steps per epoch are planned without the files."""
    shape = declaration.example_shape
    for part, expected, inputs, targets in (
        ("training", declaration.num_train, raw.train_inputs, raw.train_targets),
        ("test", declaration.num_test, raw.test_inputs, raw.test_targets),
    ):
        where = f"{declaration.name} in {root}: {part} part:"
        if not len(inputs) == len(targets) == expected:
            raise DataError(
                f"{where} expected {expected:,} examples, found {len(inputs):,} and {len(targets):,} targets"
            )
        if inputs.shape[1:] != shape:
            raise DataError(f"{where} expected examples of shape {shape}, found {tuple(inputs.shape[1:])}")
        _check_targets(declaration, targets, where)


def _check_targets(declaration: DatasetDeclaration, targets: Tensor, where: str) -> None:
    if declaration.loss == "mse":
        shape = (declaration.num_outputs,)
        if targets.shape[1:] != shape:
            raise DataError(f"{where} expected targets of shape {shape}, found {tuple(targets.shape[1:])}")
    elif targets.min() < 0 or targets.max() >= declaration.num_outputs:
        raise DataError(
            f"{where} expected classes 0 to {declaration.num_outputs - 1}, "
            f"found {targets.min()} to {targets.max()}"
        )
