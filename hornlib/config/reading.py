"""The configuration: files are united and checked, defaults are merged, mistakes are reported with file and line."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard, TypeVar

from pydantic import ValidationError

from hornlib.config.messages import describe_validation_error, spelled
from hornlib.config.settings import Settings
from hornlib.config.yaml_file import KeyPath, Lines, dotted, locate, read_yaml
from hornlib.config.yaml_slips import missing_space
from hornlib.errors import ConfigError, nearest
from hornlib.parameters import Parameters
from hornlib.parameters.statistics import OLD_KEYS, Claim, StatisticsSettings, migrated
from hornlib.parameters.tuning import FinalistParameters, TuningParameters

__all__ = [
    "FIRST_TUNING_SEED",
    "RESERVED_SWEEPS",
    "SECTIONS",
    "Config",
    "merge",
    "parse_seeds",
    "read_config",
    "read_document",
]

FIRST_TUNING_SEED = 1000
"""Tuning draws its seeds from here on, so that no seed of a sweep was ever used to choose anything."""

RESERVED_SWEEPS = (
    *("all", "data", "train", "tune", "finalists", "select", "calibrate", "digest", "gather"),
    *("stability", "statistics", "mechanism", "report", "importance", "gather_importance"),
)
"""Names of rules: a sweep is a target of the same name space."""

SWEEP_KEYS = ("extends", "seeds", "data", "model", "structure", "training", "tuning", "statistics")
SECTIONS = ("data", "model", "structure", "training")


Rules = TypeVar("Rules", bound=Parameters)


class Config(NamedTuple):
    """The files as read and checked: settings, and plain sections not yet expanded.

    Attributes:
        settings: the machine's side.
        seeds: seeds of every sweep that names none of its own.
        sweeps: name -> {"seeds": tuple of int, "statistics": its rules, "tuning": its protocol if it is tuned,
            section: entry or entries}, `extends` and `defaults` merged.
        lines: where each key stands, ("sweeps", "thesis", "model", 0) -> "config.yaml:12".
        files: what was read.
        parents: sweep name -> the sweep that it extends.
    """

    settings: Settings
    seeds: tuple[int, ...]
    sweeps: dict[str, dict[str, Any]]
    lines: Lines
    files: tuple[Path, ...]
    parents: dict[str, str]

    def error(self, path: KeyPath, message: str) -> ConfigError:
        """Return an error that says where in the files the key stands, and its path.

        Args:
            path: the key; a line of what the sweep extends, or of `defaults`, is named where the key stands there.
            message: what is wrong, and what is valid.
        """
        places = (place for place in self._origins(path) if place in self.lines)
        where = locate(self.lines, next(places, path)) or f"{', '.join(map(str, self.files))}: "
        return ConfigError(f"{where}{dotted(path)}: {message}")

    def is_given(self, path: KeyPath) -> bool:
        """Return whether a key stands in the files, in its sweep or where the sweep inherits it from."""
        return any(place in self.lines for place in self._origins(path))

    def statistics_key(self, sweep: str, key: str) -> KeyPath | None:
        """Return where a key of the statistics of a sweep stands, None where no file gives it.

        Args:
            sweep: name of the sweep.
            key: a key of its `statistics` section.
        """
        places = (*self._origins(("sweeps", sweep, "statistics", key)), ("statistics", key))
        return next((place for place in places if place in self.lines), None)

    def _origins(self, path: KeyPath) -> Iterator[KeyPath]:
        """Yield where a key may really stand: in the sweep, in what the sweep extends, or in the defaults."""
        yield path
        if path[:1] == ("sweeps",):
            sweep = self.parents.get(str(path[1])) if len(path) > 1 else None
            while sweep:
                yield ("sweeps", sweep, *path[2:])
                sweep = self.parents.get(sweep)
            yield ("defaults", *path[2:])
            yield ("defaults", *(part for part in path[2:] if not isinstance(part, int)))


def read_config(files: Sequence[str | Path]) -> Config:
    """Read and check the files; a key of one file may not be given another value by a later one.

    Raises:
        ConfigError: a file is missing, no YAML, or says something that is not understood.
    """
    document, lines = _read_together(files)
    return _check(document, lines, tuple(map(Path, files)))


def read_document(files: Sequence[str | Path]) -> dict[str, Any]:
    """Return what the files say together, in plain values and not yet checked.

    Raises:
        ConfigError: a file is missing or no YAML, or two files give a key different values.
    """
    return _read_together(files)[0]


def _read_together(files: Sequence[str | Path]) -> tuple[dict[str, Any], Lines]:
    if not files:
        raise ConfigError("no configuration file was named")
    document: dict[str, Any] = {}
    lines: Lines = {}
    for file in map(Path, files):
        content, file_lines = read_yaml(file)
        document = _unite(document, content, (), file_lines)
        lines.update(file_lines)
    return document, lines


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge deeply: mappings are united key by key, any other value of `over` replaces the value of `base`.

    Where one side is a list of mappings (several entries), each entry is merged with the mapping of the other side.
    Only a list of models is replaced as a whole, since its entries are arms. A model or a structure with another
    `name` replaces the one below it, since the parameters belong to the name. A range (`tune:`) over a value has
    that value as its default.

    Args:
        base: the sections below, such as `defaults`.
        over: the sections that win, such as those of a sweep.
    """
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            merged[key] = _merge_entry(key, below, value)
        elif isinstance(below, Mapping) and _is_entries(value):
            merged[key] = [_merge_entry(key, below, entry) for entry in value]
        elif _is_entries(below) and isinstance(value, Mapping) and key != "model":
            merged[key] = [_merge_entry(key, entry, value) for entry in below]
        elif below is not None and _is_range(value):
            merged[key] = {"tune": {"default": below, **value["tune"]}}
        else:
            merged[key] = value
    return merged


def _merge_entry(key: str, base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    renamed = (
        key in ("model", "structure") and "name" in over and over["name"] != base.get("name", over["name"])
    )
    return dict(over) if renamed else merge(base, over)


def _is_range(value: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping) and set(value) == {"tune"} and isinstance(value["tune"], Mapping)


def _is_entries(value: object) -> TypeGuard[list[Mapping[str, Any]]]:
    return isinstance(value, list) and bool(value) and all(isinstance(entry, Mapping) for entry in value)


def parse_seeds(value: object) -> tuple[int, ...]:
    """Return the seeds meant by a count (10: 0..9) or by a list.

    Raises:
        ValueError: the value means no seeds, or impossible ones.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        if not 1 <= value <= FIRST_TUNING_SEED:
            raise ValueError(f"got {spelled(value)}; a number of seeds is between 1 and {FIRST_TUNING_SEED}")
        return tuple(range(value))
    if not isinstance(value, list) or not value:
        raise ValueError(f"got {spelled(value)}; give a number of seeds, or a list such as [0, 1, 5]")
    for seed in value:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < FIRST_TUNING_SEED:
            raise ValueError(
                f"got {spelled(seed)} among the seeds; a seed is an integer from 0 to {FIRST_TUNING_SEED - 1} "
                f"(tuning uses those from {FIRST_TUNING_SEED})"
            )
    twice = sorted({seed for seed in value if value.count(seed) > 1})
    if twice:
        raise ValueError(f"got the seed {twice[0]} twice; each is given once")
    return tuple(sorted(value))


def _unite(
    first: Mapping[str, Any], second: Mapping[str, Any], path: KeyPath, lines: Lines
) -> dict[str, Any]:
    """Unite two files; unlike Snakemake's own merge, a value given twice is refused and not overwritten."""
    united = dict(first)
    for key, value in second.items():
        if key not in united or united[key] == value:
            united[key] = value
        elif isinstance(value, Mapping) and isinstance(united[key], Mapping) and path == ():
            united[key] = _unite(united[key], value, (*path, key), lines)
        else:
            here = (*path, key)
            raise ConfigError(
                f"{locate(lines, here)}{dotted(here)}: an earlier file gives this key another value"
            )
    return united


def _check(document: dict[str, Any], lines: Lines, files: tuple[Path, ...]) -> Config:
    draft = Config(Settings(), (), {}, lines, files, {})
    settings = _settings(document, draft)
    defaults = document.get("defaults", {})
    _check_sections(defaults, ("defaults",), draft, valid=SECTIONS)
    sweeps = document.get("sweeps")
    if not isinstance(sweeps, dict) or not sweeps:
        raise draft.error(("sweeps",), "there must be at least one sweep, `sweeps: {name: {model: ...}}`")
    seeds = _seeds(document.get("seeds", 5), ("seeds",), draft)
    for name, sweep in sweeps.items():
        _check_sweep_name(name, draft)
        _check_sections(sweep, ("sweeps", name), draft, valid=SWEEP_KEYS)
    draft = draft._replace(parents=_parents(sweeps, draft))
    resolved = {name: merge(defaults, _extended(name, sweeps, draft.parents)) for name in sweeps}
    deprecations: dict[str, None] = {}
    for name, sweep in resolved.items():
        sweep["seeds"] = (
            _seeds(sweep["seeds"], ("sweeps", name, "seeds"), draft) if "seeds" in sweep else seeds
        )
        if "model" not in sweep:
            raise draft.error(("sweeps", name), "a sweep needs a `model:`")
        parts = document.get("statistics", {}), sweep.get("statistics", {})
        sweep["statistics"] = _statistics(parts, name, draft, deprecations)
        _check_looks(sweep["statistics"].sequential, len(sweep["seeds"]), name, draft)
        if "tuning" in sweep:
            sweep["tuning"] = _tuning(sweep["tuning"], ("sweeps", name, "tuning"), draft)
    for sentence in deprecations:
        print(f"warning: {sentence}", file=sys.stderr)
    return draft._replace(settings=settings, seeds=seeds, sweeps=resolved)


def _settings(document: Mapping[str, Any], draft: Config) -> Settings:
    fields = tuple(Settings.model_fields)
    valid = (*fields, "seeds", "defaults", "statistics", "sweeps")
    for key in document:
        if key not in valid:
            raise draft.error((key,), f"unknown key{nearest(key, valid)}; valid: {', '.join(valid)}")
    try:
        return Settings(**{key: document[key] for key in fields if key in document})
    except ValidationError as error:
        path, message = next(describe_validation_error(error, fields, "the configuration"))
        raise draft.error(path, message) from None


def _rules(kind: type[Rules], parts: Sequence[object], path: KeyPath, draft: Config) -> Rules:
    """Return settings whose later parts replace the earlier ones key by key."""
    united = _united(kind, parts, path, draft)
    try:
        return kind(**united)
    except ValidationError as error:
        fields = tuple(kind.model_fields)
        mistakes = list(describe_validation_error(error, fields, str(path[-1])))
        # a misspelt key first: it also explains why another key is missing
        place, message = next((one for one in mistakes if one[1].startswith("unknown")), mistakes[0])
        raise draft.error((*path, *place), message) from None


def _united(kind: type[Parameters], parts: Sequence[object], path: KeyPath, draft: Config) -> dict[str, Any]:
    united: dict[str, Any] = {}
    for part in parts:
        if not isinstance(part, dict):
            raise draft.error(path, _expected(f"keys such as `{next(iter(kind.model_fields))}:`", part))
        united |= part
    return united


def _statistics(
    parts: Sequence[object], sweep: str, draft: Config, deprecations: dict[str, None]
) -> StatisticsSettings:
    """Return the rules of a sweep; keys of the sweep replace those of the whole configuration.

    Keys of earlier versions are migrated; a sentence about them is added to `deprecations`, once for each place.
    """
    place = ("sweeps", sweep, "statistics") if parts[1] else ("statistics",)
    united = _united(StatisticsSettings, parts, place, draft)
    keys = {key: draft.statistics_key(sweep, key) or (*place, key) for key in (*united, "claims")}
    if old := [key for key in OLD_KEYS if key in united]:
        keys["claims"] = keys[old[0]]
        if "claims" in united:
            raise draft.error(keys["claims"], "the key `claims` replaces this key; take one of them out")
        united = migrated(united)
        deprecations[str(draft.error(keys["claims"], _new_spelling(old, united["claims"])))] = None
    for name, claim in _claims(united, keys["claims"], draft).items():
        _rules(Claim, (claim,), (*keys["claims"], name), draft)
    try:
        return StatisticsSettings(**united)
    except ValidationError as error:
        fields = tuple(StatisticsSettings.model_fields)
        key, message = next(describe_validation_error(error, fields, "statistics"))
        raise draft.error(keys.get(str(key[0]), (*place, *key)) if key else place, message) from None


def _check_looks(looks: Sequence[int], num_seeds: int, sweep: str, draft: Config) -> None:
    """Refuse looks at more seeds than a sweep trains."""
    if looks and looks[-1] > num_seeds:
        place = draft.statistics_key(sweep, "sequential") or ("sweeps", sweep, "statistics", "sequential")
        raise draft.error(
            place,
            f"a look at {looks[-1]} seeds, but the sweep {sweep} has {num_seeds}; valid: looks up to {num_seeds}, or "
            f"`seeds: {looks[-1]}`",
        )


def _claims(content: Mapping[str, Any], path: KeyPath, draft: Config) -> Mapping[str, object]:
    claims = content.get("claims", {})
    if not isinstance(claims, dict):
        raise draft.error(
            path, f"expected claims such as {{faster: {{rivals: [cnn]}}}}, found {spelled(claims)}"
        )
    return claims


def _new_spelling(old: Sequence[str], claims: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a sentence with the claims that replace keys of earlier versions.

    Args:
        old: the keys of earlier versions.
        claims: name -> the claim.
    """

    def bare(value: object) -> str:
        return f"[{', '.join(map(str, value))}]" if isinstance(value, list | tuple) else str(value)

    replacement = ", ".join(
        f"{name}: {{{', '.join(f'{key}: {bare(value)}' for key, value in claim.items())}}}"
        for name, claim in claims.items()
    )
    keys = f"this key and `{old[1]}` are" if len(old) > 1 else "this key is"
    return f"{keys} deprecated; write `claims: {{{replacement}}}`"


def _tuning(content: object, path: KeyPath, draft: Config) -> TuningParameters:
    """Return the protocol; a mistake in `finalists` is reported with the line of its own key."""
    if not isinstance(content, dict) or content.get("finalists") is None:
        return _rules(TuningParameters, (content,), path, draft)
    here = (*path, "finalists")
    finalists = _rules(FinalistParameters, (content["finalists"],), here, draft)
    first = _rules(TuningParameters, ({**content, "finalists": None},), path, draft)
    if finalists.trials > first.trials:
        raise draft.error(
            (*here, "trials") if "trials" in content["finalists"] else here,
            f"got {finalists.trials} finalists of {first.trials} trials; valid: 1 to {first.trials}",
        )
    return _rules(TuningParameters, ({**content, "finalists": finalists},), path, draft)


def _seeds(value: object, path: KeyPath, draft: Config) -> tuple[int, ...]:
    try:
        return parse_seeds(value)
    except ValueError as error:
        raise draft.error(path, str(error)) from None


def _check_sweep_name(name: str, draft: Config) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", name):
        raise draft.error(
            ("sweeps", name),
            "a sweep's name is a word of a-z, 0-9 and _ that begins with a letter, 64 at most",
        )
    if name in RESERVED_SWEEPS:
        raise draft.error(
            ("sweeps", name), f"this is the name of a rule; taken: {', '.join(RESERVED_SWEEPS)}"
        )


def _check_sections(sweep: object, path: KeyPath, draft: Config, valid: Sequence[str]) -> None:
    """Check that a sweep (or `defaults`) has known keys, and in each section a mapping or a list of them."""
    if not isinstance(sweep, dict):
        raise draft.error(path, _expected("keys such as `model:`", sweep))
    for key, value in sweep.items():
        here = (*path, key)
        if key not in valid:
            raise draft.error(here, f"unknown key{nearest(key, valid)}; valid: {', '.join(valid)}")
        if key in SECTIONS:
            _check_entries(value, here, draft)


def _check_entries(section: object, path: KeyPath, draft: Config) -> None:
    if section == []:
        raise draft.error(path, "the list is empty; an axis needs at least one value")
    for index, entry in enumerate(section if isinstance(section, list) else [section]):
        here = (*path, index) if isinstance(section, list) else path
        if not isinstance(entry, dict):
            raise draft.error(here, _expected("parameters such as `name: ...`", entry))
        if isinstance(section, list) and any(repr(entry) == repr(other) for other in section[:index]):
            raise draft.error(here, "an entry above says the same; take one of them out")


def _expected(words: str, value: object) -> str:
    """Return a sentence about a value that is no mapping; `epochs:3` is text, since a space is missing.

    Args:
        words: what is valid.
        value: what stands there.
    """
    advice = missing_space(value) if isinstance(value, str) else ""
    return f"expected {words}, found {spelled(value)}" + (f"; {advice}" if advice else "")


def _parents(sweeps: Mapping[str, Any], draft: Config) -> dict[str, str]:
    """Return what each sweep extends; each exists, and following them comes to an end."""
    parents = {name: sweep["extends"] for name, sweep in sweeps.items() if "extends" in sweep}
    for name, parent in parents.items():
        path = ("sweeps", name, "extends")
        if not isinstance(parent, str) or parent not in sweeps:
            valid = [other for other in sweeps if other != name]
            listed = ", ".join(valid) or "none"
            raise draft.error(
                path, f"there is no sweep {spelled(parent)}{nearest(parent, valid)}; valid: {listed}"
            )
    for name in parents:
        chain = [name]
        while chain[-1] in parents and chain.count(chain[-1]) == 1:
            chain.append(parents[chain[-1]])
        if chain.count(chain[-1]) > 1:
            raise draft.error(
                ("sweeps", name, "extends"), f"a sweep cannot extend itself: {' -> '.join(chain)}"
            )
    return parents


def _extended(name: str, sweeps: Mapping[str, Any], parents: Mapping[str, str]) -> dict[str, Any]:
    """Merge a sweep over the one that it extends."""
    sections = {key: value for key, value in sweeps[name].items() if key != "extends"}
    return merge(_extended(parents[name], sweeps, parents), sections) if name in parents else sections
