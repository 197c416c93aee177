"""Reading config.yaml: YAML 1.2, every key remembered with its line, mistakes told in the config's own words."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.resolver import VersionedResolver

from hornlib.errors import ConfigError, nearest
from hornlib.parameters import Parameters

__all__ = ["Config", "Settings", "describe_validation_error", "merge", "parse_seeds", "read_config"]

FIRST_TUNING_SEED = 1000
"""Tuning draws its seeds from here on, so that no seed of a sweep was ever used to choose anything."""

RESERVED_SWEEPS = ("all", "data", "train", "gather", "figures", "calibrate", "select", "statistics", "report")
"""Names of rules: a sweep is a target of the same name space."""

SWEEP_KEYS = ("extends", "seeds", "data", "model", "structure", "training")
SECTIONS = ("data", "model", "structure", "training")

Path_ = tuple[str | int, ...]


class Settings(Parameters):
    """How the suite runs on this machine; none of it is part of a cell's name."""

    results: str = Field(default="results", min_length=1)
    """Folder of everything that sweeps make."""
    per_job: int = Field(default=5, ge=1)
    """Most seeds of one job; a job trains its seeds side by side as lanes."""
    lanes: int | str = "auto"
    """Lanes trained at once: a positive integer, or auto (the fastest by a timed trial, never slower than one by one)."""
    threads: int = Field(default=1, ge=1)
    """CPU threads of one job; results are bit-identical only at equal threads."""
    device: str = "auto"
    """auto (CUDA, else MPS, else CPU), cpu, cuda, cuda:N or mps."""
    checkpoints: str | None = Field(default=None, min_length=1)
    """Folder of checkpoints, e.g. a scratch disk that all nodes see; default: checkpoints in `results`."""
    checkpoint_minutes: float = Field(default=5.0, gt=0)
    """Wall time between two checkpoints of a job."""
    strict_stability: bool = False
    """Whether an oscillator predicted to be unstable is an error instead of a warning."""


class Config(NamedTuple):
    """The files as read and checked: settings, and plain sections not yet expanded.

    Attributes:
        settings: the machine's side.
        seeds: seeds of every sweep that names none of its own.
        sweeps: sweep name -> {"seeds": tuple of int, section: list of entries}, `extends` and `defaults` merged.
        lines: where each key stands, ("sweeps", "thesis", "model", 0) -> "config.yaml:12".
        files: what was read.
    """

    settings: Settings
    seeds: tuple[int, ...]
    sweeps: dict[str, dict[str, Any]]
    lines: dict[Path_, str]
    files: tuple[Path, ...]

    def error(self, path: Path_, message: str) -> ConfigError:
        """Return an error that says where in the files the key stands, and its path."""
        return ConfigError(f"{locate(self.lines, path)}{dotted(path)}: {message}")


def read_config(files: Sequence[str | Path]) -> Config:
    """Read and check the files; a key of one file may not be given another value by a later one.

    Raises:
        ConfigError: a file is missing, no YAML, or says something that is not understood.
    """
    if not files:
        raise ConfigError("no configuration file was named")
    document: dict[str, Any] = {}
    lines: dict[Path_, str] = {}
    for file in map(Path, files):
        content, found = _read_yaml(file)
        document = _unite(document, content, (), found)
        lines.update(found)
    return _check(document, lines, tuple(map(Path, files)))


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge deeply: mappings are united key by key, anything else in `over` replaces what `base` has.

    A list of mappings over a mapping is several entries, each merged over it. A mapping with another `name`
    than a model's or a structure's replaces it, since the parameters belong to the name.
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if not isinstance(below, Mapping):
            merged[key] = value
        elif isinstance(value, Mapping):
            merged[key] = _merge_section(key, below, value)
        elif isinstance(value, list) and value and all(isinstance(entry, Mapping) for entry in value):
            merged[key] = [_merge_section(key, below, entry) for entry in value]
        else:
            merged[key] = value
    return merged


def _merge_section(key: str, base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    renamed = key in ("model", "structure") and "name" in over and over["name"] != base.get("name", over["name"])
    return dict(over) if renamed else merge(base, over)


def dotted(path: Path_) -> str:
    """Write a key's path as people say it: sweeps.thesis.model[0].timesteps."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def locate(lines: Mapping[Path_, str], path: Path_) -> str:
    """Return 'file:line: ' of the key, or of the nearest key above it; empty when nothing is known."""
    while path and path not in lines:
        path = path[:-1]
    return f"{lines[path]}: " if path else ""


def parse_seeds(value: object) -> tuple[int, ...]:
    """Return the seeds meant by a count (10: 0..9) or by a list.

    Raises:
        ValueError: the value means no seeds, or impossible ones.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= FIRST_TUNING_SEED:
            raise ValueError(f"got {value}; a number of seeds is between 1 and {FIRST_TUNING_SEED}")
        return tuple(range(value))
    if not isinstance(value, list) or not value:
        raise ValueError(f"got {value!r}; give a number of seeds, or a list such as [0, 1, 5]")
    for seed in value:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < FIRST_TUNING_SEED:
            raise ValueError(
                f"got {seed!r} among the seeds; a seed is an integer from 0 to {FIRST_TUNING_SEED - 1} "
                f"(tuning uses those from {FIRST_TUNING_SEED})"
            )
    if len(set(value)) < len(value):
        raise ValueError(f"a seed is given twice in {value}")
    return tuple(sorted(value))


def describe_validation_error(
    error: ValidationError, fields: Sequence[str], owner: str
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Turn each finding of pydantic into (key path, sentence): what was got, what is valid, the nearest spelling."""
    for finding in error.errors():
        key = tuple(finding["loc"][:1])
        got, kind, context = finding["input"], finding["type"], finding.get("ctx", {})
        if kind == "extra_forbidden":
            yield key, f"unknown parameter of {owner}{nearest(key[0], fields)}; valid: {', '.join(fields)}"
        elif kind == "missing":
            yield key, f"{owner} needs this parameter"
        elif kind == "literal_error":
            valid = re.findall(r"'([^']*)'", context["expected"])
            yield key, f"unknown {got!r}{nearest(got, valid)}; valid: {', '.join(valid)}"
        elif kind == "value_error":
            yield key, f"got {got!r}; {context['error']}" if key else str(context["error"])
        else:
            yield key, f"got {got!r} ({type(got).__name__}); {_lowered(finding['msg'])}"


def _lowered(message: str) -> str:
    return message[:1].lower() + message[1:]


class _Resolver(VersionedResolver):
    """YAML 1.2 without timestamps: 1000-10-10 is a list of widths, not a day in the year 1000."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> Any:
        tag = super().resolve(kind, value, implicit)
        if str(tag).endswith(":timestamp"):
            return type(tag)(suffix="tag:yaml.org,2002:str") if not isinstance(tag, str) else "tag:yaml.org,2002:str"
        return tag


def _read_yaml(file: Path) -> tuple[dict[str, Any], dict[Path_, str]]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{file}: there is no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from None
    reader = YAML(typ="rt")
    reader.Resolver = _Resolver
    try:
        content = reader.load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else str(file)
        problem = (error.problem or error.context or "no YAML").splitlines()[0]
        raise ConfigError(f"{where}: {problem}") from None
    except (YAMLError, ValueError) as error:
        raise ConfigError(f"{file}: no YAML: {error}") from None
    if not isinstance(content, Mapping):
        raise ConfigError(f"{file}: expected keys such as `sweeps:`, found {type(content).__name__}")
    lines: dict[Path_, str] = {}
    return _plain(content, (), file, lines), lines


def _plain(node: Any, path: Path_, file: Path, lines: dict[Path_, str]) -> Any:
    """Turn ruamel's nodes into plain Python values and note the line of every key."""
    if isinstance(node, Mapping):
        plain = {}
        for key in node:
            if not isinstance(key, str):
                raise ConfigError(f"{locate(lines, path)}{dotted(path)}: key {key!r} is no word; quote it or rename it")
            position = node.lc.data.get(key) if hasattr(node, "lc") and node.lc.data else None
            if position:  # a key that came through `<<` has no line of its own
                lines[(*path, key)] = f"{file}:{position[0] + 1}"
            plain[str(key)] = _plain(node[key], (*path, key), file, lines)
        return plain
    if isinstance(node, list):
        for index in range(len(node)):
            position = node.lc.data.get(index) if hasattr(node, "lc") and node.lc.data else None
            if position:
                lines[(*path, index)] = f"{file}:{position[0] + 1}"
        return [_plain(item, (*path, index), file, lines) for index, item in enumerate(node)]
    if isinstance(node, bool) or node is None:
        return node
    for kind in (int, float, str):
        if isinstance(node, kind):
            if type(node).__name__ == "ScalarBoolean":  # an anchored boolean: a subclass of int
                return bool(node)
            return kind(node)
    raise ConfigError(f"{locate(lines, path)}{dotted(path)}: {node!r} is no number, word, list or mapping")


def _unite(first: Mapping[str, Any], second: Mapping[str, Any], path: Path_, lines: dict[Path_, str]) -> dict[str, Any]:
    """Unite two files; unlike Snakemake's own merge, a value given twice is refused and not overwritten."""
    united = dict(first)
    for key, value in second.items():
        if key not in united or united[key] == value:
            united[key] = value
        elif isinstance(value, Mapping) and isinstance(united[key], Mapping) and path == ():
            united[key] = _unite(united[key], value, (*path, key), lines)
        else:
            here = (*path, key)
            raise ConfigError(f"{locate(lines, here)}{dotted(here)}: an earlier file gives this key another value")
    return united


def _check(document: dict[str, Any], lines: dict[Path_, str], files: tuple[Path, ...]) -> Config:
    settings_fields = tuple(Settings.model_fields)
    known = (*settings_fields, "seeds", "defaults", "sweeps")
    draft = Config(Settings(), (), {}, lines, files)
    for key in document:
        if key == "statistics":
            raise draft.error((key,), "this version has no statistics stage yet; take the key out")
        if key not in known:
            raise draft.error((key,), f"unknown key{nearest(key, known)}; valid: {', '.join(known)}")
    try:
        settings = Settings(**{key: document[key] for key in settings_fields if key in document})
    except ValidationError as error:
        path, message = next(describe_validation_error(error, settings_fields, "the configuration"))
        raise draft.error(path, message) from None
    _check_settings(settings, draft)
    defaults = document.get("defaults", {})
    _check_sections(defaults, ("defaults",), draft, also=())
    sweeps = document.get("sweeps")
    if not isinstance(sweeps, dict) or not sweeps:
        raise draft.error(("sweeps",), "there must be at least one sweep, `sweeps: {name: {model: ...}}`")
    seeds = _seeds(document.get("seeds", 5), ("seeds",), draft)
    for name, sweep in sweeps.items():
        _check_sweep_name(name, draft)
        _check_sections(sweep, ("sweeps", name), draft, also=SWEEP_KEYS)
    resolved = {name: merge(defaults, _extended(name, sweeps, draft, ())) for name in sweeps}
    for name, sweep in resolved.items():
        sweep["seeds"] = _seeds(sweep["seeds"], ("sweeps", name, "seeds"), draft) if "seeds" in sweep else seeds
        if "model" not in sweep:
            raise draft.error(("sweeps", name), "a sweep needs a `model:`")
    return Config(settings, seeds, resolved, lines, files)


def _seeds(value: object, path: Path_, draft: Config) -> tuple[int, ...]:
    try:
        return parse_seeds(value)
    except ValueError as error:
        raise draft.error(path, str(error)) from None


def _check_settings(settings: Settings, draft: Config) -> None:
    lanes = settings.lanes
    if lanes != "auto" and not (isinstance(lanes, int) and lanes >= 1):
        raise draft.error(("lanes",), f"got {lanes!r}; valid: auto, or an integer from 1 on")
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]+)?", settings.device):
        valid = ("auto", "cpu", "cuda", "cuda:0", "mps")
        raise draft.error(
            ("device",), f"unknown {settings.device!r}{nearest(settings.device, valid)}; valid: auto, cpu, cuda, cuda:N, mps"
        )
    for key in ("results", "checkpoints"):
        if (value := getattr(settings, key)) and any(not character.isprintable() for character in value):
            raise draft.error((key,), f"got {value!r}; a path has no control characters")


def _check_sweep_name(name: str, draft: Config) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise draft.error(("sweeps", name), "a sweep's name is a word of a-z, 0-9 and _ that begins with a letter")
    if name in RESERVED_SWEEPS:
        raise draft.error(("sweeps", name), f"the name is a rule's; others taken: {', '.join(RESERVED_SWEEPS)}")


def _check_sections(sweep: object, path: Path_, draft: Config, also: Sequence[str]) -> None:
    """Check that a sweep (or `defaults`) has known keys, each a mapping or, within a sweep, a list of mappings."""
    if not isinstance(sweep, dict):
        raise draft.error(path, f"expected keys such as `model:`, found {sweep!r}")
    for key, value in sweep.items():
        here = (*path, key)
        if key == "tuning":
            raise draft.error(here, "this version does not tune yet; take the key out")
        if key not in (*SECTIONS, *also):
            known = dict.fromkeys((*also, *SECTIONS))
            raise draft.error(here, f"unknown key{nearest(key, known)}; valid: {', '.join(known)}")
        if key not in SECTIONS:
            continue
        entries = value if isinstance(value, list) else [value]
        if not entries:
            raise draft.error(here, "the list is empty; an axis needs at least one value")
        for index, entry in enumerate(entries):
            if not isinstance(entry, dict):
                entry_path = (*here, index) if isinstance(value, list) else here
                raise draft.error(entry_path, f"expected parameters such as `name: ...`, found {entry!r}")


def _extended(name: str, sweeps: Mapping[str, Any], draft: Config, seen: tuple[str, ...]) -> dict[str, Any]:
    """Merge a sweep over the one that it extends."""
    if name in seen:
        chain = " -> ".join((*seen, name))
        raise draft.error(("sweeps", seen[0], "extends"), f"a sweep cannot extend itself: {chain}")
    sweep = dict(sweeps[name])
    parent = sweep.pop("extends", None)
    if parent is None:
        return sweep
    if parent not in sweeps:
        raise draft.error(
            ("sweeps", name, "extends"),
            f"there is no sweep {parent!r}{nearest(parent, sweeps)}; valid: {', '.join(sweeps)}",
        )
    return merge(_extended(parent, sweeps, draft, (*seen, name)), sweep)
