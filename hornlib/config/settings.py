"""Settings: how the suite runs on this machine; none of it is part of a cell's name."""

import re
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from hornlib.config.messages import describe_validation_error
from hornlib.errors import ConfigError, nearest
from hornlib.parameters import Parameters
from hornlib.parameters.importance import ImportanceSettings
from hornlib.parameters.paths import Folder
from hornlib.parameters.probes import ProbeSettings

__all__ = ["KeepWeights", "Kernel", "Settings", "parse_importance", "parse_probes", "parse_settings"]


DEVICE = r"auto|cpu|mps|cuda(:[0-9]{1,3})?"

Lanes = Annotated[
    int | str, WithJsonSchema({"anyOf": [{"const": "auto"}, {"type": "integer", "minimum": 1}]})
]

Kernel = Literal["auto", "fused", "loop"]

KeepWeights = Literal["off", "last"]


def parse_probes(value: object) -> object:
    """Return what `probes:` means: settings of probes, or None for `off`.

    Raises:
        ValueError: it is neither.
    """
    return _settings_or_off(value, ProbeSettings, "probes", "{inputs: 64, moments: 6}")


def parse_importance(value: object) -> object:
    """Return what `importance:` means: settings of importance, or None for `off`.

    Raises:
        ValueError: it is neither.
    """
    return _settings_or_off(value, ImportanceSettings, "importance", "{examples: 1000, sample: 2000}")


def _settings_or_off(value: object, kind: type[Parameters], name: str, example: str) -> object:
    """Return the settings of a part of the suite that may be off, None where it is off.

    Raises:
        ValueError: the value is neither `off` nor a mapping of settings, or a setting is wrong.
    """
    if value == "off":
        return None
    if isinstance(value, kind):
        return value
    if not isinstance(value, dict):
        raise ValueError(f"valid: off, or settings such as {example}")
    try:
        return kind(**value)
    except ValidationError as error:
        mistakes = describe_validation_error(error, tuple(kind.model_fields), name)
        raise ValueError("; ".join(f"{key[0]}: {message}" for key, message in mistakes)) from None


Probes = Annotated[
    ProbeSettings | None,
    BeforeValidator(parse_probes),
    WithJsonSchema({"anyOf": [{"const": "off"}, ProbeSettings.mapping_schema()]}),
]

Importance = Annotated[
    ImportanceSettings | None,
    BeforeValidator(parse_importance),
    WithJsonSchema({"anyOf": [{"const": "off"}, ImportanceSettings.mapping_schema()]}),
]


class Settings(Parameters):
    """Paths, the cutting of jobs, threads and devices."""

    results: Folder = "results"
    """Folder of everything that sweeps make. In paths, ~, $NAME and ${NAME} are expanded."""
    per_job: int = Field(default=5, ge=1)
    """Most seeds of one job; a job trains its seeds side by side as lanes."""
    lanes: Lanes = "auto"
    """Lanes trained at once: an integer from 1, or auto, a number that follows from the network's shape, the batch size
    and the type of the device. Results are bit-identical only at equal lanes."""
    threads: int = Field(default=1, ge=1)
    """CPU threads of one job; results are bit-identical only at equal threads."""
    device: str = Field(default="auto", json_schema_extra={"pattern": f"^({DEVICE})$"})
    """auto (CUDA, else MPS, else CPU), cpu, cuda, cuda:N or mps."""
    kernel: Kernel = "auto"
    """How recurrences are computed. auto: by a fused kernel, which the machine's C compiler makes at first use, and by
    a loop over torch's calls where there is none. fused: an error where there is none. loop: always the loop. Both give
    the same numbers to rounding, and seconds that are not comparable. Results are bit-identical only on one route, and
    those of fused kernels only on one model of the CPU."""
    checkpoints: Folder | None = None
    """Folder of checkpoints, e.g. a scratch disk that all nodes see; default: checkpoints in `results`."""
    checkpoint_minutes: float = Field(default=5.0, gt=0)
    """Wall time between two checkpoints of a job."""
    log_format: Literal["none", "csv", "tensorboard"] = "none"
    """How learning curves are logged beside the checkpoint while runs train; tensorboard needs its package."""
    probes: Probes = Field(default=ProbeSettings(), validate_default=False)
    """What is recorded of the networks' inside while they train: off, or settings such as {inputs: 64, moments: 6}."""
    keep_weights: KeepWeights = "off"
    """Whether the network that every run ended with is kept: last writes its values, buffers and masks to
    `weights/<run file>.weights`, which `hornlib export`, the analysis of importance and `training.start_from` read.
    off: the networks are gone when the job ends."""
    importance: Importance = Field(default=None, validate_default=False, json_schema_extra={"default": "off"})
    """What single connections of the trained networks are worth, beside proxies: off, or settings such as {examples:
    1000, sample: 2000}. It needs keep_weights: last, and models among mlp, cnn and rnn."""
    strict_stability: bool = False
    """Whether an oscillator predicted to be unstable is an error instead of a warning."""

    @field_validator("lanes", mode="before")
    @classmethod
    def _number_of_lanes(cls, lanes: object) -> object:
        if lanes != "auto" and (isinstance(lanes, bool) or not isinstance(lanes, int) or lanes < 1):
            raise ValueError("valid: auto, or an integer from 1 on")
        return lanes

    @field_validator("importance")
    @classmethod
    def _reads_kept_weights(
        cls, importance: ImportanceSettings | None, values: ValidationInfo
    ) -> ImportanceSettings | None:
        if importance is not None and values.data.get("keep_weights") == "off":
            raise ValueError(
                "importance reads the networks that training ended with; write `keep_weights: last`, or importance: off"
            )
        return importance

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str) -> str:
        if not re.fullmatch(DEVICE, device):
            valid = "auto, cpu, cuda, cuda:N, mps"
            raise ValueError(
                f"unknown device{nearest(device, ('auto', 'cpu', 'cuda', 'cuda:0', 'mps'))}; valid: {valid}"
            )
        return device

    @field_validator("results")
    @classmethod
    def _is_a_folder_of_its_own(cls, results: str) -> str:
        if results == ".":
            raise ValueError("results need a folder of their own, such as `results`")
        return results


def parse_settings(**values: object) -> Settings:
    """Return the settings with these values.

    Raises:
        ConfigError: a value that its setting does not take.
    """
    try:
        return Settings(**values)  # type: ignore[arg-type]
    except ValidationError as error:
        path, message = next(describe_validation_error(error, tuple(Settings.model_fields), "the settings"))
        raise ConfigError(f"{path[0]}: {message}") from None
