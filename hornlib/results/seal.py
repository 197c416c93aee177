"""Seals: a netCDF file ends with the SHA-256 of all bytes before it, which is verified before a C library reads it.

netCDF and HDF5 trust what a file says about itself. One changed bit can make them run for ever, crash, or return other
numbers. Any program still reads a sealed file, because HDF5 ignores bytes after the end that the file names. A seal
finds damage. It is no signature: everybody can seal a file that they made.
"""

import hashlib
import os
import re
import shlex
from functools import cache
from pathlib import Path

from hornlib.errors import ResultsError
from hornlib.results.file_kind import FileKind

__all__ = ["fault_of", "has_seal", "is_unsealed", "read_sealed", "seal"]

_SEAL = re.compile(rb"\nhornlib sha256 ([0-9a-f]{64})\n")
_LENGTH = len(b"\nhornlib sha256 \n") + 64


def seal(path: Path) -> None:
    """Append the SHA-256 of a file to it.

    Raises:
        OSError: the file cannot be read or written.
    """
    with path.open("r+b") as file:
        file.write(_seal_of(hashlib.file_digest(file, "sha256").hexdigest()))


def has_seal(content: bytes) -> bool:
    """Return whether the content of a file ends with a seal, be it the right one or not."""
    return _SEAL.fullmatch(content[-_LENGTH:]) is not None


def is_unsealed(path: Path) -> bool:
    """Return whether a file can be read and ends with no seal: an earlier hornlib wrote it, or it was cut off."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LENGTH))
            return not has_seal(file.read())
    except OSError:
        return False


def read_sealed(path: Path, kind: FileKind) -> memoryview:
    """Return the content of a file without its seal, after verifying it.

    Args:
        path: the file.
        kind: the expected kind; the message says how such a file is made anew.

    Raises:
        ResultsError: the file is missing, cannot be read, is damaged or has no seal.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise ResultsError(f"{path}: there is no such file. {kind.missing or kind.remedy}") from None
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read ({error.strerror}). {kind.remedy}") from None
    if not has_seal(content):
        raise ResultsError(
            f"{path}: damaged, or a {kind.name} of an earlier hornlib or of another program: no SHA-256 stands at its "
            f"end. `hornlib seal {shlex.quote(str(path))}` reads it to its end, and seals it if it is whole; `hornlib "
            f"seal results/*.nc results/*/*.nc` does so for a sweep. If it is refused: {kind.remedy}"
        )
    sealed, end = memoryview(content)[:-_LENGTH], content[-_LENGTH:]
    if end != _seal_of(hashlib.sha256(sealed).hexdigest()):
        raise ResultsError(
            f"{path}: damaged: its bytes do not have the SHA-256 that stands at its end. {kind.remedy}"
        )
    return sealed


def _seal_of(digest: str) -> bytes:
    return f"\nhornlib sha256 {digest}\n".encode()


def fault_of(path: Path, kind: FileKind) -> str:
    """Return what is wrong with a file, and what to do; "" for a file whose seal is right, or that does not exist.

    A process reads a file once, and again if its size, its inode or its time of modification changed.

    Args:
        path: the file.
        kind: the expected kind.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"{path}: cannot be read ({error.strerror}). {kind.remedy}"
    return _fault(path, kind, status.st_size, status.st_ino, status.st_mtime_ns)


@cache
def _fault(path: Path, kind: FileKind, num_bytes: int, inode: int, modified_ns: int) -> str:
    try:
        read_sealed(path, kind)
    except ResultsError as error:
        return str(error)
    return ""
