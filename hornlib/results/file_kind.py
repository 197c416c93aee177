"""Kinds of files: the name, the schema version, its check, and the remedies that errors name."""

from collections.abc import Mapping
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple

from hornlib.errors import ResultsError
from hornlib.provenance import commit, version

__all__ = ["RUN_FILE", "SCHEMA_VERSION", "TUNING_FILE", "FileKind", "check_version", "provenance"]


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


SCHEMA_VERSION = 2
"""Of run files and of results.nc; a change of it needs an entry in `hornlib.results.migrate.MIGRATIONS`."""

RUN_FILE = FileKind(
    "run file",
    SCHEMA_VERSION,
    "Delete it and give the same command again: only that job is trained",
    missing="The same command trains that job",
    outdated="Run `hornlib migrate`",
    essential=("seed", "step", "status"),
)

TUNING_FILE = FileKind(
    "tuning file",
    2,
    "Delete it and give the same command again: only this file is made anew",
    missing="There are no trials yet; snakemake makes them",
    essential=("trial", "seed", "step"),
)


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
    if not isinstance(stored_version, Integral):
        raise ResultsError(f"{path}: is no {kind.name}: it has no schema version. {kind.remedy}")
    is_newer = int(stored_version) > kind.schema_version
    remedy = "Use the hornlib that wrote it" if is_newer else kind.outdated or kind.remedy
    raise ResultsError(
        f"{path}: has schema version {stored_version}, this hornlib reads {kind.schema_version}. {remedy}"
    )
