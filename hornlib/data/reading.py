"""Reading a dataset's files and holding them to the declaration, with errors that say what to put where."""

import importlib
import pickle
import zipfile
import zlib
from pathlib import Path

from torch import Tensor

from hornlib.data import DATASETS, DatasetDeclaration, FileLayout
from hornlib.data.checksums import damages
from hornlib.data.loaders import Raw
from hornlib.errors import DataError

__all__ = ["read"]

UNREADABLE = (
    *(OSError, RuntimeError, ValueError, TypeError, KeyError, AssertionError, EOFError),
    *(pickle.UnpicklingError, zipfile.BadZipFile, zlib.error),
)
"""What torchvision and numpy raise on a missing, truncated or foreign file, or without a network."""


def read(declaration: DatasetDeclaration, root: Path, download: bool = False) -> Raw:
    """Return the stored dataset, checked against its declaration.

    Files with a published checksum are compared with it before they are read.

    Args:
        declaration: the dataset.
        root: folder of its files.
        download: whether to download or compute the files that do not exist, where that is possible.

    Raises:
        DataError: files are missing, unreadable, those of another dataset, or not what the dataset declares.
    """
    layout = declaration.layout_in(root)
    if layout.missing(root) and not download:
        raise DataError(_absent(declaration, layout, root))
    try:
        if layout.missing(root):
            layout = declaration.layouts[0]
            raw = _loaded(layout, root, download=True)
            _check_content(declaration, layout, root)
        else:
            _check_content(declaration, layout, root)
            raw = _loaded(layout, root, download=False)
    except UNREADABLE as error:
        complaint = _absent if layout.missing(root) else _damaged
        raise DataError(
            f"{complaint(declaration, layout, root)} ({type(error).__name__}: {error})"
        ) from error
    _check_sizes(declaration, raw, root)
    return raw


def _loaded(layout: FileLayout, root: Path, download: bool) -> Raw:
    module, function = layout.loader.split(":")
    raw: Raw = getattr(importlib.import_module(module), function)(root, download)
    return raw


def _check_content(declaration: DatasetDeclaration, layout: FileLayout, root: Path) -> None:
    """Refuse files whose content is not the published one.

    Raises:
        DataError: with one phrase for each such file.
    """
    phrases = damages(layout, root, DATASETS)
    if phrases:
        raise DataError(
            f"{declaration.name}: wrong files in {root}: {'; '.join(phrases)}. {_replacement(declaration, root)}"
        )


def _replacement(declaration: DatasetDeclaration, root: Path) -> str:
    command = f"delete them and run `hornlib data {declaration.name} --root {root}`"
    remedy = {
        "served": f"Replace these files by the originals, or {command} where there is a network",
        "computed": f"To compute them again, {command}",
        "given": "Replace these files by the originals",
    }
    return remedy[declaration.origin]


def _absent(declaration: DatasetDeclaration, layout: FileLayout, root: Path) -> str:
    command = f"run `hornlib data {declaration.name} --root {root}`"
    remedy = {
        "served": f"{command} where there is a network, ",
        "computed": f"{command}, which computes them, ",
        "given": "",
    }
    instead = "".join(
        f", or those of {Path(other.files[0].path).parent},"
        for other in declaration.layouts
        if other is not layout
    )
    return (
        f"{declaration.name}: not found in {root}: {', '.join(layout.missing(root))}. "
        f"Put these files there{instead or ','} "
        f"{remedy[declaration.origin]}or point data.root in config.yaml (or the environment "
        "variable HORNLIB_DATA) to the folder that holds them"
    )


def _damaged(declaration: DatasetDeclaration, layout: FileLayout, root: Path) -> str:
    files = ", ".join(file.path for file in layout.files)
    return f"{declaration.name}: not readable in {root}: {files}. {_replacement(declaration, root)}"


def _check_sizes(declaration: DatasetDeclaration, raw: Raw, root: Path) -> None:
    """Refuse other sizes than declared, since steps per epoch are planned without the files."""
    shape = declaration.example_shape
    for part, expected, inputs, targets in (
        ("training", declaration.num_train, raw.train_inputs, raw.train_targets),
        ("test", declaration.num_test, raw.test_inputs, raw.test_targets),
    ):
        where = f"{declaration.name} in {root}: {part} part:"
        if not len(inputs) == len(targets) == expected:
            raise DataError(
                f"{where} expected {expected:,} examples, got {len(inputs):,} and {len(targets):,} targets"
            )
        if inputs.shape[1:] != shape:
            raise DataError(f"{where} expected examples of shape {shape}, got {tuple(inputs.shape[1:])}")
        _check_targets(declaration, targets, where)


def _check_targets(declaration: DatasetDeclaration, targets: Tensor, where: str) -> None:
    if declaration.loss == "mse":
        shape = (declaration.num_outputs,)
        if targets.shape[1:] != shape:
            raise DataError(f"{where} expected targets of shape {shape}, got {tuple(targets.shape[1:])}")
    elif targets.min() < 0 or targets.max() >= declaration.num_outputs:
        raise DataError(
            f"{where} expected classes 0 to {declaration.num_outputs - 1}, "
            f"got {targets.min()} to {targets.max()}"
        )
