"""Copies of the configuration: the stages of a workflow read the files as they were when it started."""

import hashlib
import json
import os
from pathlib import Path

from hornlib.errors import ConfigError

__all__ = ["COPIES_VARIABLE", "copy_name", "edit_note", "edited_files", "source_of"]

COPIES_VARIABLE = "HORNLIB_CONFIG_COPIES"
"""Environment variable: JSON, configuration file -> its copy. The workflow sets it for all commands that it starts."""


def copy_name(content: bytes) -> str:
    """Return the name of a copy, which follows from its content."""
    return f"{hashlib.sha256(content).hexdigest()[:16]}.yaml"


def source_of(file: Path) -> Path:
    """Return the file that is read in place of a configuration file: its copy inside a workflow, else the file itself.

    Raises:
        ConfigError: the copy is missing or damaged.
    """
    copy = _copies().get(str(file))
    if copy is None:
        return file
    try:
        is_whole = copy_name(copy.read_bytes()) == copy.name
    except OSError:
        is_whole = False
    if not is_whole:
        raise ConfigError(
            f"{copy}: this copy of {file}, which the workflow made at its start, is missing or damaged; give the same "
            "command again"
        )
    return copy


def edited_files() -> list[str]:
    """Return the configuration files that were edited since the workflow started; outside a workflow none."""
    return [file for file, copy in _copies().items() if _content(Path(file)) != _content(copy)]


def edit_note() -> str:
    """Return a sentence that names the edited files and the copies that are read in their place; "" for none."""
    copies = _copies()
    names = [f"{copies[file]} for {file}" for file in edited_files()]
    return (
        f"The configuration was edited after the workflow started. The workflow reads its copies: {', '.join(names)}"
        if names
        else ""
    )


def _copies() -> dict[str, Path]:
    copies = json.loads(os.environ.get(COPIES_VARIABLE, "{}"))
    return {file: Path(copy) for file, copy in copies.items()}


def _content(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None
