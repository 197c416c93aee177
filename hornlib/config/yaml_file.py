"""Reading a YAML 1.2 file into plain values, with the line of every key; free of timestamps and surprises."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.resolver import VersionedResolver

from hornlib.errors import ConfigError

__all__ = ["KeyPath", "Lines", "dotted", "locate", "parse_scalar", "parse_value", "read_yaml"]

KeyPath = tuple[str | int, ...]
"""Where a value stands: ("sweeps", "thesis", "model", 0, "timesteps")."""

Lines = dict[KeyPath, str]
"""Key path -> 'config.yaml:12'."""

MOST_KEYS = 200_000
"""An alias can repeat a branch exponentially often; nobody writes this many keys."""

DEEPEST = 32
"""No configuration nests this deep, and Python's own stack would end the reading without a message."""

LARGEST_INTEGER = 2**63 - 1
"""netCDF and tensors hold no larger integer, and Python refuses to print one of 4,300 digits."""


def read_yaml(file: Path) -> tuple[dict[str, Any], Lines]:
    """Return the mapping that a file holds, in plain dict, list, str, int, float, bool, None, and its lines.

    Raises:
        ConfigError: no such file, not readable, no YAML (with line and column), a key twice, no mapping.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{file}: there is no such file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: no YAML: the file is not text in UTF-8") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"{str(file)!r}: cannot be read: {reason}") from None
    content = _parse(text, str(file))
    if not isinstance(content, Mapping):
        found = (
            "a list" if isinstance(content, list) else "nothing" if content is None else repr(content)[:60]
        )
        raise ConfigError(f"{file}: expected keys such as `sweeps:`, found {found}")
    lines: Lines = {}
    return _Plainer(file, lines).plain(content, ()), lines


def parse_scalar(text: str) -> Any:
    """Return the number, word, boolean or None that `text` means as a value in config.yaml."""
    try:
        value = _parse(text, "value")
    except ConfigError:
        return text
    return _Plainer(Path("value"), {}).plain(value, ()) if not isinstance(value, Mapping | list) else text


def parse_value(text: str) -> Any:
    """Return what `text` means as a value in config.yaml: a number, a word, a list or a mapping.

    Raises:
        ConfigError: it is no YAML.
    """
    return _Plainer(Path("value"), {}).plain(_parse(text, "value"), ())


def dotted(path: KeyPath) -> str:
    """Write a key's path as people say it: sweeps.thesis.model[0].timesteps."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{_printable(part)}" for part in path)
    return text.removeprefix(".")


def locate(lines: Mapping[KeyPath, str], path: KeyPath) -> str:
    """Return 'file:line: ' of the key, or of the nearest key above it; empty when nothing is known."""
    while path and path not in lines:
        path = path[:-1]
    return f"{lines[path]}: " if path else ""


class _Resolver(VersionedResolver):
    """YAML 1.2 without timestamps: 1000-10-10 is a list of widths, not a day in the year 1000."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        tag = super().resolve(kind, value, implicit)
        if str(tag).endswith(":timestamp"):
            return super().resolve(kind, "a word", implicit)
        return tag


def _parse(text: str, file: str) -> Any:
    reader = YAML(typ="rt")
    reader.Resolver = _Resolver
    try:
        return reader.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        problem = (error.problem or error.context or "no YAML").splitlines()[0]
        raise ConfigError(f"{where}: {problem}") from None
    except RecursionError:
        raise ConfigError(f"{file}: no YAML: it is nested too deeply") from None
    except (YAMLError, ValueError) as error:
        raise ConfigError(f"{file}: no YAML: {str(error).splitlines()[0]}") from None


class _Plainer:
    """Turns ruamel's nodes into plain Python values, and notes the line of every key on the way."""

    def __init__(self, file: Path, lines: Lines) -> None:
        self.file, self.lines = file, lines

    def plain(self, node: Any, path: KeyPath) -> Any:
        """Return the plain value of a node and of everything below it."""
        if len(path) > DEEPEST:
            raise self.error(path[:3], "it is nested too deeply")
        if len(self.lines) > MOST_KEYS:
            raise ConfigError(f"{self.file}: more than {MOST_KEYS:,} keys; do aliases repeat each other?")
        if isinstance(node, Mapping):
            return {self.key(node, key, path): self.plain(node[key], (*path, key)) for key in node}
        if isinstance(node, list):
            for index in range(len(node)):
                self.note(node, index, path)
            return [self.plain(item, (*path, index)) for index, item in enumerate(node)]
        return self.scalar(node, path)

    def key(self, node: Any, key: Any, path: KeyPath) -> str:
        if not isinstance(key, str):
            raise self.error(path, f"the key {key!r} is no word; quote it or rename it")
        self.note(node, key, path)
        return str(key)

    def scalar(self, node: Any, path: KeyPath) -> Any:
        if node is None or isinstance(node, bool):
            return node
        if type(node).__name__ == "ScalarBoolean":  # an anchored boolean: ruamel makes it a subclass of int
            return bool(node)
        if isinstance(node, int) and abs(node) > LARGEST_INTEGER:
            raise self.error(path, f"an integer is at most {LARGEST_INTEGER}")
        for kind in (int, float, str):
            if isinstance(node, kind):
                return kind(node)
        raise self.error(path, f"a {type(node).__name__} is no number, word, list or mapping")

    def note(self, node: Any, key: str | int, path: KeyPath) -> None:
        position = node.lc.data.get(key) if getattr(node, "lc", None) and node.lc.data else None
        if position:  # a key that came through `<<` has no line of its own
            self.lines[(*path, key)] = f"{self.file}:{position[0] + 1}"

    def error(self, path: KeyPath, message: str) -> ConfigError:
        place = f"{dotted(path)}: " if path else ""
        return ConfigError(f"{locate(self.lines, path) or f'{self.file}: '}{place}{message}")


def _printable(word: str) -> str:
    return word if word.isprintable() else repr(word)
