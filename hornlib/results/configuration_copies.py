"""The configuration that a workflow starts with, held in memory until it is copied into the results folder."""

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from hornlib.config.copies import copy_name, source_of
from hornlib.errors import ConfigError
from hornlib.grid import Grid, read_grid
from hornlib.results.atomic import written_atomically

__all__ = ["ConfigurationCopies", "read_grid_for_workflow"]

FOLDER = "configurations/started"
"""Folder of the copies, in the results folder."""

MOST_COPIES = 10
"""Copies that stay. A job on SLURM may still read the copy of an earlier call."""


class ConfigurationCopies(NamedTuple):
    """What the files of a configuration said when they were read.

    Attributes:
        contents: file -> its bytes.
        folder: where the copies belong.
    """

    contents: dict[str, bytes]
    folder: Path

    def variable(self) -> str:
        """Return the value of the environment variable that lets commands read the copies."""
        return json.dumps({file: str(self._path(content)) for file, content in self.contents.items()})

    def write(self) -> None:
        """Write the copies that do not exist yet, or that are damaged.

        Raises:
            ResultsError: the results folder cannot be written.
        """
        for content in self.contents.values():
            path = self._path(content)
            if not path.is_file() or path.read_bytes() != content:
                with written_atomically(path) as temporary:
                    temporary.write_bytes(content)

    def remove_old(self) -> None:
        """Remove old copies; these copies, which exist, become the newest."""
        for content in self.contents.values():
            os.utime(self._path(content))
        copies = sorted(self.folder.glob("*.yaml"), key=os.path.getmtime, reverse=True)
        for copy in copies[max(MOST_COPIES, len(self.contents)) :]:
            with suppress(OSError):
                copy.unlink()

    def _path(self, content: bytes) -> Path:
        return self.folder / copy_name(content)


def read_grid_for_workflow(files: Sequence[str | Path]) -> tuple[Grid, ConfigurationCopies]:
    """Read and expand the configuration, and return what its files said as well. Nothing is written.

    Raises:
        ConfigError: the configuration is wrong, or was edited while it was read.
    """
    before = _contents(files)
    grid = read_grid(files)
    if before is None or _contents(files) != before:
        raise ConfigError(
            f"{', '.join(map(str, files))}: edited while it was read; give the same command again"
        )
    return grid, ConfigurationCopies(before, Path(grid.settings.results) / FOLDER)


def _contents(files: Sequence[str | Path]) -> dict[str, bytes] | None:
    """Return file -> its bytes, None where one cannot be read."""
    try:
        return {str(file): source_of(Path(file)).read_bytes() for file in files}
    except (OSError, ValueError):
        return None
