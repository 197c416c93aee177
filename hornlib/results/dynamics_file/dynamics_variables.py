"""The variables of a dynamics file, and the record that a trainer hands over."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from hornlib.results.declaration import Variable
from hornlib.results.file_kind import FileKind

__all__ = [
    "DYNAMICS_COORDINATES",
    "DYNAMICS_FILE",
    "DYNAMICS_VARIABLES",
    "DynamicsRecord",
    "LayerRecord",
    "full_states",
    "sizes_of",
]

DYNAMICS_FILE = FileKind(
    "dynamics file",
    1,
    "Delete it and its run file, and give the same command again: only that job is trained",
    missing="The same command trains that job and writes it, unless `probes: off` stands in config.yaml",
    essential=("seed",),
)


def _probed(dims: tuple[str, ...], units: str, long_name: str, absent: str = "") -> Variable:
    """Return a variable; `absent` says where it is NaN beside diverged runs and time steps that a layer lacks."""
    return Variable(dims, units, long_name, attributes={"absent": absent} if absent else {})


_RUN = ("seed", "probe_step")
_LAYER = (*_RUN, "layer")
_TIME = (*_LAYER, "timestep")
_NO_VELOCITY = "NaN where units have no velocity: all but oscillators"
_NO_TIME = "NaN in feed-forward layers: they have no time to run on in"

DYNAMICS_COORDINATES: dict[str, Variable] = {
    "seed": Variable(("seed",), "1", "seed"),
    "probe_step": Variable(("probe_step",), "1", "training steps done before the probe"),
    "layer": Variable(("layer",), "1", "layer, from the input on"),
    "timestep": Variable(("timestep",), "1", "time step, 1 to T; feed-forward layers have one"),
    "run_on_time": Variable(("run_on_time",), "1", "time steps after T, the last drive of each layer held"),
    "frequency": Variable(("frequency",), "1", "frequency, cycles per time step"),
    "layer_kind": Variable(("layer",), "1", "oscillators, first_order, gated or feed_forward"),
    "num_units": Variable(("layer",), "1", "units of the layer: nodes, or channels times pixels"),
}

DYNAMICS_VARIABLES: dict[str, Variable] = {
    "probe_loss": _probed(_RUN, "1", "loss on the probe's inputs, in evaluation mode"),
    "state_rms": _probed(_TIME, "1", "root mean square of the state: displacement x, or output"),
    "velocity_rms": _probed(_TIME, "1", "root mean square of the velocity y", _NO_VELOCITY),
    "activation_magnitude": _probed(
        _TIME, "1", "mean magnitude of the activation, |tanh| in recurrent layers"
    ),
    "saturation": _probed(_TIME, "1", "share of pre-activations beyond +-2"),
    "bound_share": _probed(
        _TIME, "1", "largest |x| over the largest that a force within alpha reaches in T steps", _NO_VELOCITY
    ),
    "energy": _probed(_TIME, "1", "energy (y^2 + omega^2 x^2) / 2, mean over units", _NO_VELOCITY),
    "participation_ratio": _probed(
        _TIME, "1", "directions that states use, of nodes or channels", "NaN where nothing varies"
    ),
    "state_gradient_norm": _probed(
        _TIME, "1", "gradient of an example's loss by its state, length over units"
    ),
    "velocity_gradient_norm": _probed(
        _TIME, "1", "gradient of an example's loss by its velocity, length over units", _NO_VELOCITY
    ),
    "recurrence_abscissa_ratio": _probed(
        _LAYER,
        "1",
        "spectral abscissa of the recurrence over its critical value",
        "NaN in gated and feed-forward layers, and with recurrences too large for eigenvalues",
    ),
    "recurrence_spectral_radius": _probed(
        _LAYER,
        "1",
        "spectral radius of the trained recurrence, linearised at rest",
        "NaN in gated and feed-forward layers, and with recurrences too large for eigenvalues",
    ),
    "lyapunov_exponent": _probed(
        _LAYER, "1", "largest finite-time Lyapunov exponent of the layer, per time step", _NO_TIME
    ),
    "dominant_frequency": _probed(
        _LAYER, "1", "frequency of the state with the most power, cycles per time step", _NO_TIME
    ),
    "run_on_state_rms": _probed((*_LAYER, "run_on_time"), "1", "root mean square of the state", _NO_TIME),
    "phase_coherence": _probed(
        (*_LAYER, "run_on_time"), "1", "phase coherence over units: Kuramoto's order parameter", _NO_VELOCITY
    ),
    "state_power": _probed((*_LAYER, "frequency"), "1", "power of the state, mean over units", _NO_TIME),
}
"""What a probe measures, with dimensions, units and long names."""


class LayerRecord(NamedTuple):
    """Description of a probed layer.

    Attributes:
        name: e.g. stage_1.
        kind: oscillators, first_order, gated or feed_forward.
        parts: names of the parts of its state, e.g. displacement and velocity.
        timesteps: T; 1 for a feed-forward layer.
        shape: shape of one part, without the batch axis.
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
    """What a trainer hands over about the probes of one job.

    Attributes:
        seeds: the trained seeds, ascending and without a gap.
        probe_steps: numbers of training steps before each probe.
        layers: from the input on; empty for a network whose layers are not probed.
        run_on_steps: time steps after the last one; 0 where no layer has time.
        numbers: name -> array, as `DYNAMICS_VARIABLES` says, and `states_<layer>` for full states, each (seed,
            probe_step, part, timestep, input, unit).
        attributes: provenance, and the settings of the probe.
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
    """Return the length of every dimension, without dimensions of length 0; variables on those are left out too.

    Args:
        num_seeds: number of trained seeds.
        num_probes: number of probes.
        layers: the probed layers.
        run_on_steps: time steps after the last one.
    """
    sizes = {
        "seed": num_seeds,
        "probe_step": num_probes if layers else 0,
        "layer": len(layers),
        "timestep": max((layer.timesteps for layer in layers), default=0),
        "run_on_time": run_on_steps,
        "frequency": run_on_steps // 2 + 1 if run_on_steps else 0,
    }
    return {name: size for name, size in sizes.items() if size}


def full_states(layer: str) -> dict[str, Variable]:
    """Return the variables and coordinates that a layer's full states add to a file."""
    part, timestep, unit = (f"{dimension}_{layer}" for dimension in ("part", "timestep", "unit"))
    return {
        part: Variable((part,), "1", f"part of the state of {layer}"),
        timestep: Variable((timestep,), "1", f"time step of {layer}"),
        "input": Variable(("input",), "1", "example of the probe"),
        unit: Variable((unit,), "1", f"unit of {layer}, row-major in (channel, row, column)"),
        f"states_{layer}": Variable((*_RUN, part, timestep, "input", unit), "1", f"states of {layer}"),
    }
