"""Checkpoints: saved atomically, verified by a checksum, and loaded without running code from them."""

import os
from pathlib import Path
from typing import Any

from hornlib.errors import CheckpointError
from hornlib.training.tensor_file import packed, unpacked

__all__ = ["load_checkpoint", "remove_checkpoint", "save_checkpoint", "set_aside"]

KIND = "checkpoint 2"


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write the state under a temporary name, flush it to the disk, then rename it over the last checkpoint.

    A process that is killed leaves the old checkpoint or the new one, never a mixture.

    Args:
        path: the checkpoint. Its folder is made.
        state: tensors, numbers and strings, in lists and dicts.

    Raises:
        CheckpointError: the folder is full or cannot be written. The last checkpoint is not changed.
    """
    parts = packed(KIND, state)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CheckpointError(
            f"{path}: the checkpoint cannot be saved ({error.strerror}); the last one is kept. Free the disk, or set "
            "`checkpoints:` in config.yaml to a folder with room, and give the same command again"
        ) from error


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """Return the state, with its tensors on the CPU; None if the file does not exist.

    Raises:
        CheckpointError: the file is damaged, or it is no checkpoint of this format.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CheckpointError(f"{path}: the checkpoint cannot be read ({error.strerror})") from error
    try:
        return unpacked(KIND, content)
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from None


def set_aside(path: Path) -> Path:
    """Rename a damaged checkpoint, so that training can start again and the file can still be inspected."""
    aside = path.with_name(f"{path.name}.damaged")
    os.replace(path, aside)
    return aside


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint that is no longer needed."""
    path.unlink(missing_ok=True)
