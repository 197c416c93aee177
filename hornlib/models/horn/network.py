"""HORN: a recurrent layer of driven harmonic oscillators and a read-out."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hornlib.dynamics.adjoint import displacements
from hornlib.dynamics.oscillator import OscillatorState, step
from hornlib.models.horn.parameters import HornParameters
from hornlib.models.layers import freeze_
from hornlib.models.oscillator_constants import OscillatorConstants
from hornlib.models.readout import Readout
from hornlib.parameters import Task

__all__ = ["HORN"]


class HORN(nn.Module):
    """HORN; see `HornParameters` for the equations.

    Args:
        parameters: the model's parameters.
        task: shapes of inputs and outputs.
        generator: draws the oscillators' constants.
    """

    def __init__(self, parameters: HornParameters, task: Task, generator: torch.Generator) -> None:
        super().__init__()
        num_nodes = parameters.num_nodes
        self.is_sequence = task.is_sequence
        self.timesteps = parameters.num_steps(task)
        self.recurrence_on = parameters.recurrence_on
        self.read_out = parameters.readout
        self.fast_path = parameters.fast_path
        self.scale = math.sqrt(num_nodes)
        self.projection = nn.Linear(task.num_features, num_nodes)
        self.recurrence = nn.Linear(num_nodes, num_nodes) if parameters.recurrence == "full" else None
        if self.recurrence is not None and parameters.recurrence_training == "frozen":
            freeze_(self.recurrence)
        self.readout = Readout(num_nodes, task.num_outputs, parameters.readout_norm)
        self.oscillators = OscillatorConstants(parameters, self.timesteps, (num_nodes,), generator)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (batch, num_outputs).

        Args:
            inputs: images (batch, channels, height, width), or sequences (batch, timesteps, features).
        """
        run = self._fast if self.fast_path == "adjoint" else self._plain
        return self.readout(self._read(run(self._sequence(inputs))))

    def states(self, inputs: Tensor) -> OscillatorState:
        """Return displacements and velocities after every step, (timesteps, batch, nodes) each."""
        return OscillatorState(*map(torch.stack, zip(*self._walk(self._sequence(inputs)), strict=True)))

    def recurrent_weight(self) -> Tensor | None:
        """Return W_hh / sqrt(n), which multiplies the states, (nodes, nodes); None without recurrence."""
        return None if self.recurrence is None else self.recurrence.weight / self.scale

    def bias(self) -> Tensor:
        """Return b_ih + b_hh / sqrt(n), the constant part of the tanh's argument, (nodes,)."""
        bias: Tensor = self.projection.bias
        return bias if self.recurrence is None else bias + self.recurrence.bias / self.scale

    def _sequence(self, inputs: Tensor) -> Tensor:
        """Return the inputs of every step, (timesteps, batch, features); (1, batch, features) for images."""
        return inputs.transpose(0, 1) if self.is_sequence else inputs.flatten(1).unsqueeze(0)

    def _fast(self, sequence: Tensor) -> Tensor:
        """Return the displacements that the read-out needs, (timesteps, batch, nodes) or only the last one.

        This is the faster equivalent of `_plain`; tests/models/test_horn.py holds values and gradients equal.
        """
        return displacements(
            sequence,
            self.projection.weight,
            self.bias(),
            self.recurrent_weight(),
            self.oscillators.coefficients(),
            self.oscillators.integration_step,
            self.oscillators.integrator,
            self.recurrence_on,
            self.timesteps,
            every_step=self.read_out != "last",
        )

    def _plain(self, sequence: Tensor) -> Tensor:
        """Return the same displacements by a loop over `hornlib.dynamics.oscillator.step`."""
        positions = [state.x for state in self._walk(sequence)]
        return positions[-1] if self.read_out == "last" else torch.stack(positions)

    def _walk(self, sequence: Tensor) -> Iterator[OscillatorState]:
        """Yield the state after every step, (batch, nodes) each, by the equations of `HornParameters`."""
        rows = F.linear(sequence.flatten(0, 1), self.projection.weight, self.bias())
        drive = rows.unflatten(0, sequence.shape[:2])
        weight, c, on_velocity = (
            self.recurrent_weight(),
            self.oscillators.coefficients(),
            self.recurrence_on == "velocity",
        )
        h, integrator = self.oscillators.integration_step, self.oscillators.integrator
        state = OscillatorState(torch.zeros_like(drive[0]), torch.zeros_like(drive[0]))
        for argument in drive.expand(self.timesteps, -1, -1).unbind(0):
            if weight is not None:
                argument = argument + F.linear(state.y if on_velocity else state.x, weight)
            state = step(state, torch.tanh(argument), c, h, integrator)
            yield state

    def _read(self, positions: Tensor) -> Tensor:
        if self.read_out == "mean":
            return positions.mean(0)
        if self.read_out == "rms":
            return torch.linalg.vector_norm(positions, dim=0) / math.sqrt(self.timesteps)
        return positions
