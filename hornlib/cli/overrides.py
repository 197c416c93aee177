"""`--set key=value` of `hornlib run`: a configuration with other values, written beside the results."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from hornlib.cli.parameters import SECTIONS, TABLES
from hornlib.config.reading import read_document
from hornlib.config.settings import Settings, parse_settings
from hornlib.config.yaml_file import parse_value
from hornlib.errors import ConfigError, nearest
from hornlib.grid import read_grid
from hornlib.grid.axes import OVERRIDES
from hornlib.results.atomic import written_atomically

__all__ = ["Override", "overridden", "parse_assignment", "to_yaml", "write_overridden"]

FOLDER = "configurations"
"""Folder of overridden configurations, in the results folder."""

FIELDS: dict[str, tuple[str, ...]] = {
    **{
        section: tuple(SECTIONS[section].model_fields)
        for section in ("data", "training", "tuning", "statistics")
    },
    **{
        section: tuple(dict.fromkeys(name for kind in table.values() for name in kind.model_fields))
        for section, table in TABLES.items()
    },
}
"""Section -> every parameter that it may have."""


class Override(NamedTuple):
    """`key=value`: a section with one of its parameters, or a key of the whole configuration."""

    section: str
    key: str
    value: Any

    @property
    def path(self) -> str:
        """The key as the command line spells it."""
        return f"{self.section}.{self.key}" if self.section else self.key


def parse_assignment(text: str) -> Override:
    """Read `training.steps=20`, or `seeds=3`; the value is read as it would be in config.yaml.

    Raises:
        ConfigError: there is no `=`, or no such key.
    """
    path, equals, value = (part.strip() for part in text.partition("="))
    if not equals or not path or not value:
        raise ConfigError(f"--set {text!r}: expected key=value, e.g. training.steps=20")
    section, _, key = path.rpartition(".")
    valid = [
        *Settings.model_fields,
        "seeds",
        *(f"{name}.{field}" for name in FIELDS for field in FIELDS[name]),
    ]
    if path not in valid:
        sections = ", ".join(f"{name}.<parameter>" for name in FIELDS)
        raise ConfigError(
            f"--set {path}: there is no such key{nearest(path, valid)}; valid: {sections}, seeds, "
            f"{', '.join(Settings.model_fields)}"
        )
    try:
        return Override(section, key, parse_value(value))
    except ConfigError as error:
        raise ConfigError(f"--set {path}: {str(error).removeprefix('value:')}") from None


def write_overridden(
    files: Sequence[Path], assignments: Sequence[Override], folder: Path | None = None
) -> Path:
    """Write the configuration with other values, and return its file.

    Args:
        files: the configuration, read together.
        assignments: the values of this call, in their order.
        folder: where the file belongs; default: `configurations` in the results folder.

    Returns:
        `<digest>.yaml`. Its name follows from its content, so that equal calls have equal files.

    Raises:
        ConfigError: the configuration is wrong, with or without the new values.
    """
    read_grid(files)  # a mistake in the files is reported with their own lines
    document = overridden(read_document(files), assignments)
    values = ", ".join(f"{one.path}={one.value}" for one in assignments)
    content = f"# {' and '.join(map(str, files))} with {values}\n" + to_yaml(document)
    try:
        results = parse_settings(results=document.get("results", Settings().results)).results
    except ConfigError as error:
        raise ConfigError(f"--set {error}") from None
    path = (folder or Path(results) / FOLDER) / f"{hashlib.sha256(content.encode()).hexdigest()[:12]}.yaml"
    with written_atomically(path) as temporary:
        temporary.write_text(content, encoding="utf-8")
    try:
        read_grid([path])
    except ConfigError as error:
        path.unlink()
        sentence = re.sub(rf"{re.escape(str(path))}:[0-9]+: ", "", str(error))
        raise ConfigError(f"--set {values}: {sentence}") from None
    return path


def overridden(document: Mapping[str, Any], assignments: Iterable[Override]) -> dict[str, Any]:
    """Return the configuration with other values.

    A parameter of a section gets its value in every sweep, and in every entry of `model` that overrides it. A
    parameter of a model or of a structure is set in the entries whose `name` has it.

    Args:
        document: what the files say, plain values.
        assignments: later ones win.

    Raises:
        ConfigError: no entry has the parameter.
    """
    result = _copied(document)
    for assignment in assignments:
        if assignment.section == "":
            result[assignment.key] = assignment.value
            for sweep in result["sweeps"].values() if assignment.key == "seeds" else ():
                sweep.pop("seeds", None)
        elif assignment.section == "statistics":
            result.setdefault("statistics", {})[assignment.key] = assignment.value
            for sweep in result["sweeps"].values():
                sweep.get("statistics", {}).pop(assignment.key, None)
        elif not _set_in_sweeps(result, assignment):
            raise ConfigError(
                f"--set {assignment.path}: no sweep has a {assignment.section} with this parameter"
            )
    return result


def _set_in_sweeps(document: dict[str, Any], assignment: Override) -> int:
    """Set the value of a section's parameter in every sweep, and return in how many entries it was set."""
    section, key, value = assignment
    count = 0
    for sweep in document["sweeps"].values():
        if section == "tuning" and "tuning" not in sweep:
            continue
        if section not in sweep and "extends" not in sweep:
            sweep[section] = _copied(document.get("defaults", {}).get(section, {}))
        for entry in _entries(sweep.get(section, [])):
            if section in TABLES and not _has(section, entry, document, key):
                continue
            entry[key] = value
            count += 1
        for model in _entries(sweep.get("model", [])) if section in OVERRIDES else ():
            for entry in _entries(model.get(section, [])):
                if key in entry:
                    entry[key] = value
                    count += 1
    return count


def _has(section: str, entry: Mapping[str, Any], document: Mapping[str, Any], key: str) -> bool:
    """Return whether the model or the structure of an entry has a parameter."""
    default = document.get("defaults", {}).get(section, {})
    names = entry.get("name", default.get("name", []) if isinstance(default, Mapping) else [])
    kinds = [TABLES[section].get(name) for name in (names if isinstance(names, list) else [names])]
    return bool(kinds) and all(kind is not None and key in kind.model_fields for kind in kinds)


def _entries(section: Any) -> Iterator[dict[str, Any]]:
    yield from section if isinstance(section, list) else [section]


def _copied(value: Any) -> Any:
    """Return a deep copy in which no two places share a mapping or a list."""
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    return [_copied(item) for item in value] if isinstance(value, list) else value


def to_yaml(document: Mapping[str, Any]) -> str:
    """Return plain values as YAML that `read_yaml` reads as the same values in the same order."""
    writer, text = YAML(typ="safe", pure=True), StringIO()
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.dump(document, text)
    return text.getvalue()
