"""Kinds of files: the name, the schema version, its check, and the remedies that errors name."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hornlib.errors import ResultsError
from hornlib.provenance import commit, version

__all__ = ["FileKind", "check_version", "provenance"]


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


def provenance(kind: FileKind) -> dict[str, str | int]:
    """Return the attributes that say which version of the schema and of hornlib wrote a file."""
    return {
        "schema_version": kind.schema_version,
        "hornlib_version": version(),
        "hornlib_commit": commit(),
    }


def check_version(path: Path, kind: FileKind, attributes: Mapping[str, Any]) -> None:
    """Check the schema version of a file.

    Args:
        path: the file, for the message.
        kind: the expected kind.
        attributes: its global attributes.

    Raises:
        ResultsError: the version is another one, or there is none.
    """
    stored_version = attributes.get("schema_version")
    if stored_version == kind.schema_version:
        return
    if not isinstance(stored_version, int | np.integer):
        raise ResultsError(f"{path}: is no {kind.name}: it has no schema version. {kind.remedy}")
    is_newer = stored_version > kind.schema_version
    remedy = "Use the hornlib that wrote it" if is_newer else kind.outdated or kind.remedy
    raise ResultsError(
        f"{path}: has schema version {stored_version}, this hornlib reads {kind.schema_version}. {remedy}"
    )
