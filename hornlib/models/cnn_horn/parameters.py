"""Parameters of a CNN stem whose feature map is the input sequence of a HORN or a rival; free of torch."""

from itertools import pairwise
from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from hornlib.dynamics import stability
from hornlib.dynamics.gain import TimeReadout
from hornlib.dynamics.parameters import OSCILLATOR_CONSTANTS, OscillatorParameters
from hornlib.models import layer_cost
from hornlib.models.horn.parameters import HornParameters
from hornlib.models.layer_cost import ReadoutNorm
from hornlib.models.layer_weights import as_part, convolution_weight
from hornlib.models.mlp.parameters import MlpParameters
from hornlib.models.rnn.parameters import RnnParameters
from hornlib.parameters import Cost, ModelParameters, RecurrenceKernel, Task, Value, Weight, Widths

__all__ = ["CnnHornParameters"]


class CnnHornParameters(ModelParameters, OscillatorParameters):
    """A convolutional stem, whose last map is split into T rows or patches, and a unit that reads them one by one.

    maps <- f(norm(conv3x3(maps))) for every stage, halved between stages; s_t is row or patch t with all its channels;
    logits = unit(s_1 .. s_T). `unit: horn` is the layer of the model `horn`. The rivals have the same stem, and `match`
    gives them as many parameters: a tanh RNN, a GRU, or one hidden layer over the mean of the map, which is no
    sequence. Only `unit: horn` has constants of oscillators.
    """

    network: ClassVar[str] = "hornlib.models.cnn_horn.network:CnnHorn"
    presentations: ClassVar[tuple[str, ...]] = ("image",)
    per_lane: ClassVar[tuple[str, ...]] = OSCILLATOR_CONSTANTS

    name: Literal["cnn_horn"] = "cnn_horn"
    channels: Widths = Field(default=(16, 32), min_length=1)
    """Channels of each stage of the stem; images are halved between stages."""
    activation: layer_cost.Activation = "relu"
    """The nonlinearity of the stem, and of the hidden layer of gap_mlp."""
    normalisation: layer_cost.Normalisation = "batch"
    """Affine normalisation in the stem, between convolution and activation; "none" gives a bias instead."""
    order: Literal["rows", "patches"] = "rows"
    """How the last map becomes a sequence: row by row, top to bottom, or patch by patch in reading order."""
    patch_size: int = Field(default=2, ge=1)
    """Side of a square patch, pixels of the last map. Pixels at the right and at the bottom that fill no patch are
    omitted."""
    unit: Literal["horn", "tanh_rnn", "gru", "gap_mlp"] = "horn"
    """What reads the sequence; gap_mlp reads the mean over pixels."""
    num_nodes: int = Field(default=64, ge=1)
    """Nodes of the unit's layer."""
    readout: TimeReadout = "last"
    """What is read of the unit's states over time; only horn has rms."""
    readout_norm: ReadoutNorm = "batch"
    """Normalisation of the features before the last layer."""

    @model_validator(mode="after")
    def _only_what_the_unit_has(self) -> "CnnHornParameters":
        if self.unit == "horn":
            return self
        without = [*OscillatorParameters.model_fields]
        if self.unit == "gap_mlp":
            without += ["order", "patch_size", "readout"]
        fields = type(self).model_fields
        for key in without:
            if getattr(self, key) != fields[key].default:
                raise ValueError(f"{key} means nothing to unit: {self.unit}; leave it out")
        if self.readout == "rms":
            raise ValueError(f"readout: rms is of horn alone; unit: {self.unit} reads last or mean")
        return self

    def map_shape(self, task: Task) -> tuple[int, int, int]:
        """Return channels, height and width of the last map."""
        _, height, width = task.input_shape
        halvings = len(self.channels) - 1
        return self.channels[-1], height >> halvings, width >> halvings

    def sequence_shape(self, task: Task) -> tuple[int, int]:
        """Return T and the number of features of each s_t."""
        channels, height, width = self.map_shape(task)
        if self.order == "rows":
            return height, channels * width
        side = self.patch_size
        return (height // side) * (width // side), channels * side**2

    def head(self, task: Task) -> tuple[ModelParameters, Task]:
        """Return the model that reads the sequence (or the mean of the map), and its task."""
        over_time = Task(self.sequence_shape(task), task.num_outputs)
        if self.unit == "horn":
            constants = {key: getattr(self, key) for key in OscillatorParameters.model_fields}
            horn = HornParameters(
                num_nodes=self.num_nodes, readout=self.readout, readout_norm=self.readout_norm, **constants
            )
            return horn, over_time
        if self.unit == "gap_mlp":
            mlp = MlpParameters(
                hidden_nodes=(self.num_nodes,), activation=self.activation, readout_norm=self.readout_norm
            )
            return mlp, Task((self.channels[-1], 1, 1), task.num_outputs)
        rnn = RnnParameters(
            unit="tanh" if self.unit == "tanh_rnn" else "gru",
            num_nodes=self.num_nodes,
            readout="mean" if self.readout == "mean" else "last",
            readout_norm=self.readout_norm,
        )
        return rnn, over_time

    def cost(self, task: Task) -> Cost:
        """Return the cost of stem and unit."""
        head, head_task = self.head(task)
        return self._stem_cost(task) + head.cost(head_task)

    def recurrence_kernel(self) -> RecurrenceKernel | None:
        """Return the kernel of recurrent layers, for a unit that reads a sequence."""
        return None if self.unit == "gap_mlp" else RecurrenceKernel("recurrence")

    def width(self) -> int:
        """Return the nodes of the unit's layer; the stem stays as it is."""
        return self.num_nodes

    def with_width(self, width: int) -> Self:
        """Return the same stem with `width` nodes in the unit's layer."""
        return self.model_copy(update={"num_nodes": width})

    def derived(self, task: Task) -> dict[str, Value]:
        """Return T, and with unit horn the constants of the homogeneous oscillator."""
        if self.unit == "gap_mlp":
            return {}
        timesteps, _ = self.sequence_shape(task)
        return {"timesteps": timesteps, **(self.oscillator_derived(timesteps) if self.unit == "horn" else {})}

    def problems(self, task: Task) -> list[str]:
        """Return a problem if the last map has no pixel or no whole patch."""
        _, height, width = self.map_shape(task)
        if min(height, width) == 0:
            return [f"channels: {len(self.channels)} stages halve the image to nothing; give fewer"]
        if self.order == "patches" and min(height, width) < self.patch_size:
            return [f"patch_size: {self.patch_size}, but the last map has {height}x{width} pixels"]
        head, head_task = self.head(task)
        return head.problems(head_task)

    def warnings(self, task: Task) -> list[str]:
        """Return predictions of unstable oscillators."""
        timesteps, _ = self.sequence_shape(task)
        return stability.warnings(self, timesteps) if self.unit == "horn" else []

    def weights(self, task: Task) -> list[Weight]:
        """Return the kernels of the stem and the weights of the unit."""
        _, height, width = task.input_shape
        kernels = [
            convolution_weight(
                f"convolutions.{stage}.weight", before, after, 3, (height >> stage) * (width >> stage), stage
            )
            for stage, (before, after) in enumerate(pairwise((task.input_shape[0], *self.channels)))
        ]
        head, head_task = self.head(task)
        return [*kernels, *as_part(head.weights(head_task), "unit", len(kernels))]

    def _stem_cost(self, task: Task) -> Cost:
        num_inputs, height, width = task.input_shape
        total = Cost()
        for stage, channels in enumerate(self.channels):
            if stage > 0:
                total += layer_cost.elementwise(num_inputs * height * width)
                height, width = height // 2, width // 2
            positions = height * width
            total += layer_cost.convolution(
                num_inputs, channels, 3, positions, bias=self.normalisation == "none"
            )
            total += layer_cost.normalisation(self.normalisation, channels, positions)
            total += layer_cost.activation(self.activation, channels * positions)
            num_inputs = channels
        return total + layer_cost.elementwise((self.unit == "gap_mlp") * num_inputs * height * width)
