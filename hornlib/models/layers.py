"""Parts that several models share: activations by name, normalisation of maps, frozen weights."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hornlib.models.layer_cost import Normalisation
from hornlib.models.layout import channelwise, is_in_lanes

__all__ = ["ACTIVATIONS", "BatchNorm", "freeze_", "normalisation_2d"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "tanh": torch.tanh,
    "gelu": nn.functional.gelu,
    "softplus": nn.functional.softplus,
}


class BatchNorm(nn.BatchNorm2d):
    """torch's batch norm, whose affine map costs no further pass over the maps when lanes train side by side."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the normalised maps, (batch, channels, height, width) as the inputs."""
        mean, variance, num_batches = self.running_mean, self.running_var, self.num_batches_tracked
        assert mean is not None and variance is not None and num_batches is not None, "torch's defaults"
        if not (is_in_lanes(inputs) and is_in_lanes(mean)):
            return super().forward(inputs)
        if self.training:
            num_batches.add_(1)
        return channelwise(self._normalised, inputs, self.weight, self.bias, mean, variance)

    def _normalised(
        self, maps: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
    ) -> Tensor:
        assert self.momentum is not None, "torch's default"
        return nn.functional.batch_norm(
            maps, mean, variance, weight, bias, self.training, self.momentum, self.eps
        )


def normalisation_2d(kind: Normalisation, channels: int) -> nn.Module:
    """Return the affine normalisation of maps (batch, channels, height, width), or the identity for "none".

    Group norm has gcd(8, channels) groups, so that all groups are of equal size.

    Args:
        kind: batch, group or none.
        channels: of the maps.
    """
    if kind == "batch":
        return BatchNorm(channels)
    if kind == "group":
        return nn.GroupNorm(math.gcd(8, channels), channels)
    return nn.Identity()


def freeze_(module: nn.Module) -> None:
    """Turn the module's own parameters into buffers, which keep their values and do not count as trained numbers."""
    for name, parameter in list(module.named_parameters(recurse=False)):
        delattr(module, name)
        module.register_buffer(name, parameter.detach())
