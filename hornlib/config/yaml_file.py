"""Reading a YAML 1.2 file into plain values, with the line of every key.

Dates stay text, and directives and tags are refused: a value means what a person reads there.
"""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.reader import ReaderError

from hornlib.config.copies import source_of
from hornlib.config.yaml_slips import describe_syntax_error, slip_in_key
from hornlib.errors import ConfigError

__all__ = ["KeyPath", "Lines", "dotted", "locate", "parse_scalar", "parse_value", "read_yaml"]

KeyPath = tuple[str | int, ...]
"""Where a value stands: ("sweeps", "thesis", "model", 0, "timesteps")."""

Lines = dict[KeyPath, str]
"""Key path -> 'config.yaml:12'."""

MOST_KEYS = 200_000
"""An alias can repeat a branch exponentially often; nobody writes this many keys."""

DEEPEST = 32
"""No configuration nests this deep, and Python's stack would end the reading without a message."""

LARGEST_INTEGER = 2**63 - 1
"""netCDF and tensors hold no larger integer, and Python refuses to print one of 4,300 digits."""

_BASES = {"0b": 2, "0o": 8, "0x": 16}

_TAG = "tag:yaml.org,2002:"

_WORDS = ("str", "timestamp", "value")
"""Kinds of scalars that stay text: YAML calls `2024-01-01` a timestamp and `=` a value."""


def read_yaml(file: Path) -> tuple[dict[str, Any], Lines]:
    """Return the mapping that a file holds, in plain dict, list, str, int, float, bool, None, and its lines.

    Raises:
        ConfigError: no such file, not readable, no YAML (with line and column), a key twice, no mapping.
    """
    try:
        text = source_of(file).read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{file}: there is no such file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: no YAML: the file is not text in UTF-8") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{str(file)!r}: cannot be read: {reason}") from None
    root = _compose(text, str(file))
    lines: Lines = {}
    content = _TreeReader(str(file), lines).plain(root, ())
    if not isinstance(content, dict):
        kind = "a list" if isinstance(content, list) else "nothing" if content is None else repr(content)[:60]
        line = "" if root is None else f":{root.start_mark.line + 1}"
        raise ConfigError(f"{file}{line}: expected keys such as `sweeps:`, found {kind}")
    return content, lines


def parse_scalar(text: str) -> Any:
    """Return the number, word, boolean or None that `text` means as a value in config.yaml."""
    try:
        value = parse_value(text)
    except ConfigError:
        return text
    return text if isinstance(value, Mapping | list) else value


def parse_value(text: str) -> Any:
    """Return what `text` means as a value in config.yaml: a number, a word, a list or a mapping.

    Raises:
        ConfigError: it is no YAML.
    """
    return _TreeReader("value", {}).plain(_compose(text, "value"), ())


def dotted(path: KeyPath) -> str:
    """Write a key's path as people say it: sweeps.thesis.model[0].timesteps."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{_printable(part)}" for part in path)
    return text.removeprefix(".")


def locate(lines: Mapping[KeyPath, str], path: KeyPath) -> str:
    """Return 'file:line: ' of the key, or of the nearest key above it; empty when no line is known.

    Args:
        lines: from `read_yaml`.
        path: where the value stands.
    """
    while path and path not in lines:
        path = path[:-1]
    return f"{lines[path]}: " if path else ""


def _compose(text: str, file: str) -> Node | None:
    """Return the syntax tree of the text, None where it holds nothing."""
    try:
        _refuse_directives_and_tags(text, file)
        return YAML().compose(text)
    except MarkedYAMLError as error:
        line, column, message = describe_syntax_error(error, text)
        raise ConfigError(f"{file}:{line}:{column}: {message}") from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(f"{file}:{line}: no YAML: {str(error).splitlines()[0]}") from None
    except RecursionError:
        raise ConfigError(f"{file}: no YAML: it is nested too deeply") from None
    except (YAMLError, ValueError, AssertionError) as error:
        raise ConfigError(f"{file}: no YAML: {str(error).splitlines()[0]}") from None


def _refuse_directives_and_tags(text: str, file: str) -> None:
    """Raise an error for `%YAML` of another version, other directives, and tags such as `!!int`."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith("%") and not re.fullmatch(r"%YAML\s+1\.2\s*(#.*)?", line):
            raise ConfigError(
                f"{file}:{number}:1: the directive {line.strip()[:40]!r} is not supported; remove it"
            )
        if line.strip() and not line.startswith(("%", "#")):
            break
    for event in YAML().parse(text):
        tag = getattr(event, "tag", None)
        if tag is not None:
            mark = event.start_mark
            name = str(tag).replace(_TAG, "!!")
            raise ConfigError(
                f"{file}:{mark.line + 1}:{mark.column + 1}: the tag {name!r} is not supported; write the plain value"
            )


class _TreeReader:
    """Turns the nodes of a syntax tree into plain Python values, and notes the line of every key on the way."""

    def __init__(self, file: str, lines: Lines) -> None:
        self.file, self.lines = file, lines
        self.num_keys = 0

    def plain(self, node: Node | None, path: KeyPath) -> Any:
        """Return the plain value of a node and of everything below it.

        Args:
            node: the node; None for an empty file.
            path: where it stands.
        """
        if len(path) > DEEPEST:
            raise self.error(path[:3], "it is nested too deeply")
        self.count_keys(0)
        if node is None:
            return None
        if isinstance(node, MappingNode):
            return {key: self.plain(value, (*path, key)) for key, value in self.items(node, path).items()}
        if isinstance(node, SequenceNode):
            for index, item in enumerate(node.value):
                self.lines[*path, index] = f"{self.file}:{item.start_mark.line + 1}"
            return [self.plain(item, (*path, index)) for index, item in enumerate(node.value)]
        return self.scalar(node, path)

    def items(
        self, node: MappingNode, path: KeyPath, merging: tuple[MappingNode, ...] = ()
    ) -> dict[str, Node]:
        """Return the values of a mapping by key: what `<<` merges in, and over it what the mapping itself says.

        Args:
            node: the mapping.
            path: where it stands.
            merging: the mappings that this one is being merged into.
        """
        self.count_keys(1 + len(node.value))
        merged: dict[str, Node] = {}
        values: dict[str, Node] = {}
        first_lines: dict[str, int] = {}
        for key_node, value in node.value:
            if str(key_node.tag) == f"{_TAG}merge":
                for source in value.value if isinstance(value, SequenceNode) else [value]:
                    if not isinstance(source, MappingNode) or source in (node, *merging):
                        raise self.error_at(key_node, "`<<` takes another mapping, such as `<<: *anchor`")
                    for key, inherited in self.items(source, path, (node, *merging)).items():
                        merged.setdefault(key, inherited)
                continue
            key = self.key(key_node, value)
            if key in values:
                place = f"{self.file}:{key_node.start_mark.line + 1}:{key_node.start_mark.column + 1}"
                raise ConfigError(
                    f"{place}: duplicate key {key!r}: line {first_lines[key]} already has it; remove one"
                )
            values[key], first_lines[key] = value, key_node.start_mark.line + 1
        for (
            key,
            line,
        ) in first_lines.items():  # last, since a merged key of the same name has noted another line
            self.lines[*path, key] = f"{self.file}:{line}"
        return {**merged, **values}

    def count_keys(self, number: int) -> None:
        """Count keys that are looked at, merged ones each time, and refuse a file that repeats them without end."""
        self.num_keys += number
        if max(self.num_keys, len(self.lines)) > MOST_KEYS:
            raise ConfigError(f"{self.file}: more than {MOST_KEYS:,} keys; do aliases repeat each other?")

    def key(self, node: Node, value: Node) -> str:
        """Return the text of a key.

        Args:
            node: the key.
            value: its value. If it is empty, a space may be missing after the colon.
        """
        if not isinstance(node, ScalarNode) or str(node.tag).removeprefix(_TAG) not in _WORDS:
            text = str(node.value)[:40] if isinstance(node, ScalarNode) else "a list or mapping"
            raise self.error_at(node, f"the key {text} is no word; put it in quotation marks or rename it")
        has_value = not isinstance(value, ScalarNode) or value.value != "" or value.style is not None
        if node.style is None and (slip := slip_in_key(node.value, has_value)):
            raise self.error_at(node, slip)
        return str(node.value)

    def scalar(self, node: Node, path: KeyPath) -> Any:
        """Return the None, boolean, number or text that a scalar means.

        Args:
            node: the scalar.
            path: where it stands, for error messages.
        """
        text, kind = str(node.value), str(node.tag).removeprefix(_TAG)
        if kind == "null":
            return None
        if kind == "bool":
            return text.lower() == "true"
        try:
            value = _integer(text) if kind == "int" else _float(text) if kind == "float" else text
        except ValueError:  # `_` or `0x` look like numbers to YAML and have no digits
            return text
        if isinstance(value, int) and abs(value) > LARGEST_INTEGER:
            raise self.error_at(node, f"an integer is at most {LARGEST_INTEGER}", path)
        return value

    def error(self, path: KeyPath, message: str) -> ConfigError:
        """Return an error that says in which file and line the key stands, and its path.

        Args:
            path: where the value stands.
            message: what is wrong, and what is valid.
        """
        place = f"{dotted(path)}: " if path else ""
        return ConfigError(f"{locate(self.lines, path) or f'{self.file}: '}{place}{message}")

    def error_at(self, node: Node, message: str, path: KeyPath = ()) -> ConfigError:
        """Return an error at the line of a node.

        Args:
            node: the node.
            message: what is wrong, and what is valid.
            path: where the node stands; () leaves it out of the message.
        """
        place = f"{dotted(path)}: " if path else ""
        return ConfigError(f"{self.file}:{node.start_mark.line + 1}: {place}{message}")


def _integer(text: str) -> int:
    digits = text.replace("_", "").lower()
    sign, digits = (-1 if digits.startswith("-") else 1), digits.lstrip("+-")
    if len(digits) > 64:
        return sign * (LARGEST_INTEGER + 1)  # Python refuses to convert more than 4,300 digits
    return sign * int(digits, _BASES.get(digits[:2], 10))


def _float(text: str) -> float:
    number = text.replace("_", "").lower()
    if number.lstrip("+-") == ".inf":
        return -math.inf if number.startswith("-") else math.inf
    return math.nan if number == ".nan" else float(number)


def _printable(word: str) -> str:
    return word if word.isprintable() else repr(word)
