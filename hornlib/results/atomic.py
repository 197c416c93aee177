"""Files that are there whole or not at all: written under a temporary name, forced to the disk, renamed."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hornlib.errors import ResultsError

__all__ = ["written_atomically"]


@contextmanager
def written_atomically(path: Path, overwrite: bool = True) -> Iterator[Path]:
    """Give a temporary name in the same folder; what was written there becomes `path` when the block ends.

    A kill at any moment leaves the old file or the new one. After an error the temporary file is gone and
    `path` is as it was.

    Args:
        path: where the file belongs; its folder is made.
        overwrite: whether a file that is there already is replaced, or refused.

    Raises:
        ResultsError: the folder is full or cannot be written, or the file is there and must not be replaced.
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
        raise ResultsError(f"{path}: there is such a file already; it is left as it is") from None
    except (
        OSError,
        RuntimeError,
    ) as error:  # a full disk is a RuntimeError of netCDF4
        raise _unwritable(path, error) from error
    finally:
        with suppress(OSError):  # an unlink that fails must not hide why the writing did
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
