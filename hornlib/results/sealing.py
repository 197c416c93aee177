"""Sealing the files of an earlier hornlib: another process reads each to its end, and only then the file is sealed."""

import multiprocessing
from collections.abc import Callable, Sequence
from importlib import import_module
from multiprocessing.pool import Pool
from pathlib import Path

from hornlib.errors import ResultsError
from hornlib.results.file_kind import FileKind
from hornlib.results.netcdf import check_unsealed
from hornlib.results.seal import has_seal, read_sealed, seal

__all__ = ["LimitedReader", "seal_files"]

SECONDS = 60.0
"""Time to read a file of 1 MB; HDF5 may run for ever in a damaged one."""

BYTES_A_SECOND = 1e7
"""Reading a large file takes a second more for so many bytes."""

ANY_FILE = FileKind("netCDF file", 0, "Delete it, and give the command that made it again")


def seal_files(
    paths: Sequence[Path], report: Callable[[str], None] = print, seconds: float = SECONDS
) -> list[Path]:
    """Seal the files that have no seal, verify the others, and return those that are damaged; these stay as they are.

    Args:
        paths: netCDF files.
        report: is called with one line for each file that is sealed or refused, and with a summary.
        seconds: time to read a small file.
    """
    refused: list[Path] = []
    num_sealed = 0
    with LimitedReader(seconds) as reader:
        for path in paths:
            try:
                if has_seal(_content(path)):
                    read_sealed(path, ANY_FILE)
                    continue
                reader.read(path)
                seal(path)
            except (ResultsError, OSError) as error:
                report(f"refused: {str(error) if str(path) in str(error) else f'{path}: {error}'}")
                refused.append(path)
            else:
                report(f"sealed: {path}")
                num_sealed += 1
    num_whole = len(paths) - num_sealed - len(refused)
    report(f"{num_sealed} file(s) sealed, {num_whole} were sealed already, {len(refused)} refused")
    return refused


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ResultsError(f"{path}: cannot be read ({error.strerror})") from None


class LimitedReader:
    """A process that reads files to their ends; it is ended, and a new one begun, where a file takes too long.

    Args:
        seconds: time to read a small file.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.pool: Pool | None = None

    def __enter__(self) -> "LimitedReader":
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def read(self, path: Path) -> None:
        """Read a file to its end.

        Raises:
            ResultsError: the file is damaged, or reading it takes too long.
        """
        if self.pool is None:
            self.pool = multiprocessing.get_context("spawn").Pool(1, import_module, ("netCDF4",))
            self.pool.apply(int)  # the import takes seconds, which are no time of reading
        seconds = self.seconds + path.stat().st_size / BYTES_A_SECOND
        try:
            self.pool.apply_async(check_unsealed, (path,)).get(seconds)
        except multiprocessing.TimeoutError:
            self._end()
            raise ResultsError(
                f"{path}: damaged: HDF5 did not read it to its end in {seconds:.0f} s"
            ) from None

    def _end(self) -> None:
        if self.pool is not None:
            self.pool.terminate()
            self.pool.join()
            self.pool = None
