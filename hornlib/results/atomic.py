"""Atomic files: written under a temporary name, flushed to the disk, and then renamed."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hornlib.errors import ResultsError

__all__ = ["written_atomically"]


@contextmanager
def written_atomically(path: Path, overwrite: bool = True) -> Iterator[Path]:
    """Give a temporary name in the same folder; the file written there is renamed to `path` when the block ends.

    A kill at any moment leaves the old file or the new one. After an error, the temporary file is removed and `path` is
    unchanged. The block only writes: an OSError in it counts as an error of the writing, any other error stays itself.

    Args:
        path: the final name; its folder is made.
        overwrite: whether an existing file is replaced; otherwise it is an error.

    Raises:
        ResultsError: the disk is full, the folder cannot be written, or the file exists and must not be replaced.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        _sync(temporary)
        if overwrite:
            os.replace(temporary, path)
        else:
            os.link(temporary, path)
        _sync(path.parent)
    except FileExistsError as error:
        if overwrite:
            raise _unwritable(path, error) from error
        raise ResultsError(f"{path}: the file exists already, and stays unchanged") from None
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError):  # a failing unlink must not hide the error of the writing
            temporary.unlink()


def _unwritable(path: Path, error: Exception) -> ResultsError:
    reason = getattr(error, "strerror", None) or str(error)
    return ResultsError(
        f"{path}: cannot be written ({reason}). Is the disk full, or the folder read-only? Make room, or set "
        "`results:` in config.yaml to a folder that can be written, and give the same command again"
    )


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
