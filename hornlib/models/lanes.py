"""Lanes: several seeds of one network, their parameters stacked along a leading axis and run as one."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hornlib.models.build import build_network
from hornlib.parameters import ModelParameters, Task

__all__ = ["LaneGroup", "NetworkOutput", "NetworkTensors", "chosen_lanes", "make_lanes", "network_tensors"]

BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


class NetworkOutput(NamedTuple):
    """What the networks of a group return.

    Attributes:
        logits: outputs, (lanes, batch, num_outputs).
        penalty: what each network adds to its own loss, (lanes,); 0 for networks without a `penalty()`.
    """

    logits: Tensor
    penalty: Tensor


class NetworkTensors(NamedTuple):
    """Tensors by their names within the network, of one lane, or stacked with the lane axis in front.

    Attributes:
        parameters: trained tensors.
        buffers: fixed and running tensors.
    """

    parameters: dict[str, Tensor]
    buffers: dict[str, Tensor]


class _Call(nn.Module):
    """Any function of a network as a forward pass, since `torch.func.functional_call` calls only `forward`.

    Args:
        network: the first argument of the function.
        function: takes the network and tensors.
    """

    def __init__(self, network: nn.Module, function: Callable[..., Any]) -> None:
        super().__init__()
        self.network = network
        self.function = function

    @cached_property
    def has_tied_tensors(self) -> bool:
        """Whether a tensor has several names. torch would look at every call, a tenth of a small network's step."""
        return any(
            len(list(named(remove_duplicate=False))) > len(list(named()))
            for named in (self.network.named_parameters, self.network.named_buffers)
        )

    def forward(self, *inputs: Tensor) -> Any:
        return self.function(self.network, *inputs)

    def with_tensors(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], *inputs: Tensor) -> Any:
        """Return the function's value for a network with these tensors.

        Args:
            parameters: name within the network -> trained tensor of one lane, without the lane axis.
            buffers: name within the network -> fixed or running tensor of one lane.
            inputs: arguments of the function after the network, (batch, ...).
        """
        tensors = {f"network.{name}": tensor for name, tensor in {**parameters, **buffers}.items()}
        return torch.func.functional_call(self, tensors, inputs, tie_weights=self.has_tied_tensors)


def _logits_and_penalty(network: nn.Module, inputs: Tensor) -> tuple[Tensor, Tensor]:
    logits = network(inputs)
    penalty = getattr(network, "penalty", None)
    return logits, logits.new_zeros(()) if penalty is None else penalty()


def _layer_steps(network: Any) -> Any:
    return network.layer_steps()


class LaneGroup:
    """Networks of one shape, trained as one vectorised network.

    Names of tensors are those within the network.

    Args:
        network: module of the lanes' shape. It lends its code; its own tensors belong to no lane.
        seeds: the seed of each lane.
        parameters: name -> trained tensor, (lanes, ...).
        buffers: name -> fixed or running tensor, (lanes, ...).
        rows: index of each lane in the original chunk; None: 0, 1, 2, ...

    Attributes:
        network, seeds, buffers: as given.
        parameters: leaves that require gradients.
        rows: index of each lane in the original chunk. It does not change when other lanes are removed.
    """

    def __init__(
        self,
        network: nn.Module,
        seeds: Sequence[int],
        parameters: dict[str, Tensor],
        buffers: dict[str, Tensor],
        rows: Sequence[int] | None = None,
    ) -> None:
        self.network = network
        self.seeds = list(seeds)
        self.rows = list(range(len(seeds)) if rows is None else rows)
        self.parameters = {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}
        self.buffers = {name: tensor.detach() for name, tensor in buffers.items()}
        self._forward = _Call(network, _logits_and_penalty)
        self._norms = [module for module in network.modules() if isinstance(module, BATCH_NORM)]

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def num_parameters(self) -> int:
        """Trained numbers of one lane."""
        return sum(tensor[0].numel() for tensor in self.parameters.values())

    def set_momentum(self, momentum: float) -> None:
        """Set the share of the newest batch in batch norm's running statistics, for the next training steps."""
        for norm in self._norms:
            norm.momentum = momentum

    @property
    def has_batch_norm(self) -> bool:
        """Whether evaluations depend on batch norm's statistics."""
        return bool(self._norms)

    def with_buffers(self, buffers: dict[str, Tensor]) -> "LaneGroup":
        """Return the group with the same parameters, in the same memory, and other buffers, (lanes, ...)."""
        group = LaneGroup(self.network, self.seeds, self.parameters, buffers, self.rows)
        group._forward = self._forward
        return group

    @torch.no_grad()
    def with_statistics_of(self, inputs: Tensor) -> "LaneGroup":
        """Return the same networks with batch norm's statistics those of `inputs` under the present weights.

        One forward pass with only the norms in training mode (nothing is dropped): every layer is normalised by the
        statistics of its own inputs, and keeps their mean and variance, the mean squared deviation over all examples
        and positions. The result in evaluation mode on `inputs` equals that pass.

        Args:
            inputs: (batch, ...), the same for all lanes.

        Returns:
            A group with the same parameters and its own buffers.

        Reference:
            Wu and Johnson, Rethinking "Batch" in BatchNorm, arXiv 2105.07576, section 3 (PreciseBN).
        """
        buffers = {name: tensor.clone() for name, tensor in self.buffers.items()}
        # The average with momentum 1 keeps 0 times the old value, which is NaN for a value that is not finite.
        for name, tensor in buffers.items():
            if name.endswith(("running_mean", "running_var")):
                tensor.fill_(float(name.endswith("running_var")))
        group = self.with_buffers(buffers)
        counts: dict[nn.Module, int] = {}

        def count(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> None:
            counts[module] = output.numel() // output.shape[1]

        self.network.eval()
        handles, momenta = [], [norm.momentum for norm in self._norms]
        for norm in self._norms:
            norm.train()
            norm.momentum = 1.0
            handles.append(norm.register_forward_hook(count))
        try:
            group._run(inputs, shared=True)
        finally:
            for norm, handle, momentum in zip(self._norms, handles, momenta, strict=True):
                handle.remove()
                norm.eval()
                norm.momentum = momentum
        names = {module: name for name, module in self.network.named_modules()}
        for module, num_values in counts.items():  # torch divides the variance by num_values - 1
            group.buffers[f"{names[module]}.running_var"] *= (num_values - 1) / num_values
        return group

    @property
    def device(self) -> torch.device:
        """Where the lanes live."""
        return next(iter(self.parameters.values())).device

    def tensors(self, lane: int) -> NetworkTensors:
        """Return the tensors of one lane: (nodes, features) where the stack is (lanes, nodes, features)."""
        return NetworkTensors(_nth(self.parameters, lane), _nth(self.buffers, lane))

    def stacked(self, lanes: Sequence[int]) -> NetworkTensors:
        """Return copies of the tensors of some lanes, (lanes, ...)."""
        group = self.keep(lanes)
        return NetworkTensors(group.parameters, group.buffers)

    def project_(self) -> None:
        """Project every lane back onto its constraints, if its network has some; call without gradients."""
        project_ = getattr(self.network, "project_", None)
        if project_ is not None:
            project_(self.parameters)

    @torch.no_grad()
    def layer_steps(self) -> Tensor | None:
        """Return the time step of every layer, (lanes, layers); None for networks whose layers have none."""
        if not hasattr(self.network, "layer_steps"):
            return None
        call = _Call(self.network, _layer_steps)
        steps: Tensor = torch.vmap(call.with_tensors)(self.parameters, self.buffers)
        return steps.detach()  # it may be a parameter itself

    def forward(self, inputs: Tensor, training: bool) -> NetworkOutput:
        """Run every lane.

        Args:
            inputs: (lanes, batch, ...) in training, where each lane has its own batch; (batch, ...) in evaluation,
                the same for all lanes.
            training: training mode (batch statistics, dropout), or evaluation mode.
        """
        if self.network.training != training:
            self.network.train(training)
        return self._run(inputs, shared=not training)

    def _run(self, inputs: Tensor, shared: bool) -> NetworkOutput:
        """Call the network for every lane in the modes that its modules have; `shared` inputs have no lane axis."""
        call = self._forward.with_tensors
        if len(self) == 1:
            # A lone lane does without vmap and its overhead, so that lanes are never slower than one by one.
            logits, penalty = call(
                _lone(self.parameters), _lone(self.buffers), inputs if shared else inputs[0]
            )
            return NetworkOutput(logits.unsqueeze(0), penalty.unsqueeze(0))
        axes = (0, 0, None if shared else 0)
        run = torch.vmap(call, in_dims=axes, randomness="different")
        return NetworkOutput(*run(self.parameters, self.buffers, inputs))

    @torch.no_grad()
    def map(self, function: Callable[..., Tensor], *others: "LaneGroup") -> "LaneGroup":
        """Return the group whose every tensor is `function` of this group's tensor and of those of the same name.

        Args:
            function: maps one tensor of each group, (lanes, ...), to a tensor (new lanes, ...). Seeds and rows are
                mapped too, as int64 tensors (lanes,).
            others: groups of networks of the same shape.
        """
        groups = (self, *others)

        def numbers(lists: Sequence[Sequence[int]]) -> list[int]:
            return function(*(torch.tensor(values, dtype=torch.long) for values in lists)).tolist()

        def tensors(named: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
            return {name: function(*(group[name] for group in named)) for name in named[0]}

        return LaneGroup(
            self.network,
            numbers([group.seeds for group in groups]),
            tensors([group.parameters for group in groups]),
            tensors([group.buffers for group in groups]),
            numbers([group.rows for group in groups]),
        )

    def keep(self, lanes: Sequence[int]) -> "LaneGroup":
        """Return the group of these lanes only."""
        return self.map(chosen_lanes(lanes))


def chosen_lanes(lanes: Sequence[int]) -> Callable[..., Tensor]:
    """Return the function that joins tensors along their lane axis and takes these lanes of the joint tensor.

    The function maps tensors (lanes, ...) with any numbers of lanes to a tensor (chosen lanes, ...).

    Args:
        lanes: indices on the axis of all lanes of all tensors, in the order of the result.
    """
    index = torch.tensor(list(lanes), dtype=torch.long)
    on_device: dict[torch.device, Tensor] = {}  # one copy for each device, not one for each tensor

    def chosen(*tensors: Tensor) -> Tensor:
        device = tensors[0].device
        if device not in on_device:
            on_device[device] = index.to(device)
        joint = tensors[0] if len(tensors) == 1 else torch.cat(tensors)
        return joint.index_select(0, on_device[device])

    return chosen


def network_tensors(network: nn.Module) -> NetworkTensors:
    """Return the tensors of one network in its shapes, such as (nodes, features), without a lane axis.

    Parameters that require gradients are `parameters`; all other tensors are `buffers`.
    """
    trained = {name: tensor.detach() for name, tensor in network.named_parameters() if tensor.requires_grad}
    fixed = {name: tensor.detach() for name, tensor in network.named_parameters() if not tensor.requires_grad}
    return NetworkTensors(trained, {**fixed, **dict(network.named_buffers())})


def make_lanes(
    models: Sequence[ModelParameters], task: Task, seeds: Sequence[int], device: torch.device
) -> LaneGroup:
    """Return freshly initialised lanes. Each lane is what its model and seed alone would be.

    Args:
        models: one for each lane. They may differ in their `per_lane` parameters only, which set nothing but
            buffers and initial values.
        task: shapes of inputs and outputs.
        seeds: one for each lane.
        device: where the lanes are stored.
    """
    networks = [build_network(model, task, seed) for model, seed in zip(models, seeds, strict=True)]
    parameters, buffers = torch.func.stack_module_state(networks)
    fixed = {name for name, parameter in networks[0].named_parameters() if not parameter.requires_grad}
    buffers |= {name: parameters.pop(name) for name in fixed}
    return LaneGroup(networks[0].to(device), seeds, _moved(parameters, device), _moved(buffers, device))


def _moved(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.detach().to(device) for name, tensor in tensors.items()}


def _nth(tensors: dict[str, Tensor], lane: int) -> dict[str, Tensor]:
    return {name: tensor[lane] for name, tensor in tensors.items()}


def _lone(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of the only lane; unlike that of an index, the gradient of `squeeze` is no copy."""
    return {name: tensor.squeeze(0) for name, tensor in tensors.items()}
