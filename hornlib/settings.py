"""Settings: how the suite runs on this machine; none of it is part of a cell's name."""

import os
import re

from pydantic import Field, field_validator

from hornlib.errors import nearest
from hornlib.parameters import Parameters

__all__ = ["Settings"]


class Settings(Parameters):
    """Paths, the cutting of jobs, threads and devices."""

    results: str = Field(default="results", min_length=1)
    """Folder of everything that sweeps make."""
    per_job: int = Field(default=5, ge=1)
    """Most seeds of one job; a job trains its seeds side by side as lanes."""
    lanes: int | str = "auto"
    """Lanes trained at once: an integer from 1, or auto, the fastest by a timed trial."""
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

    @field_validator("lanes", mode="before")
    @classmethod
    def _number_of_lanes(cls, lanes: object) -> object:
        if lanes != "auto" and (isinstance(lanes, bool) or not isinstance(lanes, int) or lanes < 1):
            raise ValueError("valid: auto, or an integer from 1 on")
        return lanes

    @field_validator("device")
    @classmethod
    def _known_device(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", device):
            valid = "auto, cpu, cuda, cuda:N, mps"
            raise ValueError(
                f"unknown device{nearest(device, ('auto', 'cpu', 'cuda', 'cuda:0', 'mps'))}; valid: {valid}"
            )
        return device

    @field_validator("results", "checkpoints")
    @classmethod
    def _plain_path(cls, path: str | None) -> str | None:
        if path is None:
            return None
        if (
            not path.isprintable()
            or set("{}*?'\"\\") & set(path)
            or path.startswith("-")
            or path != path.strip()
        ):
            raise ValueError(
                "a folder's path has no control characters, none of {}*?'\"\\, and no - or space in front"
            )
        return os.path.expanduser(path)
