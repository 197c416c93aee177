"""Lanes: several seeds of one network, their parameters stacked along a leading axis and run as one."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from hornlib.models.build import build_network
from hornlib.parameters import ModelParameters, Task

__all__ = [
    "PREFIX",
    "LaneGroup",
    "NetworkTensors",
    "Output",
    "make_lanes",
    "make_template",
    "template_tensors",
]


BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


PREFIX = "network."
"""Of a network's names within a group of lanes."""


class Output(NamedTuple):
    """What a network says: outputs (lanes, batch, num_outputs), and its own penalty, (lanes,)."""

    logits: Tensor
    penalty: Tensor


class _WithPenalty(nn.Module):
    """A network whose forward pass also returns its penalty, since functional_call knows only `forward`."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        logits = self.network(inputs)
        penalty = getattr(self.network, "penalty", None)
        return logits, logits.new_zeros(()) if penalty is None else penalty()


class NetworkTensors(NamedTuple):
    """A network's own tensors by their names within it: those that are trained, and the others."""

    parameters: dict[str, Tensor]
    buffers: dict[str, Tensor]


class _LayerSteps(nn.Module):
    """The time steps of a network's layers as a forward pass."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self) -> Any:
        return cast(Any, self.network).layer_steps()


class LaneGroup:
    """Networks of one shape, trained as one vectorised network.

    Attributes:
        seeds: the seed of each lane.
        rows: of what was made, which is each lane: its place, whoever has been taken out since.
        parameters: name -> trained tensor (lanes, ...), a leaf that requires gradients.
        buffers: name -> fixed or running tensor (lanes, ...).
    """

    def __init__(
        self,
        template: nn.Module,
        seeds: Sequence[int],
        parameters: dict[str, Tensor],
        buffers: dict[str, Tensor],
        rows: Sequence[int] | None = None,
    ) -> None:
        self._template = template
        self.seeds = list(seeds)
        self.rows = list(range(len(seeds)) if rows is None else rows)
        self.parameters = {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}
        self.buffers = {name: tensor.detach() for name, tensor in buffers.items()}
        self._norms = [module for module in template.modules() if isinstance(module, BATCH_NORM)]

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
        """Return the group with the same parameters, in the same memory, and other buffers."""
        return LaneGroup(self._template, self.seeds, self.parameters, buffers, self.rows)

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
        for (
            name,
            tensor,
        ) in buffers.items():  # a value that is not finite would survive the average: 0 inf is NaN
            if name.endswith(("running_mean", "running_var")):
                tensor.fill_(float(name.endswith("running_var")))
        group = self.with_buffers(buffers)
        numbers: dict[nn.Module, int] = {}

        def count(module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            numbers[module] = output.numel() // output.shape[1]

        self._template.eval()
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
        names = {module: name for name, module in self._template.named_modules()}
        for module, number in numbers.items():  # torch keeps the variance over number - 1
            group.buffers[f"{names[module]}.running_var"] *= (number - 1) / number
        return group

    @property
    def device(self) -> torch.device:
        """Where the lanes live."""
        return next(iter(self.parameters.values())).device

    @property
    def network(self) -> nn.Module:
        """The network of one lane; its own tensors are not those of any lane."""
        return self._template.network  # type: ignore[return-value]

    def tensors(self, lane: int) -> NetworkTensors:
        """Return the tensors of one lane, by their names within the network."""
        return NetworkTensors(*map(_unprefixed, (_nth(self.parameters, lane), _nth(self.buffers, lane))))

    def stacked(self, lanes: Sequence[int]) -> NetworkTensors:
        """Return copies of the tensors of some lanes, (lanes, ...), by their names within the network."""
        kept = self.keep(lanes)
        return NetworkTensors(_unprefixed(kept.parameters), _unprefixed(kept.buffers))

    def project_(self) -> None:
        """Project every lane back onto its constraints, if its network has some; call without gradients."""
        project_ = getattr(self.network, "project_", None)
        if project_ is not None:
            project_(_unprefixed(self.parameters))

    @torch.no_grad()
    def layer_steps(self) -> Tensor | None:
        """Return the time step of every layer, (lanes, layers); None for networks whose layers have none."""
        if not hasattr(self.network, "layer_steps"):
            return None
        module = _LayerSteps(self.network)

        def call(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
            return torch.func.functional_call(module, {**parameters, **buffers}, ())

        steps: Tensor = torch.vmap(call)(self.parameters, self.buffers)
        return steps.detach()  # it may be a parameter itself

    def forward(self, inputs: Tensor, training: bool) -> Output:
        """Run every lane.

        Args:
            inputs: (lanes, batch, ...) in training, each lane its own batch; (batch, ...) in evaluation, the
                same for all.
            training: training mode (batch statistics, dropout), or evaluation mode.
        """
        self._template.train(training)
        return self._run(inputs, shared=not training)

    def _run(self, inputs: Tensor, shared: bool) -> Output:
        """Call the template, whose modules' modes are set, for every lane; `shared` inputs have no lanes' axis."""
        if len(self) == 1:
            # a lone lane is spared vmap's overhead, so that lanes are never slower than one by one
            alone = self._call(
                _nth(self.parameters, 0), _nth(self.buffers, 0), inputs if shared else inputs[0]
            )
            return Output(alone[0].unsqueeze(0), alone[1].unsqueeze(0))
        axes = (0, 0, None if shared else 0)
        run = torch.vmap(self._call, in_dims=axes, randomness="different")
        return Output(*run(self.parameters, self.buffers, inputs))

    def _call(
        self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Tensor
    ) -> tuple[Tensor, Tensor]:
        return torch.func.functional_call(self._template, {**parameters, **buffers}, (inputs,))

    def keep(self, lanes: Sequence[int]) -> "LaneGroup":
        """Return the group of these lanes only."""
        index = torch.tensor(list(lanes), dtype=torch.long, device=self.device)
        return LaneGroup(
            self._template,
            [self.seeds[lane] for lane in lanes],
            {name: tensor.detach().index_select(0, index) for name, tensor in self.parameters.items()},
            {name: tensor.index_select(0, index) for name, tensor in self.buffers.items()},
            [self.rows[lane] for lane in lanes],
        )


def make_template(model: ModelParameters, task: Task, device: torch.device) -> nn.Module:
    """Return the module that a group of lanes calls with its own tensors."""
    return _WithPenalty(build_network(model, task, 0)).to(device)


def template_tensors(template: nn.Module) -> NetworkTensors:
    """Return the tensors that a template was built with."""
    trained = {name: tensor.detach() for name, tensor in template.named_parameters() if tensor.requires_grad}
    fixed = {
        name: tensor.detach() for name, tensor in template.named_parameters() if not tensor.requires_grad
    }
    return NetworkTensors(_unprefixed(trained), _unprefixed({**fixed, **dict(template.named_buffers())}))


def make_lanes(
    models: Sequence[ModelParameters], task: Task, seeds: Sequence[int], device: torch.device
) -> LaneGroup:
    """Return freshly initialised lanes; each is what its model and seed alone would be, whoever its neighbours are.

    Args:
        models: one a lane, alike but for their `per_lane` parameters, which only buffers and initial values hold.
        task: shapes of inputs and outputs.
        seeds: one a lane.
        device: where the lanes live.
    """
    networks = [
        _WithPenalty(build_network(model, task, seed)) for model, seed in zip(models, seeds, strict=True)
    ]
    parameters, buffers = torch.func.stack_module_state(networks)
    fixed = {name for name, parameter in networks[0].named_parameters() if not parameter.requires_grad}
    buffers |= {name: parameters.pop(name) for name in fixed}
    return LaneGroup(networks[0].to(device), seeds, _moved(parameters, device), _moved(buffers, device))


def _moved(tensors: dict[str, Tensor], device: torch.device) -> dict[str, Tensor]:
    return {name: tensor.detach().to(device) for name, tensor in tensors.items()}


def _nth(tensors: dict[str, Tensor], lane: int) -> dict[str, Tensor]:
    return {name: tensor[lane] for name, tensor in tensors.items()}


def _unprefixed(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
