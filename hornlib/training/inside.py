"""What happens inside one network while it runs, in numbers; and the same for lanes side by side."""

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
"""Of a part of the state of one lane; lanes side by side have as many times more."""


class Inside(nn.Module):
    """One lane's probe: its logits, and everything but the loss and its gradients.

    Args:
        network: what is probed.
        layers: its layers, from the input on.
        settings: how much is recorded.
        num_inputs: examples of a probe.
        run_on_steps: steps beyond the last time step.
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
        logits, traces = trace(self.network, inputs, nudges)
        numbers: dict[str, Tensor] = {}
        with torch.no_grad():
            for name, found in traces.items():
                of_layer = _over_time(found) | self._beyond(name, found)
                if self.settings.states == "full":
                    of_layer["states"] = torch.stack(found.states).flatten(3)
                numbers |= {f"{name}/{key}": values for key, values in of_layer.items()}
        return logits, numbers

    def _beyond(self, name: str, found: Trace) -> dict[str, Tensor]:
        """Return what the linearised layer and the run-on tell."""
        if found.unit is None or found.drive is None:
            return {}
        last = found.steps[-1].state
        shape = tuple(last[0].shape[1:])
        recurrence = strength(found.unit, shape)
        numbers = {
            "recurrence_abscissa_ratio": recurrence.abscissa_ratio,
            "recurrence_spectral_radius": recurrence.spectral_radius,
        }
        direction = tuple(part.to(found.drive.device) for part in self.directions[name])
        few = direction[0].shape[0]
        start = tuple(part[:few] for part in last)
        after = run_on(found.unit, found.drive[:few], start, direction, self.run_on_steps)
        power = power_spectrum(after.states[0])
        numbers |= {
            "lyapunov_exponent": after.exponent,
            "run_on_state_rms": measures.root_mean_square(after.states[0]),
            "state_power": power,
            "dominant_frequency": dominant_frequency(power, self.run_on_steps),
        }
        if isinstance(found.unit, Oscillators):
            position, velocity = after.states
            numbers["phase_coherence"] = phase_coherence(position, velocity, found.unit.constants.omega)
        return numbers


def _over_time(found: Trace) -> dict[str, Tensor]:
    """Return what is measured at every time step, a few steps at once: all of them would leave the cache."""
    at_once = max(1, _NUMBERS_AT_ONCE // found.outputs[0].numel())
    starts = range(0, len(found.steps), at_once)
    parts = [_measured(found._replace(steps=found.steps[start : start + at_once])) for start in starts]
    numbers = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    if isinstance(found.unit, Oscillators):
        bound = measures.largest_displacement(found.unit, len(found.steps))
        shares = [measures.bound_share(step.state[0].unsqueeze(0), bound) for step in found.steps]
        numbers["bound_share"] = torch.cat(shares)
    return numbers


def _measured(found: Trace) -> dict[str, Tensor]:
    states = found.states
    position = states[0]
    numbers = {
        "state_rms": measures.root_mean_square(position),
        "activation_magnitude": measures.magnitude(found.activations),
        "saturation": measures.saturation(found.arguments),
        "participation_ratio": measures.participation_ratio(position),
    }
    if isinstance(found.unit, Oscillators):
        velocity = states[1]
        numbers |= {
            "velocity_rms": measures.root_mean_square(velocity),
            "energy": measures.energy(position, velocity, found.unit.constants.omega),
        }
    return numbers


def _direction(layer: LayerRecord, count: int) -> States:
    """Return the first offset of the twins, the same for every lane and moment."""
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
