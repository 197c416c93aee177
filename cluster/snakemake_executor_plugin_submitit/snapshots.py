"""The code that runs is the code that was submitted: packages and the node's program, named by their digest."""

import hashlib
import importlib.util
import io
import os
import zipfile
from pathlib import Path

from snakemake_executor_plugin_submitit.task import DIGITS, is_unchanged

__all__ = ["LAUNCHER", "SnapshotError", "restore", "snapshot", "store"]

SKIPPED = {"__pycache__", ".git", ".mypy_cache", ".ruff_cache"}

LAUNCHER = f"""\
import hashlib, sys, time
del sys.argv[0]
for second in range(60):
    try:
        code = open(sys.argv[0], "rb").read()
    except OSError:
        code = b""
    if sys.argv[0].endswith(hashlib.sha256(code).hexdigest()[:{DIGITS}] + ".py"):
        break
    time.sleep(1)
else:
    sys.exit(sys.argv[0] + " is not the code that was submitted")
exec(compile(code, sys.argv[0], "exec"))
"""
"""The program that `python -c` gets: it compares a stored Python file with the digest in its name, and executes it.

It stands in the batch script, of which SLURM keeps a copy, so that nothing on the shared disk can change it. A shared
file system may show a new file up to a minute late.
"""


class SnapshotError(ValueError):
    """A package that cannot be put into a zip."""


def store(folder: Path, stem: str, suffix: str, content: bytes) -> Path:
    """Write a file whose name holds its digest, unless an undamaged one exists, and return its path.

    Args:
        folder: where the file lies; it is made.
        stem: the beginning of the name.
        suffix: the end of the name, e.g. .py
        content: the bytes.

    Raises:
        OSError: the folder cannot be written.
    """
    target = folder / f"{stem}-{hashlib.sha256(content).hexdigest()[:DIGITS]}{suffix}"
    restore(target, content)
    return target


def restore(target: Path, content: bytes) -> None:
    """Write a file whose name holds its digest, unless it is there and undamaged.

    Args:
        target: the file.
        content: the bytes.

    Raises:
        OSError: the folder cannot be written.
    """
    if is_unchanged(target):
        return
    folder = target.parent
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # of the new name
    finally:
        os.close(descriptor)


def snapshot(package: str, folder: Path) -> Path:
    """Zip an importable package into the folder, unless an undamaged zip of that content exists, and return the zip.

    Args:
        package: its name, e.g. hornlib.
        folder: the executor's folder; the zips lie in its folder `snapshots`.

    Raises:
        SnapshotError: there is no such package, or it is not a folder of Python files.
        OSError: the folder cannot be written.
    """
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise SnapshotError(f"--submitit-snapshot {package}: there is no package of this name to import")
    root = Path(next(iter(spec.submodule_search_locations)))
    files = sorted(
        path for path in root.rglob("*") if path.is_file() and not SKIPPED & set(path.relative_to(root).parts)
    )
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for path in files:
            name = f"{package.replace('.', '/')}/{path.relative_to(root).as_posix()}"
            # A ZipInfo without a time: the same content is always the same zip.
            archive.writestr(zipfile.ZipInfo(name), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return store(folder / "snapshots", package, ".zip", stream.getvalue())
