"""What a tuned sweep asks for: ranges, trials, objectives, and what the name of a tuned cell depends on."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from hornlib.parameters.base import Parameters

__all__ = [
    "OBJECTIVES",
    "FinalistParameters",
    "Objective",
    "Ranges",
    "TuneRange",
    "Tuned",
    "TuningParameters",
]

Objective = Literal["time_to_target", "final_metric"]
"""time_to_target: the least restricted mean time on validation; final_metric: the best last validation metric."""

OBJECTIVES: tuple[Objective, ...] = get_args(Objective)


class TuneRange(Parameters):
    """The range that trials draw a parameter from: `{tune: {low: 1e-4, high: 1e-1, scale: log}}`."""

    low: float
    """Smallest value."""
    high: float
    """Largest value."""
    scale: Literal["log", "linear"] = "linear"
    """Whether draws are even in the value or in its logarithm."""
    default: float | None = None
    """Value in the untuned cell of the arm; null: the value that the range replaces, or the parameter's default."""

    @model_validator(mode="after")
    def _is_a_range(self) -> "TuneRange":
        if not self.low < self.high:
            raise ValueError(f"low must be below high; got {self.low} and {self.high}")
        if self.scale == "log" and self.low <= 0:
            raise ValueError(f"scale: log needs a low above 0; got {self.low}")
        return self

    def at(self, share: float) -> float:
        """Return the value at a share of the range, to six digits, so that it reads the same everywhere."""
        if self.scale == "log":
            return float(f"{self.low * (self.high / self.low) ** share:.6g}")
        return float(f"{self.low + (self.high - self.low) * share:.6g}")

    def hashed(self) -> list[float | str]:
        """Return the part of the range that a cell's name depends on; the default is none."""
        return [self.low, self.high, self.scale]


Ranges = dict[str, TuneRange]
"""`training.learning_rate` -> its range; the learning rate first, so that all arms draw it alike."""


class FinalistParameters(Parameters):
    """The second stage of tuning: the best trials are trained again with fresh seeds before one is chosen.

    In simulations (16 trials with 2 seeds, then 8 seeds on the best 4) the second stage lowers the share of false
    differences between two equal arms from 8 to 11 % to 6 to 7 %, at a nominal 5 %.
    """

    trials: int = Field(default=4, ge=1, le=4096)
    """Number of trials of each arm, for each objective, that are trained again; at most the number of trials."""
    seeds: int = Field(default=8, ge=1, le=1000)
    """Number of fresh seeds of each finalist, counted on from the seeds of the first stage."""


class TuningParameters(Parameters):
    """The protocol of a tuned sweep: `tuning: {trials: 16, seeds: 2, finalists: {trials: 4, seeds: 8}}`."""

    trials: int = Field(default=16, ge=1, le=4096)
    """N, trials of every arm in all."""
    seeds: int = Field(default=2, ge=1, le=100)
    """Seeds of a trial, counted from 1000: no seed of the sweep was ever used to choose."""
    objectives: Annotated[
        tuple[Objective, ...],
        BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
        WithJsonSchema({"type": "array", "items": {"enum": list(OBJECTIVES)}, "minItems": 1}),
    ] = OBJECTIVES
    """What is chosen for; each objective has its own cells and its own fresh runs."""
    finalists: Annotated[
        FinalistParameters | None,
        WithJsonSchema({"anyOf": [FinalistParameters.mapping_schema(), {"type": "null"}]}),
    ] = None
    """The second stage of tuning, such as {trials: 4, seeds: 8}; null: the choice is made after the first stage."""

    @model_validator(mode="after")
    def _each_once(self) -> "TuningParameters":
        if not self.objectives or len(set(self.objectives)) < len(self.objectives):
            raise ValueError(f"objectives: each once, of {', '.join(OBJECTIVES)}")
        return self

    @model_validator(mode="after")
    def _finalists_are_trials(self) -> "TuningParameters":
        if self.finalists is not None and self.finalists.trials > self.trials:
            raise ValueError(
                f"finalists: {self.finalists.trials} trials of {self.trials}; valid: 1 to {self.trials}"
            )
        return self


class Tuned(NamedTuple):
    """How the values of a tuned cell are chosen. The cell's name depends on all attributes but the last two.

    Attributes:
        ranges: range of every tuned parameter.
        trials, seeds: numbers of trials, and of seeds of each trial, in the first stage.
        objective: what the values are chosen for.
        arm: name of the arm's tuning file, without the ending.
        baseline: name of the baseline's tuning file; its final metric sets the level of the target; "" for
            final_metric.
        target: share of the baseline's gain over chance; 0 for final_metric.
        confirm: number of evaluations in a row that must reach the target; 0 for final_metric.
        finalist_trials, finalist_seeds: the same numbers in the second stage; 0 without a second stage.
        finalists: file of the arm's finalists, without the ending; "" without a second stage.
        baseline_finalists: file of the baseline's finalists; "" for final_metric, or without a second stage.
    """

    ranges: Ranges
    trials: int
    seeds: int
    objective: Objective
    arm: str
    baseline: str
    target: float
    confirm: int
    finalist_trials: int = 0
    finalist_seeds: int = 0
    finalists: str = ""
    baseline_finalists: str = ""

    def hashed(self) -> dict[str, Any]:
        """Return the part of the protocol that the cell's name depends on.

        The finalists' files are left out, since their names depend on every objective, and a cell has only one.
        """
        ranges = {key: tune_range.hashed() for key, tune_range in self.ranges.items()}
        files = ("finalists", "baseline_finalists")
        return {key: value for key, value in self._fields_given() if key not in files} | {"ranges": ranges}

    def document(self) -> dict[str, Any]:
        """Return the protocol as plain values for JSON, which `parse` reads."""
        ranges = {key: tune_range.canonical() for key, tune_range in self.ranges.items()}
        return dict(self._fields_given()) | {"ranges": ranges}

    def _fields_given(self) -> Iterator[tuple[str, Any]]:
        """Yield every field; those of the second stage only where one is given, so that older names do not change."""
        for key, value in self._asdict().items():
            if key not in self._field_defaults or value != self._field_defaults[key]:
                yield key, value

    @classmethod
    def parse(cls, document: dict[str, Any]) -> "Tuned":
        """Return the protocol that `document` described."""
        ranges = {key: TuneRange(**values) for key, values in document["ranges"].items()}
        return cls(**{**document, "ranges": ranges})
