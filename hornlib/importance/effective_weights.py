"""Factors that make the weights of different units comparable where a norm takes out their scale."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from hornlib.importance.module_inputs import inputs_of_modules
from hornlib.importance.networks import TrainedNetwork
from hornlib.models.layers import BatchNorm

__all__ = ["NORMS_BEHIND", "norm_factors", "row_factors"]

NORMS_BEHIND = {"linears": "norms", "convolutions": "norms"}
"""List of layers -> the list of norms that stand directly behind them, in an mlp and in a cnn."""


@torch.no_grad()
def norm_factors(trained: TrainedNetwork, inputs: Tensor) -> dict[str, Tensor]:
    """Return weight -> factor of each connection's unit in what the norm behind it passes on, (connections,).

    Batch norm multiplies the sum of unit i by |gamma_i| / sigma_i in an evaluation, so that w_ij |gamma_i| / sigma_i is
    the weight of the same network with the norm folded into it. Layer norm and group norm divide by the deviation of
    each example instead; the factor has the mean of 1 / sigma over the examples. Without a norm the factor is 1.

    Args:
        trained: the network.
        inputs: of the examples, (examples, ...).
    """
    norms = {name: _norm_behind(trained.network, name) for name in trained.connections}
    present = [norm for norm in norms.values() if type(norm) in FACTORS]
    seen = inputs_of_modules(trained.network, present, inputs)
    factors = {}
    for name, norm in norms.items():
        num_units = len(trained.network.get_parameter(name))
        of_units = FACTORS[type(norm)](norm, seen[norm]) if norm in seen else torch.ones(num_units)
        factors[name] = _per_connection(trained, name, of_units)
    return factors


def row_factors(trained: TrainedNetwork) -> dict[str, Tensor]:
    """Return weight -> 1 / ||w_i|| of the unit i of each connection, (connections,); 0 where all weights are 0.

    |w_ij| / ||w_i|| does not change when the weights of a unit are multiplied by a number.

    Args:
        trained: the network.
    """
    factors = {}
    for name in trained.connections:
        lengths = trained.network.get_parameter(name).detach().flatten(1).norm(dim=1)
        factors[name] = _per_connection(trained, name, torch.where(lengths > 0, 1 / lengths, 0.0))
    return factors


def _norm_behind(network: nn.Module, name: str) -> nn.Module:
    """Return the norm that reads the sums of a weight, the identity if there is none."""
    layers, _, rest = name.partition(".")
    if layers not in NORMS_BEHIND:
        return nn.Identity()
    return network.get_submodule(f"{NORMS_BEHIND[layers]}.{rest.partition('.')[0]}")


def _per_connection(trained: TrainedNetwork, name: str, of_units: Tensor) -> Tensor:
    weight = trained.network.get_parameter(name)
    return of_units[trained.connections[name] // (weight.numel() // len(weight))]


def _batch_norm(norm: nn.Module, sums: Tensor) -> Tensor:
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d) and norm.running_var is not None
    return _gain(norm, norm.num_features) * torch.rsqrt(norm.running_var + norm.eps)


def _layer_norm(norm: nn.Module, sums: Tensor) -> Tensor:
    assert isinstance(norm, nn.LayerNorm)
    inverse = torch.rsqrt(sums.var(1, correction=0) + norm.eps).mean()
    return _gain(norm, sums.shape[1]) * inverse


def _group_norm(norm: nn.Module, sums: Tensor) -> Tensor:
    assert isinstance(norm, nn.GroupNorm)
    grouped = sums.unflatten(1, (norm.num_groups, -1)).flatten(2)  # (examples, groups, channels x positions)
    inverse = torch.rsqrt(grouped.var(2, correction=0) + norm.eps).mean(0)
    return _gain(norm, norm.num_channels) * inverse.repeat_interleave(norm.num_channels // norm.num_groups)


def _gain(norm: nn.Module, num_units: int) -> Tensor:
    weight = dict(norm.named_parameters(recurse=False)).get("weight")
    return torch.ones(num_units) if weight is None else weight.detach().abs()


FACTORS: dict[type[nn.Module], Callable[[nn.Module, Tensor], Tensor]] = {
    nn.BatchNorm1d: _batch_norm,
    BatchNorm: _batch_norm,
    nn.LayerNorm: _layer_norm,
    nn.GroupNorm: _group_norm,
}
"""Norm -> maps it and the sums that it reads, (examples, units, ...), to the factor of each unit, (units,)."""
