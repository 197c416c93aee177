"""What a tuned sweep asks for: ranges, trials, objectives, and what a tuned cell is known by; free of torch."""

from typing import Annotated, Any, Literal, NamedTuple, get_args

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from hornlib.parameters import Parameters

__all__ = ["OBJECTIVES", "Objective", "Ranges", "TuneRange", "Tuned", "TuningParameters"]

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
    """What the untuned cell of the arm takes; null: the value that the range replaces, or the parameter's default."""

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

    def known_by(self) -> list[float | str]:
        """Return what a name depends on: not the untuned cell's value."""
        return [self.low, self.high, self.scale]


Ranges = dict[str, TuneRange]
"""`training.learning_rate` -> its range; the learning rate first, so that all arms draw it alike."""


class TuningParameters(Parameters):
    """The protocol of a tuned sweep: `tuning: {trials: 16, seeds: 2}`."""

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

    @model_validator(mode="after")
    def _each_once(self) -> "TuningParameters":
        if not self.objectives or len(set(self.objectives)) < len(self.objectives):
            raise ValueError(f"objectives: each once, of {', '.join(OBJECTIVES)}")
        return self


class Tuned(NamedTuple):
    """How the values of a tuned cell are found; all of it is part of the cell's name.

    Attributes:
        ranges: of every tuned parameter.
        trials, seeds: of the arm's tuning.
        objective: what is chosen for.
        arm: the arm's tuning file, without the ending.
        baseline: that of the baseline whose final metric sets the target's level; "" for final_metric.
        target: share of the baseline's gain over chance; 0 for final_metric.
        confirm: evaluations in a row that must reach it; 0 for final_metric.
    """

    ranges: Ranges
    trials: int
    seeds: int
    objective: Objective
    arm: str
    baseline: str
    target: float
    confirm: int

    def known_by(self) -> dict[str, Any]:
        """Return what the cell's name depends on."""
        ranges = {key: found.known_by() for key, found in self.ranges.items()}
        return {**self._asdict(), "ranges": ranges}

    def document(self) -> dict[str, Any]:
        """Return it as JSON takes it; `parse` reads it."""
        ranges = {key: found.canonical() for key, found in self.ranges.items()}
        return {**self._asdict(), "ranges": ranges}

    @classmethod
    def parse(cls, document: dict[str, Any]) -> "Tuned":
        """Return what `document` said."""
        ranges = {key: TuneRange(**values) for key, values in document["ranges"].items()}
        return cls(**{**document, "ranges": ranges})
