"""Parameters of the recurrent rivals (tanh, LSTM, GRU), with their counts in closed form; free of torch."""

from typing import ClassVar, Literal, Self, cast

from pydantic import Field

from hornlib.models import layer_cost
from hornlib.models.layer_cost import ReadoutNorm
from hornlib.models.layer_weights import linear_weight, readout_weight
from hornlib.parameters import Cost, ModelParameters, RecurrenceKernel, Task, Value, Weight, WeightRole

__all__ = ["NUM_GATES", "RnnParameters", "RnnUnit", "recurrent_cost"]

RnnUnit = Literal["tanh", "lstm", "gru"]

NUM_GATES: dict[str, int] = {"tanh": 1, "gru": 3, "lstm": 4}
_ELEMENTWISE: dict[str, int] = {"tanh": 1, "gru": 8, "lstm": 9}
"""Elementwise FLOPs of a node in one step, without sums with drives. tanh: the tanh. gru: two sigmoids, product and sum
within the candidate, its tanh, 3 for the interpolation. lstm: four nonlinearities, 3 for the memory, its tanh and a
product."""


def recurrent_cost(unit: RnnUnit, num_inputs: int, num_nodes: int, timesteps: int) -> Cost:
    """Return the cost of one recurrent layer with two biases, as in torch.nn: gates n (d + n + 2) parameters.

    All inputs are projected at once. The first step starts at rest and needs no recurrent product.

    Args:
        unit: tanh, gru or lstm.
        num_inputs: d, features of one step.
        num_nodes: n.
        timesteps: T, number of steps.
    """
    gates, recurring = NUM_GATES[unit] * num_nodes, timesteps - 1
    return Cost(
        gates * (num_inputs + num_nodes + 2),
        2 * gates * (timesteps * num_inputs + recurring * num_nodes),
        gates * (timesteps + recurring) + timesteps * _ELEMENTWISE[unit] * num_nodes,
    )


class RnnParameters(ModelParameters):
    """Recurrent layers over a sequence. The read-out gets the last layer's state at the last step, or its mean."""

    network: ClassVar[str] = "hornlib.models.rnn.network:Rnn"
    presentations: ClassVar[tuple[str, ...]] = ("rows", "pixels", "permuted_pixels")

    name: Literal["rnn"] = "rnn"
    unit: RnnUnit = "tanh"
    """The recurrent unit."""
    num_nodes: int = Field(default=32, ge=1)
    """Nodes of each recurrent layer."""
    num_layers: int = Field(default=1, ge=1)
    """Number of recurrent layers; the input of each is the states of the one before."""
    readout: Literal["last", "mean"] = "last"
    """What the read-out gets: the state at the last step, or the mean over steps."""
    readout_norm: ReadoutNorm = "batch"
    """Normalisation of the features before the last layer."""

    def recurrence_kernel(self) -> RecurrenceKernel:
        """Return the kernel of recurrent layers."""
        return RecurrenceKernel("recurrence")

    def width(self) -> int:
        """Nodes of each layer."""
        return self.num_nodes

    def with_width(self, width: int) -> Self:
        """Return the same layers with `width` nodes each."""
        return self.model_copy(update={"num_nodes": width})

    def derived(self, task: Task) -> dict[str, Value]:
        """Return the number of steps, which is the sequence's length."""
        return {"timesteps": task.input_shape[0]}

    def cost(self, task: Task) -> Cost:
        """Return the cost of the recurrent layers and the read-out."""
        timesteps, num_inputs = task.input_shape
        total = layer_cost.readout(self.num_nodes, task.num_outputs, self.readout_norm)
        for layer in range(self.num_layers):
            total += recurrent_cost(
                self.unit, num_inputs if layer == 0 else self.num_nodes, self.num_nodes, timesteps
            )
        if self.readout == "mean":
            total += layer_cost.elementwise(timesteps * self.num_nodes)
        return total

    def weights(self, task: Task) -> list[Weight]:
        """Return the matrices of all layers, those of all gates in one tensor, and of the read-out."""
        timesteps, num_inputs = task.input_shape
        gates, weights = NUM_GATES[self.unit] * self.num_nodes, []
        for layer in range(self.num_layers):
            name, role = f"layers.{layer}.weight", cast(WeightRole, "hidden" if layer else "input")
            weights += [
                linear_weight(f"{name}_ih", num_inputs, gates, layer, role, timesteps),
                linear_weight(f"{name}_hh", self.num_nodes, gates, layer, "recurrent", timesteps - 1),
            ]
            num_inputs = self.num_nodes
        return [*weights, readout_weight(self.num_nodes, task.num_outputs, self.num_layers)]
