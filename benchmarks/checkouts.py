"""An earlier commit as the other arm: the name of a checkout, and the environment that uses its library."""

import os
import subprocess
from pathlib import Path

__all__ = ["REPOSITORY", "commit_of", "environment_of"]

REPOSITORY = Path(__file__).resolve().parents[1]
"""The checkout of this commit."""


def commit_of(checkout: Path) -> str:
    """Return the short name of the commit in a checkout."""
    command = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=True).stdout.strip()


def environment_of(checkout: Path) -> dict[str, str]:
    """Return the environment of a process that imports the library of a checkout and computes with one thread."""
    return {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
