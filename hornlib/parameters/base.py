"""The base of every parameter class: typed and frozen, with one canonical form; unknown keys are forbidden."""

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

__all__ = [
    "Cost",
    "Flops",
    "ModelParameters",
    "Parameters",
    "Task",
    "UnitAxis",
    "Weight",
    "WeightRole",
    "Widths",
]

Value = str | int | float | None

WeightRole = Literal["input", "hidden", "recurrent", "output"]


class Task(NamedTuple):
    """Shapes that a dataset, in one presentation, requires of a network; without the batch axis.

    Attributes:
        input_shape: (channels, height, width) of an image, (timesteps, features) of a sequence, or (features,) of
            a vector.
        num_outputs: classes, or regressed components.
    """

    input_shape: tuple[int, ...]
    num_outputs: int

    @property
    def is_sequence(self) -> bool:
        """Whether an example is presented step by step."""
        return len(self.input_shape) == 2

    @property
    def num_features(self) -> int:
        """Numbers that reach the network at once: per step of a sequence, else the whole example."""
        return self.input_shape[1] if self.is_sequence else math.prod(self.input_shape)


class Flops(NamedTuple):
    """Floating-point operations of one example; one multiply-accumulate counts 2.

    Attributes:
        products: matrix products and convolutions, without their bias additions.
        elementwise: everything else, 1 for each output number of an arithmetic operation
            (tanh, sigmoid, exp and sqrt count 1 too: see `hornlib.models.flops`).
    """

    products: int
    elementwise: int

    @property
    def total(self) -> int:
        """Products and elementwise work together."""
        return self.products + self.elementwise

    def __add__(self, other: "Flops") -> "Flops":  # type: ignore[override]
        return Flops(self.products + other.products, self.elementwise + other.elementwise)


class Weight(NamedTuple):
    """A weight that may be pruned: a matrix or a convolution kernel, no bias and no scale of a norm.

    Attributes:
        name: of the tensor in the network.
        shape: of the tensor, outputs first.
        layer: position of its layer, 0 at the input. Several weights may belong to one layer.
        role: input, hidden, recurrent or output. input reads the example alone, output is the last layer.
        uses: products of one example with each of its numbers in a forward pass: 1 in a fully connected layer, the
            number of positions in a convolution, the number of steps in a recurrence.
        backward_uses: products of one example with each of its numbers in the backward pass to its input; 0 where the
            input needs no gradient.
    """

    name: str
    shape: tuple[int, ...]
    layer: int
    role: WeightRole
    uses: int
    backward_uses: int

    @property
    def size(self) -> int:
        """Number of its entries."""
        return math.prod(self.shape)


class UnitAxis(NamedTuple):
    """Where the units of a hidden layer stand in one tensor of the network.

    Attributes:
        name: of the tensor, trained or running.
        axis: of the tensor along which the units stand, 0 the first.
        side: incoming for weights that compute the units, outgoing for weights that read them, own for what each unit
            has to itself: its bias, scale and running statistics of a norm, learned slopes of its activation.
        block: consecutive entries of one unit along the axis: 1, or behind a flattening the positions of its map.
    """

    name: str
    axis: int
    side: Literal["incoming", "outgoing", "own"]
    block: int = 1


class Cost(NamedTuple):
    """Size and work of a network, or of a part of it: what a part adds can be summed part by part.

    Attributes:
        num_parameters: trained numbers.
        products, elementwise: floating-point operations of one example in evaluation mode, as in `Flops`.
    """

    num_parameters: int = 0
    products: int = 0
    elementwise: int = 0

    def __add__(self, other: "Cost") -> "Cost":  # type: ignore[override]
        return Cost(*(mine + its for mine, its in zip(self, other, strict=True)))

    @property
    def flops(self) -> Flops:
        """The work without the parameters."""
        return Flops(self.products, self.elementwise)


def _parse_widths(value: object) -> object:
    """Read `32-64-128` (and a lone integer) as a tuple of widths; leave anything else to pydantic."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    if isinstance(value, str):
        if not re.fullmatch(r"[1-9][0-9]*(-[1-9][0-9]*)*", value):
            raise ValueError("a list of widths is written 32-64-128")
        return tuple(int(part) for part in value.split("-"))
    return value


Widths = Annotated[
    tuple[Annotated[int, Field(ge=1)], ...],
    BeforeValidator(_parse_widths),
    PlainSerializer(lambda widths: "-".join(map(str, widths)), return_type=str),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": "^[1-9][0-9]*(-[1-9][0-9]*)*$"},
                {"type": "integer", "minimum": 1},
            ]
        }
    ),
]
"""A tuple of positive integers, written `32-64-128` in config.yaml and in results."""


class Parameters(BaseModel):
    """Parameters of one thing; equality, hashing and naming go by value.

    The docstring of every field says its meaning, unit and range. A field whose value must not enter a cell's name,
    such as a path, carries `json_schema_extra={"in_name": False}`.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    def canonical(self) -> dict[str, Value]:
        """Return every named field in its canonical form: plain str, int, float or None.

        Validation has already turned 1 into 1.0 where a float is meant, so equal values look alike.
        """
        return dict(self._named_items())

    def changed(self) -> dict[str, Value]:
        """Return the canonical fields that differ from their class defaults, and the `name` if there is one."""
        defaults = type(self)._defaults()
        return {
            key: value
            for key, value in self._named_items()
            if key == "name" or value != defaults.get(key, ...)
        }

    def given(self) -> dict[str, Value]:
        """Return the values that differ from the defaults, fields outside the name too; a job is given these."""
        unnamed = type(self)._unnamed_fields()
        dumped = self.model_dump(mode="json", include=set(unnamed), exclude_defaults=True) if unnamed else {}
        return {**self.changed(), **dumped}

    def _named_items(self) -> Iterator[tuple[str, Value]]:
        dumped = self.__pydantic_serializer__.to_python(self, mode="json")
        for key, value in dumped.items():
            if key not in type(self)._unnamed_fields():
                yield key, value + 0.0 if isinstance(value, float) else value  # + 0.0 turns -0.0 into 0.0

    @classmethod
    def field_schemas(cls) -> dict[str, dict[str, Any]]:
        """Return the JSON schema of every field, without titles; its docstring is the description, on one line."""
        return {
            name: {
                key: " ".join(part.split()) if key == "description" else part
                for key, part in field.items()
                if key not in ("title", "in_name")
            }
            for name, field in cls.model_json_schema()["properties"].items()
        }

    @classmethod
    def mapping_schema(cls) -> dict[str, Any]:
        """Return the JSON schema of a mapping with these parameters."""
        required = [name for name, field in cls.model_fields.items() if field.is_required()]
        return {
            "type": "object",
            "properties": cls.field_schemas(),
            **({"required": required} if required else {}),
            "additionalProperties": False,
        }

    @classmethod
    def _unnamed_fields(cls) -> frozenset[str]:
        if "_unnamed" not in cls.__dict__:
            cls._unnamed = frozenset(
                key
                for key, field in cls.model_fields.items()
                if isinstance(field.json_schema_extra, dict)
                and field.json_schema_extra.get("in_name") is False
            )
        return cls._unnamed

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        if "_canonical_defaults" not in cls.__dict__:
            required = {key for key, field in cls.model_fields.items() if field.is_required()}
            values = cls.model_construct()
            dumped = values.model_dump(mode="json", warnings=False)
            cls._canonical_defaults = {key: value for key, value in dumped.items() if key not in required}
        return cls._canonical_defaults

    _unnamed: ClassVar[frozenset[str]]
    _canonical_defaults: ClassVar[dict[str, Any]]


class RecurrenceKernel(NamedTuple):
    """The fused kernel of a recurrence.

    Attributes:
        library: the source in `hornlib.kernels`: field or recurrence.
        lacks: the parameter that the kernel does not cover, such as "readout: rms"; "" if it covers the model.
    """

    library: str
    lacks: str = ""


class ModelParameters(Parameters, ABC):
    """Parameters of one model, with its counts in closed form; free of torch.

    A subclass sets `name` (a Literal equal to its key in `hornlib.models.MODELS`) and the class variables
    `network` (where its `torch.nn.Module` stands, as `module:class`, imported only when a job trains)
    and `presentations` (the presentations of data it accepts); and `per_lane`, where some of its parameters only
    set the values of buffers and initial weights, so that networks which differ in them can train side by side.
    The network is built as `Network(parameters, task, generator)`, the generator serving only fixed random
    draws (oscillators); learned weights come from torch's default generator, seeded by the builder.
    """

    network: ClassVar[str]
    presentations: ClassVar[tuple[str, ...]]
    trainer: ClassVar[str] = "gradient"
    """How a job trains the model: a key of `hornlib.training.trainers.TRAINERS`."""
    per_lane: ClassVar[tuple[str, ...]] = ()
    has_insertable_layers: ClassVar[bool] = False
    """Whether layers can be inserted; such a class is a `hornlib.models.layered_parameters.LayeredParameters`."""
    has_removable_layers: ClassVar[bool] = False
    """Whether layers with time steps can be removed; such a class is a `LayeredParameters` too."""

    name: str

    @abstractmethod
    def cost(self, task: Task) -> Cost:
        """Return the trained numbers and the work of one forward pass of one example in evaluation mode.

        They equal `sum(p.numel() for p in network.parameters() if p.requires_grad)` and what
        `hornlib.models.operations.forward_work` counts while the network runs; tests/models/test_contract.py holds
        every model to that.
        """

    @property
    def networks_per_example(self) -> int:
        """Networks that see each example of a training step: one, or all of a population."""
        return 1

    def num_parameters(self, task: Task) -> int:
        """Return the number of trained numbers."""
        return self.cost(task).num_parameters

    def forward_flops(self, task: Task) -> Flops:
        """Return the work of one forward pass of one example in evaluation mode."""
        return self.cost(task).flops

    def weights(self, task: Task) -> list[Weight]:
        """Return every weight that may be pruned, from the input to the output; empty where there is none.

        Each number of a weight takes 2 `uses` FLOPs of an example forward, 2 `backward_uses` to the input and 2 `uses`
        for its own gradient; tests/models/test_weights.py holds every model to that.
        """
        return []

    def with_connections(self, connections: Mapping[str, int], task: Task) -> Self | None:
        """Return the network that stores only so many connections of its weights; None if there is no such network.

        Args:
            connections: weight -> number of its connections; other weights stay dense.
            task: shapes of inputs and outputs.
        """
        return None

    def masked_form(self, task: Task) -> tuple[Self, dict[str, int]]:
        """Return the model whose weights are all dense, and weight -> number of its connections, as if under a mask.

        Args:
            task: shapes of inputs and outputs.
        """
        return self, {}

    def units(self) -> tuple[int, ...]:
        """Return the number of units of every hidden layer that can be widened and narrowed; empty if none can.

        A unit is a node or a channel. The layers are counted from 0 at the input.
        """
        return ()

    def with_units(self, layer: int, number: int) -> Self:
        """Return the same model with another number of units in one hidden layer.

        Args:
            layer: position in `units`.
            number: of its units.

        Raises:
            ValueError: the model has no such layer.
        """
        raise ValueError(f"{self.name} has no layer {layer} whose number of units can change")

    def unit_axes(self, layer: int, task: Task) -> list[UnitAxis]:
        """Return where the units of a layer stand in the tensors of the network.

        A permutation of the units along all these axes does not change the network's function;
        tests/models/test_units.py holds every model to that.

        Args:
            layer: position in `units`.
            task: shapes of inputs and outputs.
        """
        return []

    def unit_norms(self, layer: int) -> dict[str, str]:
        """Return the norms that act on the units of a layer: field of the model -> its value, without "none".

        Args:
            layer: position in `units`.
        """
        return {}

    @abstractmethod
    def width(self) -> int:
        """The integer that `with_width` changes: what `match` searches over."""

    @abstractmethod
    def with_width(self, width: int) -> Self:
        """Return the same model at another width; the counts grow monotonically with it."""

    def derived(self, task: Task) -> dict[str, Value]:
        """Quantities that follow from parameters and task, under their one name (`timesteps`, `num_cycles`)."""
        return {}

    def recurrence_kernel(self) -> "RecurrenceKernel | None":
        """Return the fused kernel of the model's recurrence; None for a model without recurrence."""
        return None

    def problems(self, task: Task) -> list[str]:
        """Reasons why this cell cannot work on this task (an error), each one sentence; empty if none."""
        return []

    def warnings(self, task: Task) -> list[str]:
        """Predictions of trouble that still may be trained (an unstable oscillator), each one sentence."""
        return []
