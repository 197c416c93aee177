"""Parameters of HORN, a recurrent layer of driven harmonic oscillators, with its counts; free of torch."""

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from hornlib.dynamics import stability
from hornlib.dynamics.gain import TimeReadout
from hornlib.dynamics.parameters import OSCILLATOR_CONSTANTS, OscillatorParameters
from hornlib.models import layer_cost
from hornlib.models.layer_cost import ReadoutNorm
from hornlib.models.layer_weights import linear_weight, readout_weight
from hornlib.models.recurrence_training import RecurrenceTraining, refuse_nothing_frozen
from hornlib.parameters import Cost, ModelParameters, RecurrenceKernel, Task, Value, Weight

__all__ = ["HornParameters"]


class HornParameters(ModelParameters, OscillatorParameters):
    """HORN (public code: exilef/horn): n oscillators that start at rest, driven by inputs s_t and by each other.

    y <- y + h (alpha tanh(W_ih s_t + b_ih + (W_hh y + b_hh) / sqrt(n)) - omega^2 x - 2 damping y);
    x <- x + h y;  logits = W_ho x_T + b_ho. An image is one constant input for T steps; every element of a sequence is
    the input of one step.
    """

    network: ClassVar[str] = "hornlib.models.horn.network:HORN"
    presentations: ClassVar[tuple[str, ...]] = ("image", "rows", "pixels", "permuted_pixels")
    per_lane: ClassVar[tuple[str, ...]] = OSCILLATOR_CONSTANTS

    name: Literal["horn"] = "horn"
    num_nodes: int = Field(default=32, ge=1)
    """n, number of oscillators of the layer; 32 in the public code."""
    timesteps: int | None = Field(default=None, ge=1, le=100_000)
    """T, number of steps. An image needs it; for a sequence null means its length."""
    recurrence: Literal["full", "none"] = "full"
    """full: W_hh and b_hh connect every node to every node. none: there is no recurrence."""
    recurrence_training: RecurrenceTraining = "learned"
    """Whether W_hh and b_hh are learned, or keep their random initial values (frozen)."""
    readout: TimeReadout = "last"
    """What the read-out gets of the displacements x_1 .. x_T: the last one, their mean or their root mean square."""
    readout_norm: ReadoutNorm = "batch"
    """Normalisation of the features before the last layer: over the batch, or none, as in the public code. Neither
    normalises the drives; inputs far below 1 lose digits there, see `hornlib.dynamics.oscillator.step`."""
    preset: Literal["public", "unit_gain"] = "public"
    """Source of the constants that are not given; see `OscillatorParameters`."""
    fast_path: Literal["adjoint", "autograd"] = Field(default="adjoint", json_schema_extra={"in_name": False})
    """How the same numbers are computed. adjoint: by a fused kernel or, where there is none, with a gradient derived by
    hand. autograd: by a plain loop, many times slower, and differentiable more than once."""

    @model_validator(mode="after")
    def _something_to_freeze(self) -> Self:
        refuse_nothing_frozen(self.recurrence, self.recurrence_training)
        return self

    def recurrence_kernel(self) -> RecurrenceKernel:
        """Return the kernel of recurrent layers, which is differentiable once, like the adjoint."""
        return RecurrenceKernel("recurrence", "fast_path: autograd" if self.fast_path == "autograd" else "")

    def width(self) -> int:
        """Nodes of the layer."""
        return self.num_nodes

    def with_width(self, width: int) -> Self:
        """Return the same layer with `width` nodes."""
        return self.model_copy(update={"num_nodes": width})

    def num_steps(self, task: Task) -> int:
        """Return T: the sequence's length, or `timesteps`.

        Raises:
            ValueError: an image without `timesteps`.
        """
        if task.is_sequence:
            return task.input_shape[0]
        if self.timesteps is None:
            raise ValueError(_NEEDS_TIMESTEPS)
        return self.timesteps

    def derived(self, task: Task) -> dict[str, Value]:
        """Return T and the constants of the homogeneous oscillator."""
        timesteps = self.num_steps(task)
        return {"timesteps": timesteps, **self.oscillator_derived(timesteps)}

    def problems(self, task: Task) -> list[str]:
        """Return a problem if `timesteps` does not fit the task."""
        if not task.is_sequence and self.timesteps is None:
            return [_NEEDS_TIMESTEPS]
        problems = []
        if task.is_sequence and self.timesteps not in (None, task.input_shape[0]):
            problems.append(
                f"timesteps: {self.timesteps}, but the sequence has {task.input_shape[0]} steps; leave it out"
            )
        if self.integrator == "explicit_euler" and self.num_steps(task) == 1:
            problems.append(
                "timesteps: after 1 step of explicit_euler every displacement is still 0; give at least 2"
            )
        return problems

    def warnings(self, task: Task) -> list[str]:
        """Return predictions of unstable oscillators."""
        return stability.warnings(self, self.num_steps(task))

    def cost(self, task: Task) -> Cost:
        """Return n (d + 1) + n (n + 1) + K (n + 1) parameters, and the work of the fast path.

        Frozen recurrent weights take n (n + 1) parameters away; learned constants add 3 n. The fast path projects a
        constant input once, and nothing recurs while all oscillators are at rest.
        """
        n, timesteps = self.num_nodes, self.num_steps(task)
        num_drives = self._num_drives(task)
        total = Cost(n * (task.num_features + 1), 2 * n * task.num_features * num_drives, n * num_drives)
        if self.recurrence == "full" and self.recurrence_training == "learned":
            total += Cost(num_parameters=n * (n + 1))
        if self.oscillator_training == "learned":
            total += Cost(num_parameters=3 * n)
        total += self._dynamics_cost(timesteps)
        return total + layer_cost.readout(n, task.num_outputs, self.readout_norm)

    def _dynamics_cost(self, timesteps: int) -> Cost:
        """Return the cost of the forward pass of `hornlib.dynamics.adjoint`, and of the read-out over time."""
        n, every_step = self.num_nodes, self.readout != "last"
        explicit, on_position = self.integrator == "explicit_euler", self.recurrence_on == "position"
        recurrent = self.recurrence == "full"
        steps = timesteps - explicit
        reads = self._num_reads(timesteps) if recurrent else 0
        sums = steps * (every_step or (recurrent and on_position))
        read_out = {"last": 2, "mean": steps + timesteps, "rms": steps + 2 * timesteps + 2}[self.readout]
        # a step: half a tanh (2), the velocity (1), the linear part (4)
        return Cost(0, 2 * reads * n * n, n * (7 * steps + reads + sums + read_out))

    def weights(self, task: Task) -> list[Weight]:
        """Return W_ih, W_hh if it is learned, and the matrix of the read-out.

        For an image of more than 64 steps the gradient of W_ih takes more products than counted here:
        `hornlib.dynamics.adjoint` adds it up 64 steps at a time.
        """
        n, timesteps = self.num_nodes, self.num_steps(task)
        weights = [
            linear_weight("projection.weight", task.num_features, n, 0, "input", self._num_drives(task))
        ]
        if self.recurrence == "full" and self.recurrence_training == "learned":
            reads = self._num_reads(timesteps)
            recurrent = linear_weight("recurrence.weight", n, n, 0, "recurrent", reads)
            # The adjoint goes back one step more, to the state at rest.
            weights.append(recurrent._replace(backward_uses=reads + 1))
        return [*weights, readout_weight(n, task.num_outputs, 1)]

    def _num_drives(self, task: Task) -> int:
        """Return how often an example is projected: once if it is constant."""
        return task.input_shape[0] - (self.integrator == "explicit_euler") if task.is_sequence else 1

    def _num_reads(self, timesteps: int) -> int:
        """Return how often W_hh multiplies a state: never while all oscillators are at rest."""
        explicit, on_position = self.integrator == "explicit_euler", self.recurrence_on == "position"
        return max(timesteps - explicit - (2 if explicit and on_position else 1), 0)


_NEEDS_TIMESTEPS = "timesteps: an image is a constant input and needs their number, for example 8"
