"""Settings of probes: how many states of a network are recorded while it trains; free of torch."""

from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import Field

from hornlib.parameters.base import ModelParameters, Parameters, Task

__all__ = ["MOST_RUN_ON_STEPS", "ProbeSettings", "probe_steps", "run_on_steps"]

MOST_RUN_ON_STEPS = 512
"""Largest number of steps of a run-on. Of a slower oscillator only a part of its cycles is recorded."""

_LEAST_RUN_ON_STEPS = 16


class ProbeSettings(Parameters):
    """Probes: at a few moments of training a fixed set of inputs is run and what happens inside is recorded.

    Training is the same with and without them, bit for bit.
    """

    inputs: int = Field(default=64, ge=2)
    """Validation examples of a probe, as many of each class, the same for all cells of a dataset."""
    moments: int = Field(default=6, ge=0)
    """Probes between step 0 and the last step, at evaluation steps that are evenly spaced on a log axis."""
    run_on_inputs: int = Field(default=8, ge=1)
    """Of the inputs, those whose states run on beyond the last time step, for spectra, coherence and exponents."""
    run_on_cycles: float = Field(default=4.0, ge=1, le=100)
    """Length of the run-on: cycles of the homogeneous oscillator, or times T where a layer has no cycle."""
    states: Literal["none", "full"] = "none"
    """full: every state of every input and unit is kept too, which takes space."""
    most_megabytes: float = Field(default=256.0, gt=0)
    """Largest size of a job's full states; a job that would need more is refused before it trains."""


def probe_steps(evaluation_steps: Sequence[int], moments: int) -> list[int]:
    """Return step 0, about `moments` evaluation steps that are even on a log axis, and the last step.

    Args:
        evaluation_steps: ascending; the last one is the last step of training.
        moments: number of probes in between; steps that coincide count once.
    """
    last = evaluation_steps[-1]
    wanted = [last ** (k / (moments + 1)) for k in range(1, moments + 1)]
    between = {min(evaluation_steps, key=lambda step: abs(step - ideal) / (step + ideal)) for ideal in wanted}
    return sorted({0, last} | between)


def run_on_steps(model: ModelParameters, task: Task, timesteps: int, cycles: float) -> int:
    """Return how many steps the states run on: `cycles` oscillations of T / num_cycles steps each.

    A model without oscillators runs on for `cycles` times T steps. A model with a parameter `num_cycles`, which names
    the oscillator that it is compared with, runs on for the cycles of that oscillator.

    Args:
        model: the model.
        task: shapes of inputs and outputs.
        timesteps: T of the layer with the most time steps.
        cycles: number of oscillations.
    """
    derived: Mapping[str, object] = model.derived(task)
    num_cycles = derived.get("num_cycles") or getattr(model, "num_cycles", None) or 1.0
    ideal = cycles * timesteps / float(num_cycles)  # type: ignore[arg-type]
    return max(_LEAST_RUN_ON_STEPS, int(min(ideal + 0.999, MOST_RUN_ON_STEPS)))
