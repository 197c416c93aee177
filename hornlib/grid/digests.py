"""Digests of what gather, statistics, importance and the report read from the configuration.

Each digest changes exactly when the output of its stage would change. The workflow passes them to its rules, so that a
change of the `statistics` section, of an arm's label or of the seeds makes the results anew and retrains no run.
"""

import hashlib
import json

from hornlib.grid.grid import Grid

__all__ = ["gather_digest", "importance_digest", "report_digest", "statistics_digest"]


def gather_digest(grid: Grid) -> str:
    """Return the digest of the cells, and of each sweep's name, members, arms' labels and seeds.

    The name of a cell stands for its specification. The order counts: results.nc keeps the order of the configuration.
    """
    sweeps = [[sweep.name, list(sweep.arms.items()), list(sweep.seeds)] for sweep in grid.sweeps.values()]
    return _digest({"cells": list(grid.cells), "sweeps": sweeps})


def statistics_digest(grid: Grid) -> str:
    """Return the digest of `gather_digest` and of the `statistics` section of each sweep.

    The statistics of a sequential sweep also contain a command that names the configuration files.
    """
    sections = [sweep.statistics.model_dump_json() for sweep in grid.sweeps.values()]
    is_sequential = any(sweep.statistics.sequential for sweep in grid.sweeps.values())
    files = [str(file) for file in grid.files] if is_sequential else []
    return _digest({"gather": gather_digest(grid), "statistics": sections, "files": files})


def importance_digest(grid: Grid) -> str:
    """Return the digest of the settings of importance, with which every job is measured."""
    settings = grid.settings.importance
    return _digest({"importance": None if settings is None else settings.model_dump_json()})


def report_digest(grid: Grid) -> str:
    """Return the digest of `statistics_digest` and of the configuration files, which the report names."""
    return _digest({"statistics": statistics_digest(grid), "files": [str(file) for file in grid.files]})


def _digest(content: object) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256 hash of the content as JSON."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
