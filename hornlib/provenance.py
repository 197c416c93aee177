"""Which code is running: the commit of a source tree, where there is one."""

import os
import subprocess
from functools import lru_cache
from pathlib import Path

__all__ = ["commit"]


@lru_cache(maxsize=1)
def commit() -> str:
    """Return the commit of the source tree this package lies in, `-dirty` with uncommitted changes, or `unknown`.

    A job on a cluster runs a snapshot, which has no history: whoever made it says its commit in HORNLIB_COMMIT.
    """
    if told := os.environ.get("HORNLIB_COMMIT"):
        return told
    folder = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return described.stdout.strip() if described.returncode == 0 else "unknown"
