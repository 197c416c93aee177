"""Checkpoints: saved atomically, verified by a checksum, and loaded without running code from them."""

import hashlib
import io
import os
import re
from pathlib import Path
from typing import Any

import torch

from hornlib.errors import CheckpointError

__all__ = ["load_checkpoint", "remove_checkpoint", "save_checkpoint", "set_aside"]

_HEADER = re.compile(rb"hornlib checkpoint 2 sha256 ([0-9a-f]{64})\n")
_HEADER_LENGTH = len(b"hornlib checkpoint 2 sha256 \n") + 64


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write the state under a temporary name, flush it to the disk, then rename it over the last checkpoint.

    A process that is killed leaves the old checkpoint or the new one, never a mixture.

    Args:
        path: the checkpoint. Its folder is made.
        state: tensors, numbers and strings, in lists and dicts.

    Raises:
        CheckpointError: the folder is full or cannot be written. The last checkpoint is not changed.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getbuffer()
    digest = hashlib.sha256(payload).hexdigest()
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(f"hornlib checkpoint 2 sha256 {digest}\n".encode())
            file.write(payload)
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
    header = _HEADER.fullmatch(content[:_HEADER_LENGTH])
    if header is None:
        raise CheckpointError(f"{path}: this is no hornlib checkpoint, or its beginning is lost")
    payload = memoryview(content)[_HEADER_LENGTH:]
    if hashlib.sha256(payload).hexdigest() != header[1].decode():
        raise CheckpointError(f"{path}: the checkpoint is damaged (its checksum differs)")
    return torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)


def set_aside(path: Path) -> Path:
    """Rename a damaged checkpoint, so that training can start again and the file can still be inspected."""
    aside = path.with_name(f"{path.name}.damaged")
    os.replace(path, aside)
    return aside


def remove_checkpoint(path: Path) -> None:
    """Remove a checkpoint that is no longer needed."""
    path.unlink(missing_ok=True)
