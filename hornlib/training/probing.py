"""Probes: a fixed set of inputs runs through every lane, and the states inside the networks are measured."""

from typing import NamedTuple

import torch
from torch import Tensor

from hornlib.data.loading import Split, Splits
from hornlib.data.splits import balanced_order
from hornlib.dynamics.probes import measures
from hornlib.dynamics.probes.units import States
from hornlib.dynamics.probes.walking import Trace
from hornlib.grid.cell import Cell
from hornlib.models.build import build_network
from hornlib.models.lanes import LaneGroup
from hornlib.models.tracing import is_traced, trace
from hornlib.parameters import ModelParameters, Task
from hornlib.parameters.probes import ProbeSettings, probe_steps, run_on_steps
from hornlib.parameters.training import TrainingParameters
from hornlib.randomness import generator
from hornlib.results.dynamics_file import LayerRecord
from hornlib.training.evaluation import LOSSES, evaluated_lanes
from hornlib.training.inside import Inside, over_lanes

__all__ = ["Probe", "ProbePlan", "make_plan", "probe_inputs"]

_KINDS = {
    "Oscillators": ("oscillators", ("displacement", "velocity")),
    "FirstOrder": ("first_order", ("state",)),
    "Gru": ("gated", ("output",)),
    "Lstm": ("gated", ("output", "memory")),
    "NoneType": ("feed_forward", ("output",)),
}
"""Kind of a layer and the names of the parts of its state, by the class of its update rule."""

_GRADIENTS = {
    "displacement": "state_gradient_norm",
    "velocity": "velocity_gradient_norm",
    "state": "state_gradient_norm",
    "output": "state_gradient_norm",
}
"""Variable that holds the gradient with respect to a part. The gradient of an LSTM's memory is not recorded."""


class ProbePlan(NamedTuple):
    """What is measured, and when. It is a pure function of cell and settings.

    Attributes:
        settings: how much is recorded.
        steps: training steps at which probes are taken.
        num_inputs: number of examples of a probe.
        layers: layers of the deepest and widest network that a structure may make, in order from the input. Empty for a
            network that cannot be traced.
        run_on_steps: steps that each layer runs on beyond its last time step; 0 where no layer has time.
    """

    settings: ProbeSettings
    steps: list[int]
    num_inputs: int
    layers: list[LayerRecord]
    run_on_steps: int

    @property
    def timesteps(self) -> int:
        """The largest number of time steps of a layer."""
        return max((layer.timesteps for layer in self.layers), default=1)

    def full_bytes(self, num_seeds: int) -> int:
        """Return the size of all states of all inputs of `num_seeds` runs in float32, bytes."""
        numbers = sum(len(layer.parts) * layer.timesteps * layer.num_units for layer in self.layers)
        return 4 * num_seeds * len(self.steps) * self.num_inputs * numbers


def make_plan(cell: Cell, settings: ProbeSettings) -> ProbePlan:
    """Return what a job of this cell records.

    Args:
        cell: what is trained.
        settings: how much is recorded.
    """
    task = cell.task()
    steps = probe_steps(cell.training.evaluation_steps(cell.data.num_train), settings.moments)
    num_inputs = min(settings.inputs, cell.data.num_validation or cell.data.num_train)
    layers = _layers(cell.structure.deepest(cell.model, task), task)
    timesteps = max((layer.timesteps for layer in layers), default=1)
    in_time = any(layer.kind != "feed_forward" for layer in layers)
    length = run_on_steps(cell.model, task, timesteps, settings.run_on_cycles) if in_time else 0
    return ProbePlan(settings, steps, num_inputs, layers, length)


def _layers(model: ModelParameters, task: Task) -> list[LayerRecord]:
    if model.trainer == "evolution":
        return []
    network = build_network(model, task, 0).eval()
    if not is_traced(network):
        return []
    with torch.no_grad():
        _, traces = trace(network, torch.zeros(2, *task.input_shape))
    return [_layer(name, layer_trace) for name, layer_trace in traces.items()]


def _layer(name: str, layer_trace: Trace) -> LayerRecord:
    kind, parts = _KINDS[type(layer_trace.unit).__name__]
    shape = layer_trace.states[0].shape
    return LayerRecord(name, kind, parts, shape[0], tuple(shape[2:]))


def probe_inputs(cell: Cell, splits: Splits, count: int) -> Split:
    """Return the probed examples: the same number of validation examples of each class, the same for all cells.

    For a dataset without a validation split, training examples are used. Test examples are never used.

    Args:
        cell: names the dataset and its loss.
        splits: the data.
        count: number of examples.
    """
    part = splits.validation if len(splits.validation.targets) else splits.train
    targets = part.targets.cpu()
    strata = targets if cell.data.loss == "cross_entropy" else torch.zeros(len(targets), dtype=torch.long)
    chosen = balanced_order(strata, generator("probe inputs", cell.data.name))[:count].to(part.targets.device)
    return Split(part.inputs[chosen], part.targets[chosen])


def _on_cpu(numbers: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors of one type on the CPU; all that are on a device by one copy, since each copy waits for it."""
    elsewhere = {name: values for name, values in numbers.items() if values.device.type != "cpu"}
    if not elsewhere:
        return numbers
    joint = torch.cat([values.flatten() for values in elsewhere.values()]).cpu()
    parts = joint.split([values.numel() for values in elsewhere.values()])
    copied = (part.view(values.shape) for part, values in zip(parts, elsewhere.values(), strict=True))
    return numbers | dict(zip(elsewhere, copied, strict=True))


class Probe:
    """Measures lanes. It holds no state that changes.

    Args:
        cell: what is trained. Lanes may differ in constants, which are in their buffers.
        plan: what is recorded.
        splits: the data.
        model: model parameters of the networks; None: those of the cell.
    """

    def __init__(
        self, cell: Cell, plan: ProbePlan, splits: Splits, model: ModelParameters | None = None
    ) -> None:
        self.plan, self._cell, self._splits = plan, cell, splits
        self.model = cell.model if model is None else model
        self.inputs, self.targets = probe_inputs(cell, splits, plan.num_inputs)
        network = build_network(self.model, cell.task(), 0).to(self.inputs.device)
        self.layers = _layers(self.model, cell.task())
        self._loss = cell.data.loss
        self._inside = Inside(network, self.layers, plan.settings, plan.num_inputs, plan.run_on_steps).eval()

    def of(self, model: ModelParameters) -> "Probe":
        """Return the probe for networks that a structure has changed to this model."""
        return self if model == self.model else Probe(self._cell, self.plan, self._splits, model)

    def record(self, lanes: LaneGroup, step: int, evaluated: LaneGroup | None = None) -> dict[str, Tensor]:
        """Return all measurements by name, `<layer>/<variable>` or `probe_loss`, each (lanes, ...).

        Batch norm uses the same statistics as evaluations. Before the first step, running averages hold no data. There
        the statistics are computed from training examples.

        Args:
            lanes: the networks; not changed.
            step: training steps done.
            evaluated: these networks with the statistics of the evaluation at this step; None: they are computed.
        """
        training = self._cell.training
        if step == 0 and training.batch_norm_statistics != "precise":
            training = TrainingParameters()
        lanes = evaluated_lanes(lanes, training, self._splits.train) if evaluated is None else evaluated
        parameters = {name: tensor.detach() for name, tensor in lanes.parameters.items()}
        buffers = dict(lanes.buffers)
        nudges = {layer.name: self._nudges(layer, len(lanes)) for layer in self.layers}
        logits, measured = over_lanes(self._inside, parameters, buffers, self.inputs, nudges)
        # outside of vmap: there a loss would load torch's symbolic shapes, which costs more than many probes
        targets = self.targets.expand(len(lanes), *self.targets.shape)
        losses = LOSSES[self._loss](logits, targets).sum(1)
        flat = {
            (layer.name, part): nudge
            for layer in self.layers
            for part, nudge in zip(layer.parts, nudges[layer.name], strict=True)
        }
        gradients = torch.autograd.grad(losses.sum(), list(flat.values()), allow_unused=True)
        numbers = {**measured, "probe_loss": losses / len(self.targets)}
        for (layer_name, part), gradient in zip(flat, gradients, strict=True):
            if gradient is not None and part in _GRADIENTS:
                norm = measures.gradient_norm(gradient.flatten(3))
                numbers[f"{layer_name}/{_GRADIENTS[part]}"] = norm
        return _on_cpu({name: values.detach() for name, values in numbers.items()})

    def _nudges(self, layer: LayerRecord, num_lanes: int) -> States:
        """Return zeros (lanes, T, batch, *units) for each part. Their memory layout is that of the states of lanes."""
        shape, device = (layer.timesteps, len(self.targets)), self.inputs.device
        if len(layer.shape) == 3:
            channels, height, width = layer.shape
            stored = (*shape, height, width, num_lanes, channels)
            laid = (torch.zeros(stored, device=device).permute(4, 0, 1, 5, 2, 3) for _ in layer.parts)
        else:
            laid = (torch.zeros(num_lanes, *shape, *layer.shape, device=device) for _ in layer.parts)
        return tuple(nudge.requires_grad_() for nudge in laid)
