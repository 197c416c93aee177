"""Parameters and counts of the graph that horn_cnn and leaky_cnn share; free of torch."""

from abc import abstractmethod
from itertools import pairwise
from typing import ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from hornlib.dynamics.gain import TimeReadout
from hornlib.models import layer_cost
from hornlib.models.layer_cost import ReadoutNorm
from hornlib.models.layer_weights import convolution_weight, readout_weight
from hornlib.models.recurrence_training import RecurrenceTraining, refuse_nothing_frozen
from hornlib.parameters import Cost, ModelParameters, RecurrenceKernel, Task, Weight

__all__ = ["RecurrentCnnParameters", "StageShape"]


class StageShape(NamedTuple):
    """Shape of one stage.

    Attributes:
        in_channels: channels of its input.
        channels: channels of its output.
        height: rows of its feature map, of input and output.
        width: columns of its feature map.
        drives: number of inputs of its convolution for each example: 1 for a constant drive, T for a sequence.
        output: what it passes on of its states over time: a read-out, or "sequence" for all of them.
    """

    in_channels: int
    channels: int
    height: int
    width: int
    drives: int
    output: Literal["mean", "last", "rms", "sequence"]

    @property
    def num_units(self) -> int:
        """Number of recurrent units: one for each channel and pixel."""
        return self.channels * self.height * self.width


class RecurrentCnnParameters(ModelParameters):
    """A CNN whose stages are fields of recurrent units that run for T steps.

    Stage s has num_nodes 2^s channels. It computes u = norm(conv3x3(input)), once for a constant drive; then T steps of
    the unit under tanh(u + recurrence_gain K * state), from rest, where K is a 3x3 convolution; then a read-out over
    time. Stages are separated by 2x2 pooling. A global average, a normalisation and one linear layer follow the last.
    """

    presentations: ClassVar[tuple[str, ...]] = ("image",)

    num_nodes: int = Field(default=32, ge=1)
    """Channels of the first stage; every further stage has twice as many."""
    num_stages: int = Field(default=3, ge=1, le=8)
    """Number of stages; each has half the resolution of the one before."""
    timesteps: int = Field(default=8, ge=1, le=100_000)
    """T, number of recurrent steps of every stage for one image."""
    recurrence: Literal["depthwise", "full", "none"] = "depthwise"
    """K, the 3x3 kernel from the units' states to their drive. depthwise: one kernel for each channel. full: from all
    channels to all channels. none: a stage is exactly c_T tanh(u), the arm K = 0."""
    recurrence_training: RecurrenceTraining = "learned"
    """Whether K is learned, or keeps its random initial values (frozen)."""
    recurrence_gain: float = Field(default=1.0, ge=0)
    """kappa, the factor of K. K starts with variance 1 / fan-in, so that with kappa = 1 the recurrence starts at the
    size of the state."""
    normalisation: layer_cost.Normalisation = "batch"
    """Normalisation of the drive u. batch: over batch and pixels (and time, in a sequence). group: over pixels and
    gcd(8, C) groups of channels. none: the convolution has a bias instead. none is for ablations only: u then shrinks
    from stage to stage (convolutions start with a variance below 1; tanh and a gain below 1 shrink it further) until
    the logits are nearly equal. Small drives lose digits too: at |u| = 1e-3 a force has a relative error of 1e-4."""
    readout: TimeReadout = "mean"
    """What a stage passes on of its T states: their mean, the last one, or their root mean square. With `between:
    sequence` it concerns only the last stage."""
    between: Literal["mean", "sequence"] = "mean"
    """mean: a stage passes on its read-out, and every drive is constant in time. sequence: it passes on every state
    x_t, and the next stage convolves at every step."""
    pooling: Literal["average", "max"] = "average"
    """2x2 pooling between stages. The average commutes with the read-out over time and with a change of sign. The
    maximum rectifies a state that oscillates around zero, so that oscillation and rectification are confounded."""
    readout_norm: ReadoutNorm = "batch"
    """Normalisation of the features before the last layer: over the batch, without an affine map, or none."""

    @model_validator(mode="after")
    def _something_to_freeze(self) -> Self:
        refuse_nothing_frozen(self.recurrence, self.recurrence_training)
        return self

    def stages(self, task: Task) -> list[StageShape]:
        """Return the shapes of the stages, first to last."""
        in_channels, height, width = task.input_shape
        sequence = self.between == "sequence"
        shapes = []
        for stage in range(self.num_stages):
            drives = self.timesteps if sequence and stage > 0 else 1
            output = "sequence" if sequence and stage < self.num_stages - 1 else self.readout
            channels = self.num_nodes * 2**stage
            shapes.append(StageShape(in_channels, channels, height >> stage, width >> stage, drives, output))
            in_channels = channels
        return shapes

    def width(self) -> int:
        """Return the channels of the first stage."""
        return self.num_nodes

    def with_width(self, width: int) -> Self:
        """Return the same model with another number of channels in the first stage."""
        return self.model_copy(update={"num_nodes": width})

    def problems(self, task: Task) -> list[str]:
        """Return a problem if pooling leaves no pixel for the last stage."""
        _, height, width = task.input_shape
        most = min(height, width).bit_length()
        if self.num_stages <= most:
            return []
        return [f"num_stages: {self.num_stages} stages halve {height}x{width} pixels to none; at most {most}"]

    def recurrence_kernel(self) -> RecurrenceKernel:
        """Return the kernel of fields; it convolves each channel alone, and its drive is constant in time."""
        lacks = {
            "recurrence: full": self.recurrence == "full",
            "between: sequence": self.between == "sequence",
        }
        lacks["readout: rms"] = self.readout == "rms"
        return RecurrenceKernel("field", next((text for text, missing in lacks.items() if missing), ""))

    @abstractmethod
    def _unit_elementwise(self) -> int:
        """Return the elementwise operations of one unit in one step, without the addition of the recurrence."""

    def _unit_num_parameters(self, stage: StageShape) -> int:
        """Return the number of trained constants of a stage's units."""
        return 0

    def cost(self, task: Task) -> Cost:
        """Return the cost of all stages, the pools between them, the global mean and the read-out.

        Counted is the work as it is run: T applications of K, the first of them to the state at rest.
        """
        stages = self.stages(task)
        last = stages[-1]
        total = layer_cost.elementwise(last.num_units) + layer_cost.readout(
            last.channels, task.num_outputs, self.readout_norm
        )
        for stage, following in pairwise(stages):
            total += layer_cost.elementwise(stage.num_units * following.drives)
        return sum(map(self._stage_cost, stages), total)

    def weights(self, task: Task) -> list[Weight]:
        """Return the kernels from stage to stage and the matrix of the read-out.

        The recurrent kernels stay dense: a depthwise one has nine numbers for a whole channel.
        """
        stages = self.stages(task)
        kernels = [
            convolution_weight(
                f"stages.{number}.convolution.weight",
                stage.in_channels,
                stage.channels,
                3,
                stage.height * stage.width * stage.drives,
                number,
            )
            for number, stage in enumerate(stages)
        ]
        return [*kernels, readout_weight(stages[-1].channels, task.num_outputs, len(stages))]

    def _stage_cost(self, stage: StageShape) -> Cost:
        channels, pixels, steps = stage.channels, stage.height * stage.width, self.timesteps
        bias = self.normalisation == "none"
        drive = layer_cost.convolution(stage.in_channels, channels, 3, pixels, bias=bias)
        drive += layer_cost.normalisation(self.normalisation, channels, pixels)
        drive += layer_cost.elementwise(stage.num_units)
        step = layer_cost.elementwise(stage.num_units * self._unit_elementwise())
        if self.recurrence != "none":
            groups = channels if self.recurrence == "depthwise" else 1
            kernel = layer_cost.convolution(channels, channels, 3, pixels, bias=False, groups=groups)
            step += kernel if self.recurrence_training == "learned" else Cost(0, *kernel.flops)
            step += layer_cost.elementwise(stage.num_units)
        read = {"mean": steps, "last": 1, "rms": 2 * steps + 2, "sequence": steps}[stage.output]
        constants = Cost(self._unit_num_parameters(stage), 0, stage.num_units * read)
        return _repeated(drive, stage.drives) + _repeated(step, steps) + constants


def _repeated(once: Cost, times: int) -> Cost:
    """Return the cost of the same weights, applied several times."""
    return Cost(once.num_parameters, once.products * times, once.elementwise * times)
