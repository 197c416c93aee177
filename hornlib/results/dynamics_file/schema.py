"""What a dynamics file holds: its variables by name, and the record that a trainer hands over."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

__all__ = [
    "COORDINATES",
    "SCHEMA_VERSION",
    "VARIABLES",
    "DynamicsRecord",
    "LayerRecord",
    "Probed",
    "full_states",
    "sizes_of",
]

SCHEMA_VERSION = 1


class Probed(NamedTuple):
    """One variable of a dynamics file.

    Attributes:
        dims: of `COORDINATES`.
        units: as UDUNITS writes them; "1" is dimensionless.
        long_name: what an axis label says.
        absent: where it is NaN, and why; besides runs that have diverged and time steps that a layer lacks.
    """

    dims: tuple[str, ...]
    units: str
    long_name: str
    absent: str = ""


_RUN = ("seed", "probe_step")
_LAYER = (*_RUN, "layer")
_TIME = (*_LAYER, "timestep")
_NO_VELOCITY = "NaN where units have no velocity: all but oscillators"
_NO_TIME = "NaN in feed-forward layers: they have no time to run on in"

COORDINATES: dict[str, Probed] = {
    "seed": Probed(("seed",), "1", "seed"),
    "probe_step": Probed(("probe_step",), "1", "training steps done before the probe"),
    "layer": Probed(("layer",), "1", "layer, from the input on"),
    "timestep": Probed(("timestep",), "1", "time step, 1 to T; feed-forward layers have one"),
    "run_on_time": Probed(("run_on_time",), "1", "time steps after T, the last drive of each layer held"),
    "frequency": Probed(("frequency",), "1", "frequency, cycles per time step"),
    "layer_kind": Probed(("layer",), "1", "oscillators, first_order, gated or feed_forward"),
    "num_units": Probed(("layer",), "1", "units of the layer: nodes, or channels times pixels"),
}

VARIABLES: dict[str, Probed] = {
    "probe_loss": Probed(_RUN, "1", "loss on the probe's inputs, in evaluation mode"),
    "state_rms": Probed(_TIME, "1", "root mean square of the state: displacement x, or output"),
    "velocity_rms": Probed(_TIME, "1", "root mean square of the velocity y", _NO_VELOCITY),
    "activation_magnitude": Probed(
        _TIME, "1", "mean magnitude of the activation, |tanh| in recurrent layers"
    ),
    "saturation": Probed(_TIME, "1", "share of pre-activations beyond +-2"),
    "bound_share": Probed(
        _TIME, "1", "largest |x| over the largest that a force within alpha reaches in T steps", _NO_VELOCITY
    ),
    "energy": Probed(_TIME, "1", "energy (y^2 + omega^2 x^2) / 2, mean over units", _NO_VELOCITY),
    "participation_ratio": Probed(
        _TIME, "1", "directions that states use, of nodes or channels", "NaN where nothing varies"
    ),
    "state_gradient_norm": Probed(
        _TIME, "1", "gradient of an example's loss by its state, length over units"
    ),
    "velocity_gradient_norm": Probed(
        _TIME, "1", "gradient of an example's loss by its velocity, length over units", _NO_VELOCITY
    ),
    "recurrence_abscissa_ratio": Probed(
        _LAYER,
        "1",
        "spectral abscissa of the recurrence over its critical value",
        "NaN in gated and feed-forward layers, and with recurrences too large for eigenvalues",
    ),
    "recurrence_spectral_radius": Probed(
        _LAYER,
        "1",
        "spectral radius of the trained recurrence, linearised at rest",
        "NaN in gated and feed-forward layers, and with recurrences too large for eigenvalues",
    ),
    "lyapunov_exponent": Probed(
        _LAYER, "1", "largest finite-time Lyapunov exponent of the layer, per time step", _NO_TIME
    ),
    "dominant_frequency": Probed(
        _LAYER, "1", "frequency of the state with the most power, cycles per time step", _NO_TIME
    ),
    "run_on_state_rms": Probed((*_LAYER, "run_on_time"), "1", "root mean square of the state", _NO_TIME),
    "phase_coherence": Probed(
        (*_LAYER, "run_on_time"), "1", "phase coherence over units: Kuramoto's order parameter", _NO_VELOCITY
    ),
    "state_power": Probed((*_LAYER, "frequency"), "1", "power of the state, mean over units", _NO_TIME),
}
"""What a probe measures: the one source of dimensions, units and long names."""


class LayerRecord(NamedTuple):
    """A layer as probes see it.

    Attributes:
        name: e.g. stage_1.
        kind: oscillators, first_order, gated or feed_forward.
        parts: names of the parts of its state.
        timesteps: T; 1 in a layer without time.
        shape: of a part, without the batch axis.
    """

    name: str
    kind: str
    parts: tuple[str, ...]
    timesteps: int
    shape: tuple[int, ...]

    @property
    def num_units(self) -> int:
        """Nodes, or channels times pixels."""
        return math.prod(self.shape)


@dataclass(frozen=True)
class DynamicsRecord:
    """What a trainer hands over of one job.

    Attributes:
        seeds: trained, ascending and without a gap.
        probe_steps: training steps of the probes.
        layers: from the input on; none of a network whose inside cannot be seen.
        run_on_steps: steps beyond the last time step; 0 where no layer has time.
        numbers: name -> array, as `VARIABLES` says, and `states_<layer>` of full states, each (seed, probe_step,
            part, timestep, input, unit).
        attributes: provenance, and how the probe was made.
    """

    seeds: list[int]
    probe_steps: list[int]
    layers: list[LayerRecord]
    run_on_steps: int
    numbers: Mapping[str, np.ndarray]
    attributes: Mapping[str, str | int | float]


def sizes_of(
    num_seeds: int, num_probes: int, layers: Sequence[LayerRecord], run_on_steps: int
) -> dict[str, int]:
    """Return the length of every dimension; one that would be 0 is left out, and the variables on it too."""
    sizes = {
        "seed": num_seeds,
        "probe_step": num_probes if layers else 0,
        "layer": len(layers),
        "timestep": max((layer.timesteps for layer in layers), default=0),
        "run_on_time": run_on_steps,
        "frequency": run_on_steps // 2 + 1 if run_on_steps else 0,
    }
    return {name: size for name, size in sizes.items() if size}


def full_states(layer: str) -> dict[str, Probed]:
    """Return the variables and coordinates that a layer's full states add to a file."""
    part, timestep, unit = (f"{dimension}_{layer}" for dimension in ("part", "timestep", "unit"))
    return {
        part: Probed((part,), "1", f"part of the state of {layer}"),
        timestep: Probed((timestep,), "1", f"time step of {layer}"),
        "input": Probed(("input",), "1", "example of the probe"),
        unit: Probed((unit,), "1", f"unit of {layer}, row-major in (channel, row, column)"),
        f"states_{layer}": Probed((*_RUN, part, timestep, "input", unit), "1", f"states of {layer}"),
    }
