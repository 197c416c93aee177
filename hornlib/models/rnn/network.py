"""Recurrent rivals of the oscillators: tanh, GRU and LSTM layers and a read-out."""

import math

import torch
from torch import Tensor, nn

from hornlib.kernels.recurrence import LayerOptions, LayerWeights, recurrent_layer
from hornlib.kernels.route import is_fused
from hornlib.models.readout import Readout
from hornlib.models.rnn.adjoint import recurrence
from hornlib.models.rnn.parameters import NUM_GATES, RnnParameters, RnnUnit
from hornlib.parameters import Task

__all__ = ["RecurrentLayer", "Rnn"]


class RecurrentLayer(nn.Module):
    """One recurrent layer with the parameters of torch.nn's RNN, GRU or LSTM: names, order and random draw are theirs.

    Args:
        unit: tanh, gru or lstm.
        num_inputs: features of one step.
        num_nodes: n, number of nodes.
    """

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor
    bias_hh: Tensor

    def __init__(self, unit: RnnUnit, num_inputs: int, num_nodes: int) -> None:
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
        self.unit = unit
        # Biases in the same sum as the projected input are added once for all steps.
        self.num_hoisted = 2 * num_nodes if unit == "gru" else gates

    def forward(self, inputs: Tensor, every_step: bool = True) -> Tensor:
        """Return the outputs, (timesteps, batch, n), or the last one, (batch, n).

        Args:
            inputs: (timesteps, batch, features).
            every_step: whether all outputs are returned.
        """
        inner = self.bias_hh[self.num_hoisted :]
        if is_fused("recurrence", inputs):
            constants = inner.view(-1, self.weight_hh.shape[1])
            weights = LayerWeights(self.weight_ih, self._hoisted(), self.weight_hh, constants)
            return recurrent_layer(inputs, weights, LayerOptions(self.unit, len(inputs), every_step))
        outputs = recurrence(self.unit, self.drives(inputs), self.weight_hh, inner)
        return outputs if every_step else outputs[-1]

    def drives(self, inputs: Tensor) -> Tensor:
        """Return the projected inputs with all biases that are constant in time, (timesteps, batch, gates n)."""
        return nn.functional.linear(inputs, self.weight_ih, self._hoisted())

    def _hoisted(self) -> Tensor:
        """Return the biases that are constant in time, (gates n,)."""
        hoisted = self.bias_hh[: self.num_hoisted]
        return self.bias_ih + nn.functional.pad(hoisted, (0, len(self.bias_hh) - self.num_hoisted))


class Rnn(nn.Module):
    """Recurrent layers, then the read-out of the last layer's last output, or of its mean over steps.

    Args:
        parameters: unit, nodes, layers, read-out.
        task: shape of a sequence (timesteps, features) and number of outputs.
        generator: not used, since nothing but the weights is drawn.
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
        outputs = inputs.transpose(0, 1)
        *layers, last = self.layers
        for layer in layers:
            outputs = layer(outputs)
        outputs = last(outputs, every_step=self.reads_mean)
        return self.readout(outputs.mean(0) if self.reads_mean else outputs)
