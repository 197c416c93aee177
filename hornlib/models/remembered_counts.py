"""Counts that need a built network, stored in a cache file so that the next process needs no torch."""

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

__all__ = ["cache_path", "read_counts", "remember_counts"]


def cache_path(name: str) -> Path | None:
    """Return the file of that name in hornlib's part of the user's cache folder: XDG_CACHE_HOME, or ~/.cache.

    A user without a home folder, such as an unknown number in a container, has no cache: None.
    """
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # HOME is not set, and the user database does not know the user
        return None
    return folder / "hornlib" / name


def read_counts(path: Path | None, code: str, length: int) -> dict[str, list[int]]:
    """Return the counts in a cache file, by key; nothing if the file is missing, damaged, or made by other code.

    Args:
        path: from `cache_path`; None: there is no cache.
        code: digest of the code that decides the counts.
        length: how many numbers an entry has; other entries are skipped.
    """
    if path is None:
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries = dict(content["counts"])
        if content["code"] != code or content["digest"] != _digest(entries):
            return {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {
        key: numbers
        for key, numbers in entries.items()
        if isinstance(numbers, list)
        and len(numbers) == length
        and all(isinstance(number, int) for number in numbers)
    }


def remember_counts(path: Path | None, code: str, key: str, numbers: Sequence[int]) -> None:
    """Add an entry and replace the whole file. If the file cannot be written, the next process counts again.

    Args:
        path: from `cache_path`; None: there is no cache.
        code: digest of the code that decides the counts.
        key: of the entry.
        numbers: the counts.
    """
    if path is None:
        return
    entries = {**read_counts(path, code, len(numbers)), key: list(numbers)}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".json", delete=False) as file:
            json.dump({"code": code, "counts": entries, "digest": _digest(entries)}, file)
        os.replace(file.name, path)
    except OSError:
        return


def _digest(entries: dict[str, list[int]]) -> str:
    return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()
