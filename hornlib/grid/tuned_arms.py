"""Arms of a tuned sweep: the ranges that are tuned, and the cells with default and with chosen values."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import ValidationError

from hornlib.config.messages import describe_validation_error, spelled
from hornlib.config.reading import FIRST_TUNING_SEED, Config, merge
from hornlib.config.yaml_file import KeyPath
from hornlib.errors import ConfigError
from hornlib.grid.axes import ENTRY_KEYS
from hornlib.grid.cell import Cell, Specification, make_tuned, named, parse_specification, with_values
from hornlib.grid.refusals import refusals
from hornlib.parameters.tuning import Ranges, Tuned, TuneRange, TuningParameters

__all__ = ["ONE_ENTRY", "TunedArm", "check_ends", "plain_content", "ranges_of", "tuned_arm", "tuned_cells"]

LEARNING_RATE = "training.learning_rate"


class TunedArm(NamedTuple):
    """One arm on one dataset, and the first stage of its tuning.

    Attributes:
        name: `<dataset>-<model>-<12 hex digits>`, the name of its tuning file. The digits hash everything but the
            tuned values.
        cell: the cell with default values.
        ranges: `training.learning_rate` -> its range.
        trials: N, the number of trials.
        seeds: number of seeds of every trial.
    """

    name: str
    cell: Cell
    ranges: Ranges
    trials: int
    seeds: int

    def document(self) -> dict[str, Any]:
        """Return the arm as plain values for JSON; a tuning job is given these."""
        ranges = {key: tune_range.canonical() for key, tune_range in self.ranges.items()}
        return {
            "cell": self.cell.job_specification(),
            "ranges": ranges,
            "trials": self.trials,
            "seeds": self.seeds,
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "TunedArm":
        """Return the arm that `document` described.

        Raises:
            ConfigError: it is not understood.
        """
        try:
            ranges = {key: TuneRange(**values) for key, values in document["ranges"].items()}
            protocol = TuningParameters(trials=document["trials"], seeds=document["seeds"])
            return tuned_arm(parse_specification(document["cell"]), ranges, protocol)
        except (KeyError, TypeError, AttributeError, ValidationError) as error:
            raise ConfigError(f"--arm: not understood ({type(error).__name__}: {error})") from None

    def all_seeds(self) -> list[int]:
        """Return the seeds of every trial; none of them is a sweep's."""
        return list(range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + self.seeds))


def tuned_arm(cell: Cell, ranges: Ranges, protocol: TuningParameters) -> TunedArm:
    """Return the arm under its name.

    Args:
        cell: the arm's cell with its default values.
        ranges: `training.learning_rate` -> its range.
        protocol: numbers of trials and seeds.
    """
    changed: Specification = cell.changed()
    for key in ranges:
        section, _, parameter = key.partition(".")
        changed[section].pop(parameter, None)
    hashed = [changed, {key: tune_range.hashed() for key, tune_range in ranges.items()}]
    parts = json.dumps([*hashed, protocol.trials, protocol.seeds], sort_keys=True)
    name = named(cell.data, cell.model, cell.structure, parts)
    return TunedArm(name, cell, ranges, protocol.trials, protocol.seeds)


def tuned_cells(
    arm: TunedArm,
    baseline: TunedArm,
    protocol: TuningParameters,
    target: float,
    confirm: int,
    finalists: str = "",
    baseline_finalists: str = "",
) -> Iterator[Cell]:
    """Yield the arm's tuned cells, one for each objective.

    Args:
        arm: the arm's first stage.
        baseline: the baseline's first stage.
        protocol: trials, seeds, objectives and finalists.
        target: share of the baseline's gain over chance.
        confirm: evaluations in a row that must reach the target.
        finalists, baseline_finalists: names of the second stages; "" where there is none.
    """
    second = protocol.finalists
    for objective in protocol.objectives:
        timed = objective == "time_to_target"
        yield make_tuned(
            arm.cell,
            Tuned(
                ranges=arm.ranges,
                trials=arm.trials,
                seeds=arm.seeds,
                objective=objective,
                arm=arm.name,
                baseline=baseline.name if timed else "",
                target=target if timed else 0.0,
                confirm=confirm if timed else 0,
                finalist_trials=second.trials if second else 0,
                finalist_seeds=second.seeds if second else 0,
                finalists=finalists,
                baseline_finalists=baseline_finalists if timed else "",
            ),
        )


def check_ends(config: Config, arm: TunedArm, path: KeyPath) -> None:
    """Check that the arm can be trained at both ends of every range.

    Args:
        config: makes the errors, which say where a key stands.
        arm: the tuned arm.
        path: where the arm's entry stands.

    Raises:
        ConfigError: a parameter that does not exist, or a value that cannot be trained.
    """
    for key, tune_range in arm.ranges.items():
        section, _, parameter = key.partition(".")
        place = (*path, parameter) if section == "model" else (*path, section, parameter)
        for value in (tune_range.low, tune_range.high):
            try:
                ended = with_values(arm.cell, {key: value})
            except ValidationError as error:
                fields = tuple(type(arm.cell.sections()[section]).model_fields)
                _, message = next(describe_validation_error(error, fields, section))
                raise config.error(place, message) from None
            for refusal in refusals(ended):
                raise config.error(place, f"at {value:g}: {refusal}")


def ranges_of(config: Config, sweep: str) -> dict[KeyPath, Ranges]:
    """Return the ranges of every model entry of a tuned sweep, by where the entry stands.

    Args:
        config: the configuration.
        sweep: name of the tuned sweep.

    Raises:
        ConfigError: a list, a range that is none, or an arm with nothing to tune.
    """
    content = config.sweeps[sweep]
    for section in ("training", "structure"):
        if isinstance(content.get(section, {}), list):
            raise config.error(("sweeps", sweep, section), ONE_ENTRY)
    return {path: _entry_ranges(config, sweep, entry, path) for path, entry in _entries(config, sweep)}


def plain_content(config: Config, sweep: str) -> dict[str, Any]:
    """Return the sections of a tuned sweep with each `tune:` replaced by its default, or left out.

    Args:
        config: the configuration; `ranges_of` has accepted the sweep.
        sweep: name of the tuned sweep.
    """
    content = dict(config.sweeps[sweep])
    model = content["model"]
    entries = [_without_ranges(entry) for entry in (model if isinstance(model, list) else [model])]
    content["model"] = entries if isinstance(model, list) else entries[0]
    if "training" in content:
        content["training"] = _defaults_for_ranges(content["training"])
    return content


ONE_ENTRY = "a tuned sweep has no lists but of datasets: each arm is one entry, with the same trials for each"
"""Message where a tuned sweep would need several cells of one arm."""


def _entries(config: Config, sweep: str) -> Sequence[tuple[KeyPath, Mapping[str, Any]]]:
    model, path = config.sweeps[sweep]["model"], ("sweeps", sweep, "model")
    if isinstance(model, list):
        return [((*path, index), entry) for index, entry in enumerate(model)]
    return [(path, model)]


def _entry_ranges(config: Config, sweep: str, entry: Mapping[str, Any], path: KeyPath) -> Ranges:
    """Return the ranges of one arm: those of its training, then those of its model; the learning rate first."""
    override = entry.get("training", {})
    if isinstance(override, list):
        raise config.error((*path, "training"), ONE_ENTRY)
    if not isinstance(override, dict):
        raise config.error((*path, "training"), f"expected parameters of training, found {spelled(override)}")
    shared = config.sweeps[sweep].get("training", {})
    training = merge({"training": shared}, {"training": override})["training"]
    ranges: Ranges = {}
    for key, value in training.items():
        place = (*path, "training", key) if key in override else ("sweeps", sweep, "training", key)
        if (tune_range := _range_at(config, value, place)) is not None:
            ranges[f"training.{key}"] = tune_range
    for key, value in entry.items():
        if key not in ENTRY_KEYS and (tune_range := _range_at(config, value, (*path, key))) is not None:
            ranges[f"model.{key}"] = tune_range
    if not ranges:
        raise config.error(
            path, "nothing of this arm is tuned; give `training: {learning_rate: {tune: ...}}`"
        )
    return {key: ranges[key] for key in sorted(ranges, key=lambda key: (key != LEARNING_RATE, key))}


def _range_at(config: Config, value: object, path: KeyPath) -> TuneRange | None:
    """Return the range that a parameter is given as, None for a plain value."""
    if isinstance(value, list):
        raise config.error(path, ONE_ENTRY)
    if not isinstance(value, dict):
        return None
    if set(value) != {"tune"} or not isinstance(value["tune"], dict):
        raise config.error(
            path, f"expected a value or {{tune: {{low: ..., high: ..., scale: log}}}}, found {spelled(value)}"
        )
    given: dict[str, Any] = {
        name: float(number) if isinstance(number, int) and not isinstance(number, bool) else number
        for name, number in value["tune"].items()
    }
    try:
        return TuneRange(**given)
    except ValidationError as error:
        mistakes = describe_validation_error(error, tuple(TuneRange.model_fields), "tune")
        key, message = next(mistakes)
        raise config.error((*path, "tune", *key), message) from None


def _without_ranges(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's entry with defaults for the ranges of its model and its training."""
    others = {key: value for key, value in entry.items() if key in ENTRY_KEYS}
    if "training" in others:
        others["training"] = _defaults_for_ranges(others["training"])
    return {
        **_defaults_for_ranges({key: value for key, value in entry.items() if key not in others}),
        **others,
    }


def _defaults_for_ranges(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with each range replaced by its default; a range without one is left out."""
    plain = {}
    for key, value in values.items():
        if not isinstance(value, dict):
            plain[key] = value
        elif value["tune"].get("default") is not None:
            plain[key] = value["tune"]["default"]
    return plain
