"""The `statistics:` section of config.yaml: what the statistics of a sweep compare, and by which rules."""

import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from hornlib.errors import nearest
from hornlib.parameters.base import Parameters

__all__ = [
    "AXES",
    "OLD_KEYS",
    "OSCILLATORS",
    "Axis",
    "Claim",
    "StatisticsSettings",
    "default_claims",
    "default_subject",
    "migrated",
]

Axis = Literal["step", "samples", "training_flops", "seconds", "training_loss"]

OSCILLATORS = ("horn_cnn", "horn", "cnn_horn")
"""Models with oscillators, in order of preference. A claim without a subject is about the first arm that has the first
of these models in the sweep."""

AXES: tuple[Axis, ...] = get_args(Axis)
"""Axes of cost. A cost on `training_loss` is the number of samples until the training loss reaches a level. A cost on
another axis is the amount of that axis until the validation metric reaches a level."""

OLD_KEYS = ("faster_than", "oscillation_controls")
"""Keys of earlier versions, which `claims` has replaced."""

CLAIM_NAME = r"[a-z][a-z0-9_]{0,63}"


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _as_axes(value: object) -> object:
    """Return one axis or several as a tuple; the error names an axis that does not exist."""
    axes = (value,) if isinstance(value, str) else _as_tuple(value)
    for axis in axes if isinstance(axes, tuple) else ():
        if axis not in AXES:
            raise ValueError(f"unknown axis {axis!r}{nearest(axis, AXES)}; valid: {', '.join(AXES)}")
    return axes


def _as_looks(value: object) -> object:
    looks = _as_tuple(value)
    if not isinstance(looks, tuple) or not all(type(look) is int and look >= 2 for look in looks):
        raise ValueError("valid: numbers of seeds from 2 on, such as [7, 10, 15, 20]")
    return looks


Labels = Annotated[
    tuple[Annotated[str, Field(min_length=1)], ...],
    BeforeValidator(_as_tuple),
    WithJsonSchema({"type": "array", "items": {"type": "string", "minLength": 1}}),
]

Axes = Annotated[
    tuple[Axis, ...],
    BeforeValidator(_as_axes),
    WithJsonSchema(
        {
            "anyOf": [
                {"enum": list(AXES)},
                {"type": "array", "items": {"enum": list(AXES)}, "minItems": 1, "uniqueItems": True},
            ]
        }
    ),
]

Shares = Annotated[
    tuple[Annotated[float, Field(gt=0, lt=1)], ...],
    BeforeValidator(lambda value: _as_tuple([value] if isinstance(value, int | float) else value)),
    WithJsonSchema(
        {"type": "array", "items": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}}
    ),
]

Looks = Annotated[
    tuple[int, ...],
    BeforeValidator(_as_looks),
    WithJsonSchema({"type": "array", "items": {"type": "integer", "minimum": 2}, "uniqueItems": True}),
]


class Claim(Parameters):
    """A claim that one arm, the subject, has a lower cost than every rival on every axis.

    With `what`, the claim says that this property of the subject is the cause. It then holds only if the subject also
    beats every control. A control is an arm without the property. Without controls such a claim is not judged.
    """

    subject: str | None = Field(default=None, min_length=1)
    """Label of the arm that the claim is about. null: the subject of `statistics`."""
    question: str | None = Field(default=None, min_length=1)
    """Question that the claim answers. Write it in quotation marks, because Snakemake's YAML reader stops at a bare
    question mark within braces. null: the question is made from the axes and from `what`."""
    axes: Axes = ("samples",)
    """Axes on which the cost must be lower: step, samples, training_flops, seconds, training_loss."""
    rivals: Labels
    """Labels of the arms that the subject must beat."""
    what: str | None = Field(default=None, min_length=1)
    """Property of the subject that the claim calls the cause, e.g. `its oscillation`. null: it names no cause."""
    controls: Labels = ()
    """Labels of the arms that lack the property. The subject must also beat them."""

    @field_validator("axes")
    @classmethod
    def _some_axis(cls, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        if not axes:
            raise ValueError(f"a claim needs an axis; valid: {', '.join(AXES)}")
        return tuple(dict.fromkeys(axes))

    @field_validator("rivals")
    @classmethod
    def _some_rival(cls, rivals: tuple[str, ...]) -> tuple[str, ...]:
        if not rivals:
            raise ValueError(
                "a claim needs at least one rival: the label of an arm that the subject must beat"
            )
        return tuple(dict.fromkeys(rivals))

    @model_validator(mode="after")
    def _controls_of_something(self) -> "Claim":
        if self.controls and self.what is None:
            raise ValueError(
                "controls: they need `what`, the property of the subject that they lack, e.g. `what: its oscillation`"
            )
        return self

    @property
    def is_asked(self) -> bool:
        """Whether the claim can be judged: a claim about a cause needs controls."""
        return self.what is None or bool(self.controls)

    def must_beat(self) -> tuple[str, ...]:
        """Return the rivals and the controls, each once."""
        return tuple(dict.fromkeys((*self.rivals, *self.controls)))


def default_subject(models: Mapping[str, str]) -> str:
    """Return the arm that claims without a subject are about, "" if no arm has oscillators.

    Args:
        models: arm -> name of its model, in the order of the sweep.
    """
    return next((arm for name in OSCILLATORS for arm, model in models.items() if model == name), "")


def default_claims(baseline: str) -> dict[str, dict[str, Any]]:
    """Return the default claims: the subject is faster and cheaper than the arm `baseline`."""
    return {
        "faster": {"rivals": [baseline]},
        "cheaper": {"axes": ["training_flops", "seconds"], "rivals": [baseline]},
    }


def migrated(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return a section with `claims` in place of the keys of earlier versions.

    `faster_than` names the rivals of the claims `faster` and `cheaper`. `oscillation_controls` makes the claim
    `because_of_oscillation`, unless the list is empty.

    Args:
        content: the section, not yet validated. With `claims`, nothing is migrated.
    """
    if "claims" in content or not set(OLD_KEYS) & set(content):
        return dict(content)
    baseline = content.get("baseline", StatisticsSettings.model_fields["baseline"].default)
    rivals, controls = content.get("faster_than"), content.get("oscillation_controls")
    rivals = [baseline] if rivals is None else rivals
    claims: dict[str, dict[str, Any]] = {"faster": {"rivals": rivals}}
    if controls:
        claims["because_of_oscillation"] = {"what": "its oscillation", "rivals": rivals, "controls": controls}
    claims["cheaper"] = {"axes": ["training_flops", "seconds"], "rivals": rivals}
    return {key: value for key, value in content.items() if key not in OLD_KEYS} | {"claims": claims}


Claims = Annotated[
    dict[str, Claim],
    WithJsonSchema(
        {
            "type": "object",
            "propertyNames": {"pattern": f"^{CLAIM_NAME}$"},
            "additionalProperties": Claim.mapping_schema(),
        }
    ),
]


class StatisticsSettings(Parameters):
    """Claims of a sweep, the levels that runs must reach, and the statistical error of the verdicts."""

    subject: str | None = Field(default=None, min_length=1)
    """Label of the arm that claims without their own subject are about. null: the first arm with oscillators."""
    baseline: str = Field(default="cnn", min_length=1)
    """Label of the baseline. Its median final validation metric A sets the levels of all targets."""
    target: float = Field(default=0.9, gt=0, lt=1)
    """Headline target f, a share of the baseline's gain over chance. A run reaches it when its validation metric
    reaches the level chance + f (A - chance)."""
    targets: Shares = (0.8, 0.9, 0.95, 0.99)
    """Further targets, which are reported beside the headline target."""
    confirm: int = Field(default=2, ge=1)
    """Number of consecutive evaluations that must be at the level or better before the target counts as reached."""
    margin: float = Field(default=0.01, gt=0)
    """Non-inferiority margin: the largest loss of the final metric that counts as no loss, in its unit."""
    claims: Claims = Field(default={}, validate_default=False)
    """Claims by name, e.g. {faster: {rivals: [cnn]}}. The default has two claims against the baseline: `faster` (on
    samples) and `cheaper` (on training_flops and seconds)."""
    bootstrap: int = Field(default=10_000, ge=1000)
    """Number of resamples in every bootstrap."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Two-sided error level. Intervals have the coverage 1 - alpha. Tests reject at alpha after Holm's correction."""
    seed: int = Field(default=0, ge=0)
    """Seed of the bootstrap resamples."""
    min_seeds: int = Field(default=7, ge=2)
    """Smallest number of paired runs from which a conclusion is drawn."""
    sequential: Looks = ()
    """Looks of a sequential sweep, e.g. [7, 10, 15, 20]. A look at n seeds judges the open claims on the first n seeds.
    A claim that a look decides is not judged again. All looks together err no more often than one test at `alpha`.
    Empty: the claims are judged once, on all seeds."""

    @model_validator(mode="before")
    @classmethod
    def _with_claims(cls, content: Any) -> Any:
        """Migrate the keys of earlier versions, and add the default claims if the section has none."""
        if not isinstance(content, Mapping):
            return content
        content = migrated(content)
        baseline = content.get("baseline", cls.model_fields["baseline"].default)
        if "claims" not in content and isinstance(baseline, str) and baseline:
            content["claims"] = default_claims(baseline)
        return content

    @field_validator("claims")
    @classmethod
    def _names_are_words(cls, claims: dict[str, Claim]) -> dict[str, Claim]:
        for name in claims:
            if not re.fullmatch(CLAIM_NAME, name):
                raise ValueError(
                    f"{name!r}: a claim's name is a word of a-z, 0-9 and _ that begins with a letter"
                )
        return claims

    @field_validator("sequential")
    @classmethod
    def _looks_rise(cls, looks: tuple[int, ...], info: ValidationInfo) -> tuple[int, ...]:
        for before, after in pairwise(looks):
            if after <= before:
                raise ValueError(
                    f"a look at {after} seeds follows one at {before}; looks rise, e.g. [7, 10, 15, 20]"
                )
        fewest = info.data.get("min_seeds", 0)
        if looks and looks[0] < fewest:
            raise ValueError(
                f"a look at {looks[0]} seeds decides nothing: `min_seeds` is {fewest}; valid: looks from {fewest} on"
            )
        return looks

    @model_validator(mode="after")
    def _rivals_are_others(self) -> "StatisticsSettings":
        for name, claim in self.claims.items():
            subject = self.subject_of(claim)
            if subject in claim.must_beat():
                raise ValueError(
                    f"claims.{name}: {subject!r} is the subject of this claim and also among its own rivals; "
                    "name other arms there"
                )
        return self

    def all_targets(self) -> tuple[float, ...]:
        """Return all targets in ascending order, with the headline target."""
        return tuple(sorted({*self.targets, self.target}))

    def asked(self) -> dict[str, Claim]:
        """Return the claims that can be judged, by name."""
        return {name: claim for name, claim in self.claims.items() if claim.is_asked}

    def subject_of(self, claim: Claim) -> str | None:
        """Return the label of the arm that a claim is about, or None for the first arm with oscillators."""
        return claim.subject or self.subject

    def labels(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Yield (key path, label) of every arm that is named."""
        yield ("baseline",), self.baseline
        if self.subject is not None:
            yield ("subject",), self.subject
        for name, claim in self.claims.items():
            if claim.subject is not None:
                yield ("claims", name, "subject"), claim.subject
            for key, labels in (("rivals", claim.rivals), ("controls", claim.controls)):
                for index, label in enumerate(labels):
                    yield ("claims", name, key, index), label

    def rivals(self) -> tuple[str, ...]:
        """Return the labels of all rivals and controls of the claims that can be judged, each once."""
        return tuple(dict.fromkeys(label for claim in self.asked().values() for label in claim.must_beat()))
