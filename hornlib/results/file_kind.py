"""Kinds of files: the name, the schema version and the remedies that errors name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hornlib.errors import ResultsError

__all__ = ["FileKind", "check_version"]


class FileKind(NamedTuple):
    """One kind of file: its name in messages, its schema version, and the remedies that errors name.

    Attributes:
        name: e.g. "run file".
        schema_version: the only version that this hornlib reads.
        remedy: a sentence that says how a damaged file is made anew.
        missing: how a missing file is made; "" for `remedy`.
        outdated: remedy for a file of an older version; "" for `remedy`.
        essential: variables and dimensions that every such file has; another kind of file lacks some.
    """

    name: str
    schema_version: int
    remedy: str
    missing: str = ""
    outdated: str = ""
    essential: tuple[str, ...] = ()


def check_version(path: Path, kind: FileKind, attributes: Mapping[str, Any]) -> None:
    """Check the schema version of a file.

    Args:
        path: the file, for the message.
        kind: the expected kind.
        attributes: its global attributes.

    Raises:
        ResultsError: the version is another one, or there is none.
    """
    version = attributes.get("schema_version")
    if version == kind.schema_version:
        return
    if not isinstance(version, int | np.integer):
        raise ResultsError(f"{path}: is no {kind.name}: it has no schema version. {kind.remedy}")
    is_newer = version > kind.schema_version
    remedy = "Use the hornlib that wrote it" if is_newer else kind.outdated or kind.remedy
    raise ResultsError(
        f"{path}: has schema version {version}, this hornlib reads {kind.schema_version}. {remedy}"
    )
