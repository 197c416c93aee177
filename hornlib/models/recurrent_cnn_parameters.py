"""Parameters and counts of the graph that horn_cnn and leaky_cnn share; free of torch."""

from abc import abstractmethod
from typing import ClassVar, Literal, NamedTuple, Self

from pydantic import Field

from hornlib.dynamics.gain import TimeReadout
from hornlib.models.readout_parameters import ReadoutNorm, readout_flops, readout_num_parameters
from hornlib.parameters import Flops, ModelParameters, Task

__all__ = ["RecurrentCnnParameters", "StageShape"]


class StageShape(NamedTuple):
    """Shape of one stage.

    Attributes:
        in_channels: channels of its input.
        channels: its own channels.
        height: rows of its feature map, input and output alike.
        width: columns of its feature map.
        drives: inputs an example that its convolution sees: 1 for a constant drive, T for a sequence.
        output: how its states over time leave it: a read-out, or "sequence" for all of them.
    """

    in_channels: int
    channels: int
    height: int
    width: int
    drives: int
    output: Literal["mean", "last", "rms", "sequence"]

    @property
    def num_units(self) -> int:
        """Recurrent units: one a channel and pixel."""
        return self.channels * self.height * self.width


class RecurrentCnnParameters(ModelParameters):
    """A CNN whose stages are fields of recurrent units that run for T steps.

    Stage s has num_nodes 2^s channels: u = norm(conv3x3(input)), once for a constant drive; T steps of the
    unit under tanh(u + recurrence_gain K * state), from rest, K a 3x3 convolution; a read-out over time.
    Between stages 2x2 pooling, after the last a global average, the normalised read-out and one Linear layer.
    """

    presentations: ClassVar[tuple[str, ...]] = ("image",)

    num_nodes: int = Field(default=32, ge=1)
    """Channels of the first stage; every further stage doubles them."""
    num_stages: int = Field(default=3, ge=1, le=8)
    """Stages, each at half the resolution of the one before."""
    timesteps: int = Field(default=8, ge=1)
    """T, recurrent steps of every stage for one image."""
    recurrence: Literal["depthwise", "full", "none"] = "depthwise"
    """K, the 3x3 kernel from the units' states to their drive: one a channel, all to all channels, or none
    (then a stage is exactly c_T tanh(u): the arm K = 0)."""
    recurrence_gain: float = Field(default=1.0, ge=0)
    """kappa, the factor of K; K starts with variance 1 / fan-in, so that at 1 the recurrence starts at the
    size of the state."""
    normalisation: Literal["batch", "group", "none"] = "batch"
    """Of the drive u, over batch and pixels (and time, in a sequence), or over pixels and gcd(8, C) groups of
    channels. none gives the convolution a bias instead and is an ablation only: u then shrinks from stage to
    stage (convolutions start at a variance below 1, and tanh and a gain below 1 shrink it further) until the
    logits are all but equal."""
    readout: TimeReadout = "mean"
    """What a stage hands on of its T states: their mean, the last one, or their root mean square (the last
    stage alone where `between` is sequence)."""
    between: Literal["mean", "sequence"] = "mean"
    """mean: a stage hands on its read-out, and every drive is constant in time. sequence: it hands on every
    state x_t, and the next stage convolves at every step."""
    pooling: Literal["average", "max"] = "average"
    """2x2 pooling between stages. The average commutes with the read-out over time and with a change of sign;
    the maximum rectifies a state that swings through zero, and confounds oscillation with rectification."""
    readout_norm: ReadoutNorm = "batch"
    """Normalisation of the features before the last layer: over the batch, without an affine map, or none."""

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

    def num_parameters(self, task: Task) -> int:
        """Return 9 in C + 2 C (norm; else C, the bias) + 9 C (K; 9 C^2 full) a stage, and the read-out."""
        stages = self.stages(task)
        offsets = 1 if self.normalisation == "none" else 2
        total = readout_num_parameters(stages[-1].channels, task.num_outputs)
        for stage in stages:
            total += stage.channels * (9 * stage.in_channels + offsets) + 9 * self._kernel_pairs(stage)
            total += self._unit_num_parameters(stage)
        return total

    def forward_flops(self, task: Task) -> Flops:
        """Return the work as it is run: T applications of K, the first of them to the state at rest."""
        stages = self.stages(task)
        flops = readout_flops(stages[-1].channels, task.num_outputs, self.readout_norm)
        for stage, before in zip(stages, [None, *stages], strict=False):
            flops += self._stage_flops(stage)
            if before is not None:
                flops += Flops(0, before.num_units * stage.drives)
        return flops + Flops(0, stages[-1].num_units)

    def width(self) -> int:
        """Return the channels of the first stage."""
        return self.num_nodes

    def with_width(self, width: int) -> Self:
        """Return the same model with another number of channels in the first stage."""
        return self.model_copy(update={"num_nodes": width})

    def problems(self, task: Task) -> list[str]:
        """Say when pooling leaves no pixel for the last stage."""
        _, height, width = task.input_shape
        most = min(height, width).bit_length()
        if self.num_stages <= most:
            return []
        return [f"num_stages: {self.num_stages} stages halve {height}x{width} pixels to none; at most {most}"]

    @abstractmethod
    def _unit_elementwise(self) -> int:
        """Elementwise operations of one unit in one step, the addition of the recurrence not included."""

    def _unit_num_parameters(self, stage: StageShape) -> int:
        """Trained constants of the units of a stage."""
        return 0

    def _kernel_pairs(self, stage: StageShape) -> int:
        """Pairs of channels that K joins."""
        return {"depthwise": stage.channels, "full": stage.channels**2, "none": 0}[self.recurrence]

    def _stage_flops(self, stage: StageShape) -> Flops:
        pixels, steps = stage.height * stage.width, self.timesteps
        products = (
            18
            * pixels
            * (stage.in_channels * stage.channels * stage.drives + self._kernel_pairs(stage) * steps)
        )
        drive = {"batch": 2, "group": 5, "none": 1}[self.normalisation] * stage.drives
        unit = self._unit_elementwise() + (self.recurrence != "none")
        read = {"mean": steps, "last": 1, "rms": 2 * steps + 2, "sequence": steps}[stage.output]
        return Flops(products, stage.num_units * (drive + unit * steps + read))
