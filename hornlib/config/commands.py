"""Commands that a message advises, completed by the configuration files that were read.

Without `--configfile` a command would read config.yaml, and train or judge another sweep.
"""

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

__all__ = [
    "CONFIG_VARIABLE",
    "DEFAULT_CONFIG",
    "completed",
    "configuration_options",
    "joined",
    "named_files",
    "with_configuration",
]

DEFAULT_CONFIG = Path("config.yaml")

CONFIG_VARIABLE = "HORNLIB_CONFIG"
"""Environment variable that names the configuration files, with a colon between two.

Snakemake gets them in this way. Its own option `--configfile` would run Python code that stands in such a file.
"""

READERS = (
    *("plan", "looks", "run", "status", "cancel", "answer"),
    *("calibrate", "gather", "stability", "statistics", "mechanism", "importance", "report"),
)
"""Subcommands of hornlib that read the configuration."""

_COMMAND = re.compile(rf"snakemake\b[^`]*|hornlib (?:{'|'.join(READERS)})\b[^`]*")


def with_configuration(text: str, files: Sequence[str | Path]) -> str:
    """Return a message whose commands, which stand between backticks, name the configuration files.

    Args:
        text: the message. A command that has a `--configfile`, or that reads no configuration, stays as it is.
        files: what was read; for `config.yaml` alone, which is the default, nothing is added.
    """
    if not configuration_options(files):
        return text
    return re.sub(r"`([^`]+)`", lambda match: f"`{completed(match[1], files)}`", text)


def completed(command: str, files: Sequence[str | Path]) -> str:
    """Return a command that names the configuration files, if it reads a configuration.

    Args:
        command: of hornlib or Snakemake.
        files: the configuration.
    """
    if not _COMMAND.fullmatch(command) or "--configfile" in command:
        return command
    options = configuration_options(files)
    if command.startswith("snakemake") and options:
        return f"{CONFIG_VARIABLE}={shlex.quote(joined(files))} {command}"
    return command + options


def configuration_options(files: Sequence[str | Path]) -> str:
    """Return ` --configfile FILE` for each file, quoted for a shell; nothing for the default configuration."""
    names = [str(file) for file in files]
    if names in ([], [str(DEFAULT_CONFIG)]):
        return ""
    return "".join(f" --configfile {shlex.quote(name)}" for name in names)


def named_files() -> list[Path]:
    """Return the configuration files that the environment variable HORNLIB_CONFIG names; default: config.yaml."""
    names = os.environ.get(CONFIG_VARIABLE, "")
    return [Path(name) for name in names.split(os.pathsep)] if names else [DEFAULT_CONFIG]


def joined(files: Sequence[str | Path]) -> str:
    """Return the value of HORNLIB_CONFIG that names these files; their paths must not contain a colon."""
    return os.pathsep.join(map(str, files))
