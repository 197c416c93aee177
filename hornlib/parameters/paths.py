"""Paths in the configuration: variables and `~` are expanded, and one folder has one spelling."""

import os
import re
from pathlib import Path, PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, Field

from hornlib.errors import ConfigError

__all__ = ["Folder", "expanded", "given_path"]

_VARIABLE = re.compile(r"\$(?:\{(?P<braced>[A-Za-z_][A-Za-z0-9_]*)\}|(?P<bare>[A-Za-z_][A-Za-z0-9_]*))")

_FORBIDDEN = "{}<>*?%'\"\\$"
"""Characters that a shell, Snakemake or SLURM reads as something else than part of a file's name."""

LONGEST_NAME, LONGEST_PATH = 255, 3000
"""Bytes that Linux allows in a name, and bytes of a path that leave room for the names of the files below it."""


def expanded(path: str) -> str:
    """Return the path with `$NAME`, `${NAME}` and `~` expanded, and without `./`, `//` or a slash at its end.

    Two spellings of a folder, such as `results/` and `./results`, would be two folders to Snakemake. `..` stays, since
    what it means depends on symbolic links. The result is expanded to itself.

    Args:
        path: as the configuration spells it.

    Raises:
        ValueError: a variable or a user that does not exist, a character that a path must not have, or a path that no
            file system takes.
    """
    text = _VARIABLE.sub(lambda match: _value_of(match["braced"] or match["bare"]), path)
    if text.startswith("~"):
        text = os.path.expanduser(text)
        if text.startswith("~"):
            raise ValueError(_no_home(text))
    folder = str(PurePosixPath(re.sub("^/+", "/", text)))
    if not text.isprintable() or set(_FORBIDDEN) & set(text) or folder[:1] == "-" or folder != folder.strip():
        raise ValueError(f"a path has no control characters, none of {_FORBIDDEN}, no - or space in front")
    names = [name.encode() for name in folder.split("/")]
    if max(map(len, names)) > LONGEST_NAME or len(folder.encode()) > LONGEST_PATH:
        raise ValueError(
            f"a path has at most {LONGEST_NAME} bytes between slashes, and {LONGEST_PATH:,} in all"
        )
    return folder


def given_path(path: str, source: str) -> Path:
    """Return a path that no configuration gives, by the same rules as `expanded`.

    Args:
        path: as the environment variable or the option spells it.
        source: the name of the variable or of the option, for the error message.

    Raises:
        ConfigError: a variable or a user that does not exist, or a character that a path must not have.
    """
    try:
        return Path(expanded(path))
    except ValueError as error:
        raise ConfigError(f"{source}: got {path!r}; {error}") from None


def _no_home(path: str) -> str:
    user = path[1:].partition("/")[0]
    reason = f"there is no user {user!r}" if user else "this user has no home folder for `~`"
    return f"{reason}; write the whole path"


def _value_of(variable: str) -> str:
    value = os.environ.get(variable, "")
    if not value:
        raise ValueError(
            f"the environment variable {variable} is not set; set it (`export {variable}=...`), or write the whole path"
        )
    return value


Folder = Annotated[str, Field(min_length=1), AfterValidator(expanded)]
"""A folder in the configuration, as `expanded` returns it."""
