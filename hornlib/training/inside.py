"""Measurements of the states inside one network while it runs, vectorised over lanes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from hornlib.dynamics.probes import measures
from hornlib.dynamics.probes.recurrence import strength
from hornlib.dynamics.probes.running_on import dominant_frequency, phase_coherence, power_spectrum, run_on
from hornlib.dynamics.probes.units import Oscillators, States
from hornlib.dynamics.probes.walking import Trace
from hornlib.models.tracing import trace
from hornlib.parameters.probes import ProbeSettings
from hornlib.randomness import generator
from hornlib.results.dynamics_file import LayerRecord

__all__ = ["Inside", "over_lanes"]

_NUMBERS_AT_ONCE = 65536
"""Numbers of one part of the state of one lane that are measured in one call."""


class Inside(nn.Module):
    """The forward pass of one probed lane: its logits and all measurements except the loss and its gradients.

    Args:
        network: the network that is probed.
        layers: its layers, in order from the input.
        settings: how much is recorded.
        num_inputs: number of examples of a probe.
        run_on_steps: steps that each layer runs on beyond its last time step.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Sequence[LayerRecord],
        settings: ProbeSettings,
        num_inputs: int,
        run_on_steps: int,
    ) -> None:
        super().__init__()
        self.network = network  # under the name that lanes give it
        self.settings, self.run_on_steps = settings, run_on_steps
        self.directions = {
            layer.name: _direction(layer, min(settings.run_on_inputs, num_inputs))
            for layer in layers
            if layer.kind != "feed_forward"
        }

    def forward(  # type: ignore[override]
        self, inputs: Tensor, nudges: Mapping[str, States]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the logits (batch, num_outputs), and the measurements by "layer/measurement".

        Args:
            inputs: (batch, ...), as for the network.
            nudges: layer -> zeros (timesteps, batch, *units) for each part of its state.
        """
        logits, traces = trace(self.network, inputs, nudges)
        numbers: dict[str, Tensor] = {}
        with torch.no_grad():
            for name, layer_trace in traces.items():
                measured = _over_time(layer_trace) | self._beyond(name, layer_trace)
                if self.settings.states == "full":
                    measured["states"] = torch.stack(layer_trace.states).flatten(3)
                numbers |= {f"{name}/{key}": values for key, values in measured.items()}
        return logits, numbers

    def _beyond(self, name: str, layer_trace: Trace) -> dict[str, Tensor]:
        """Return the measurements of the linearised layer, and of the layer as it runs on with its last drive."""
        unit, drive = layer_trace.unit, layer_trace.drive
        if unit is None or drive is None:
            return {}
        last = layer_trace.steps[-1].state
        shape = tuple(last[0].shape[1:])
        recurrence = strength(unit, shape)
        numbers = {
            "recurrence_abscissa_ratio": recurrence.abscissa_ratio,
            "recurrence_spectral_radius": recurrence.spectral_radius,
        }
        direction = tuple(part.to(drive.device, non_blocking=True) for part in self.directions[name])
        few = direction[0].shape[0]
        start = tuple(part[:few] for part in last)
        after = run_on(unit, drive[:few], start, direction, self.run_on_steps)
        power = power_spectrum(after.states[0])
        numbers |= {
            "lyapunov_exponent": after.exponent,
            "run_on_state_rms": measures.root_mean_square(after.states[0]),
            "state_power": power,
            "dominant_frequency": dominant_frequency(power, self.run_on_steps),
        }
        if isinstance(unit, Oscillators):
            position, velocity = after.states
            numbers["phase_coherence"] = phase_coherence(position, velocity, unit.constants.omega)
        return numbers


def _over_time(layer_trace: Trace) -> dict[str, Tensor]:
    """Return the measurements of every time step. A few steps are measured at once, so that they fit the cache."""
    at_once = max(1, _NUMBERS_AT_ONCE // layer_trace.outputs[0].numel())
    starts = range(0, len(layer_trace.steps), at_once)
    parts = [
        _measured(layer_trace._replace(steps=layer_trace.steps[start : start + at_once])) for start in starts
    ]
    numbers = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    if isinstance(layer_trace.unit, Oscillators):
        bound = measures.largest_displacement(layer_trace.unit, len(layer_trace.steps))
        shares = [measures.bound_share(step.state[0].unsqueeze(0), bound) for step in layer_trace.steps]
        numbers["bound_share"] = torch.cat(shares)
    return numbers


def _measured(layer_trace: Trace) -> dict[str, Tensor]:
    states = layer_trace.states
    position = states[0]
    numbers = {
        "state_rms": measures.root_mean_square(position),
        "activation_magnitude": measures.magnitude(layer_trace.activations),
        "saturation": measures.saturation(layer_trace.arguments),
        "participation_ratio": measures.participation_ratio(position),
    }
    if isinstance(layer_trace.unit, Oscillators):
        velocity = states[1]
        numbers |= {
            "velocity_rms": measures.root_mean_square(velocity),
            "energy": measures.energy(position, velocity, layer_trace.unit.constants.omega),
        }
    return numbers


def _direction(layer: LayerRecord, count: int) -> States:
    """Return the first distance between a trajectory and its twin. It is the same for every lane and moment."""
    draw = generator("probe direction", layer.name)
    return tuple(torch.randn(count, *layer.shape, generator=draw) for _ in layer.parts)


def over_lanes(
    inside: Inside,
    parameters: Mapping[str, Tensor],
    buffers: Mapping[str, Tensor],
    inputs: Tensor,
    nudges: Mapping[str, States],
) -> Any:
    """Return what `inside` returns, for every lane.

    Args:
        inside: with a network of the lanes' shape.
        parameters: name within the network -> trained tensor, (lanes, ...).
        buffers: name within the network -> fixed or running tensor, (lanes, ...).
        inputs: (batch, ...), the same for all lanes.
        nudges: layer -> zeros (lanes, timesteps, batch, *units) for each part of its state.
    """

    def call(parameters: Any, buffers: Any, nudges: Any) -> Any:
        tensors = {f"network.{name}": tensor for name, tensor in {**parameters, **buffers}.items()}
        return torch.func.functional_call(inside, tensors, (inputs, nudges))

    return torch.vmap(call)(dict(parameters), dict(buffers), dict(nudges))
