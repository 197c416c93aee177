"""The last lines of logs."""

import os
from collections.abc import Iterable
from pathlib import Path

__all__ = ["last_lines"]


def last_lines(paths: Iterable[Path], count: int) -> str:
    """Return the last lines of the first file that has any, indented; "" if all are empty or missing.

    Args:
        paths: logs, in the order of preference.
        count: the most lines to return.
    """
    for path in paths:
        try:
            with path.open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - 16_384))
                text = file.read().decode(errors="replace")
        except OSError:
            continue
        lines = [line.rstrip() for line in text.splitlines() if line.strip()]
        if lines:
            return "\n".join(f"    {line}" for line in lines[-count:])
    return ""
