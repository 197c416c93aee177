"""What the statistics of a sweep compare, and by which rules: the `statistics:` section of config.yaml."""

from typing import Annotated

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from hornlib.parameters import Parameters

__all__ = ["StatisticsSettings"]


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


Labels = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(_as_tuple),
    WithJsonSchema({"type": "array", "items": {"type": "string", "minLength": 1}}),
]

Shares = Annotated[
    tuple[Annotated[float, Field(gt=0, lt=1)], ...],
    BeforeValidator(lambda value: _as_tuple([value] if isinstance(value, int | float) else value)),
    WithJsonSchema(
        {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}}
    ),
]


class StatisticsSettings(Parameters):
    """Whom the claims are about, against whom, and how certain they must be."""

    subject: str | None = Field(default=None, min_length=1)
    """Label of the arm that the claims are about; null: the first arm with oscillators."""
    baseline: str = Field(default="cnn", min_length=1)
    """Label of the arm whose median final validation metric A sets the targets' levels."""
    target: float = Field(default=0.9, gt=0, lt=1)
    """The headline target f, a share of the baseline's gain over chance: the level is chance + f (A - chance)."""
    targets: Shares = (0.8, 0.9, 0.95, 0.99)
    """Targets that are reported beside the headline."""
    confirm: int = Field(default=2, ge=1)
    """Consecutive evaluations that must reach a level."""
    margin: float = Field(default=0.01, gt=0)
    """Loss of the final metric that still counts as none (non-inferiority), in the metric's own unit."""
    faster_than: Labels | None = None
    """Arms that the subject must beat to be faster: matched in parameters, matched in FLOPs; null: the baseline."""
    oscillation_controls: Labels = ()
    """Arms that it must also beat for oscillation to be the cause: leaky, overdamped, tanh with the same gain."""
    bootstrap: int = Field(default=10_000, ge=1000)
    """Draws of a bootstrap."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Two-sided error: intervals cover 1 - alpha, tests reject at alpha after Holm's correction."""
    seed: int = Field(default=0, ge=0)
    """Of the draws."""
    min_seeds: int = Field(default=7, ge=2)
    """Pairs of runs below which nothing is concluded."""

    @model_validator(mode="after")
    def _rivals_are_others(self) -> "StatisticsSettings":
        if self.subject is not None and self.subject in self.rivals():
            raise ValueError(f"subject: {self.subject!r} is also among its own rivals; name other arms there")
        return self

    def all_targets(self) -> tuple[float, ...]:
        """Return every target in ascending order, the headline among them."""
        return tuple(sorted({*self.targets, self.target}))

    def must_beat(self) -> tuple[str, ...]:
        """Return the arms that "faster" is judged against."""
        return (self.baseline,) if self.faster_than is None else self.faster_than

    def rivals(self) -> tuple[str, ...]:
        """Return every arm that some claim names, once."""
        return tuple(dict.fromkeys((*self.must_beat(), *self.oscillation_controls)))
