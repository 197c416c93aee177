"""Recurrent rivals, written as loops: torch.nn's fused layers cannot run in lanes."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from hornlib.models.readout import Readout
from hornlib.models.rnn.parameters import NUM_GATES, RnnParameters, Unit
from hornlib.parameters import Task

__all__ = ["RecurrentLayer", "Rnn", "State", "gru_step", "lstm_step", "tanh_step"]


class State(NamedTuple):
    """What a layer carries from step to step: its output, and the LSTM's memory (elsewhere the output)."""

    output: Tensor
    memory: Tensor


def tanh_step(drive: Tensor, recurrent: Tensor, state: State, bias: Tensor) -> State:
    """h <- tanh(drive + W h).

    Args:
        drive: projected input with both biases, (batch, gates n).
        recurrent: W h, (batch, gates n).
        state: (batch, n) each.
        bias: of the GRU's candidate, which its reset gate scales; unused elsewhere.
    """
    output = torch.tanh(drive + recurrent)
    return State(output, output)


def gru_step(drive: Tensor, recurrent: Tensor, state: State, bias: Tensor) -> State:
    """r, z = sigma(.); c = tanh(drive_c + r (W_c h + bias)); h <- c + z (h - c).

    Arguments as in `tanh_step`.
    """
    nodes = state.output.shape[1]
    split = (2 * nodes, nodes)
    (drive_gates, drive_candidate), (recurrent_gates, recurrent_candidate) = (
        drive.split(split, 1),
        recurrent.split(split, 1),
    )
    reset, keep = torch.sigmoid(drive_gates + recurrent_gates).chunk(2, 1)
    candidate = torch.tanh(torch.addcmul(drive_candidate, reset, recurrent_candidate + bias))
    output = torch.addcmul(candidate, keep, state.output - candidate)
    return State(output, output)


def lstm_step(drive: Tensor, recurrent: Tensor, state: State, bias: Tensor) -> State:
    """i, f, o = sigma(.), g = tanh(.); c <- f c + i g; h <- o tanh(c).

    Arguments as in `tanh_step`.
    """
    nodes = state.output.shape[1]
    two_gates, candidate, last_gate = (drive + recurrent).split((2 * nodes, nodes, nodes), 1)
    write, keep = torch.sigmoid(two_gates).chunk(2, 1)
    memory = torch.addcmul(keep * state.memory, write, torch.tanh(candidate))
    return State(torch.sigmoid(last_gate) * torch.tanh(memory), memory)


STEPS = {"tanh": tanh_step, "gru": gru_step, "lstm": lstm_step}


class RecurrentLayer(nn.Module):
    """One recurrent layer with the parameters of torch.nn's RNN, GRU or LSTM: their names, order and draw.

    Args:
        unit: tanh, gru or lstm.
        num_inputs: numbers a step.
        num_nodes: n.
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor
    bias_hh: Tensor

    def __init__(self, unit: Unit, num_inputs: int, num_nodes: int) -> None:
        super().__init__()
        gates, bound = NUM_GATES[unit] * num_nodes, 1 / math.sqrt(num_nodes)
        shapes = {
            "weight_ih": (gates, num_inputs),
            "weight_hh": (gates, num_nodes),
            "bias_ih": (gates,),
            "bias_hh": (gates,),
        }
        for name, shape in shapes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape).uniform_(-bound, bound)))
        self.step = STEPS[unit]
        # Biases that stand in the same sum as the input's are added once for all steps.
        self.num_hoisted = 2 * num_nodes if unit == "gru" else gates

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Return the output (batch, n) of every step of inputs (batch, timesteps, features)."""
        hoisted, bias = self.bias_hh[: self.num_hoisted], self.bias_hh[self.num_hoisted :]
        drives = nn.functional.linear(
            inputs, self.weight_ih, self.bias_ih + _padded(hoisted, len(self.bias_ih))
        )
        transposed = self.weight_hh.T
        rest = torch.zeros_like(drives[:, 0, : self.weight_hh.shape[1]])
        state, recurrent = State(rest, rest), torch.zeros_like(drives[:, 0])
        outputs: list[Tensor] = []
        for drive in drives.unbind(1):
            if outputs:
                recurrent = state.output @ transposed
            state = self.step(drive, recurrent, state, bias)
            outputs.append(state.output)
        return outputs


class Rnn(nn.Module):
    """Recurrent layers, then the read-out of the last layer's last output, or of its mean over steps.

    Args:
        parameters: unit, nodes, layers, read-out.
        task: shape of a sequence (timesteps, features) and number of outputs.
        generator: unused; no fixed draws.
    """

    def __init__(self, parameters: RnnParameters, task: Task, generator: torch.Generator) -> None:
        super().__init__()
        nodes = parameters.num_nodes
        self.layers = nn.ModuleList(
            RecurrentLayer(parameters.unit, task.input_shape[1] if layer == 0 else nodes, nodes)
            for layer in range(parameters.num_layers)
        )
        self.readout = Readout(nodes, task.num_outputs, parameters.readout_norm)
        self.reads_mean = parameters.readout == "mean"

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (batch, num_outputs) of sequences (batch, timesteps, features)."""
        first, *others = self.layers
        outputs = first(inputs)
        for layer in others:
            outputs = layer(torch.stack(outputs, 1))
        return self.readout(torch.stack(outputs).mean(0) if self.reads_mean else outputs[-1])


def _padded(bias: Tensor, length: int) -> Tensor:
    return nn.functional.pad(bias, (0, length - len(bias)))
