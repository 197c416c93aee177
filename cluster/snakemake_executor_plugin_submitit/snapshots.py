"""The code that runs is the code that was submitted: packages as zips, named by their content."""

import hashlib
import importlib.util
import os
import zipfile
from pathlib import Path

__all__ = ["SnapshotError", "snapshot"]

SKIPPED = {"__pycache__", ".git", ".mypy_cache", ".ruff_cache"}


class SnapshotError(ValueError):
    """A package that cannot be put into a zip."""


def snapshot(package: str, folder: Path) -> Path:
    """Zip an importable package into the folder, unless a zip of that content is there, and return the zip.

    Args:
        package: its name, e.g. hornlib.
        folder: where the zips lie.

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
    contents = [
        (f"{package.replace('.', '/')}/{path.relative_to(root).as_posix()}", path.read_bytes())
        for path in files
    ]
    digest = hashlib.sha256()
    for name, content in contents:
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    target = folder / "snapshots" / f"{package}-{digest.hexdigest()[:16]}.zip"
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    os.replace(temporary, target)
    return target
