"""Parts that several models share: activations by name, normalisation of maps, frozen weights."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hornlib.models.layer_cost import LayerActivation, Normalisation
from hornlib.models.layout import channelwise, is_in_lanes

__all__ = [
    "ACTIVATIONS",
    "LAYER_ACTIVATIONS",
    "AllRelu",
    "BatchNorm",
    "Pointwise",
    "SRelu",
    "freeze_",
    "he_normal_",
    "he_normal_network_",
    "layer_activation",
    "normalisation_2d",
    "relu_one",
]


def relu_one(inputs: Tensor) -> Tensor:
    """Return max(z, 0) with the slope 1 at z = 0, where torch's relu has the slope 0; of the shape of the inputs.

    A unit whose incoming weights are all 0 has a gradient only if its activation has a slope at 0. The threshold is the
    negative of the smallest normal number of the dtype. That is one pass forward and one backward, as for relu.
    """
    return nn.functional.threshold(inputs, -torch.finfo(inputs.dtype).tiny, 0.0)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "relu_one": relu_one,
    "tanh": torch.tanh,
    "gelu": nn.functional.gelu,
    "softplus": nn.functional.softplus,
    "leaky_relu": nn.functional.leaky_relu,
    "sigmoid": torch.sigmoid,
    "silu": nn.functional.silu,
    "selu": torch.selu,
}
"""Pure functions of one number. leaky_relu has torch's slope of 0.01 below 0."""


class Pointwise(nn.Module):
    """A pure function of one number as a module, so that a list of modules may hold it.

    Args:
        function: one of `ACTIVATIONS`.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the activations, of the shape of the inputs."""
        return self.function(inputs)


class SRelu(nn.Module):
    """The S-shaped rectified linear unit: linear in three parts, with four learned numbers per unit.

    y = t_r + a_r (x - t_r) above t_r;  y = x between;  y = t_l + a_l (x - t_l) below t_l.

    The distance t_r - t_l is the absolute value of a learned number, so that the parts keep their order. At first
    t_l = 0 and a_r = 1, while a_l and the distance are uniform in +-sqrt(3 / sqrt(units)), Glorot's draw for a vector:
    the values of the network that SET was published with. The distance has no gradient as long as a_r = 1.

    Args:
        num_units: size of the last axis of the inputs.
        layer: not used.
        slope: not used.

    Reference:
        Jin et al. (2016), Deep learning with S-shaped rectified linear activation units, equation 1.
    """

    def __init__(self, num_units: int, layer: int, slope: float) -> None:
        super().__init__()
        bound = math.sqrt(3 / math.sqrt(num_units))
        self.left = nn.Parameter(torch.zeros(num_units))
        self.left_slope = nn.Parameter(torch.empty(num_units).uniform_(-bound, bound))
        self.distance = nn.Parameter(torch.empty(num_units).uniform_(-bound, bound))
        self.right_slope = nn.Parameter(torch.ones(num_units))

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the activations, (..., units) as the inputs."""
        # Sums of relus take half of the time of a choice among three lines.
        above = torch.relu(inputs - (self.left + self.distance.abs()))
        below = torch.relu(self.left - inputs)
        bent_above = torch.addcmul(inputs, self.right_slope - 1, above)
        return torch.addcmul(bent_above, 1 - self.left_slope, below)


class AllRelu(nn.Module):
    """The alternated left rectified linear unit: the slope below 0 changes its sign from layer to layer.

    y = x above 0; below 0, y = -slope x in even hidden layers and y = slope x in odd ones, counted from 1.

    Args:
        num_units: not used.
        layer: position of the hidden layer, from 0 at the input.
        slope: alpha.

    Reference:
        Curci, Mocanu, Pechenizkiy (2021), Truly sparse neural networks at scale, arXiv 2102.01732.
    """

    def __init__(self, num_units: int, layer: int, slope: float) -> None:
        super().__init__()
        self.slope = slope if layer % 2 == 0 else -slope

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the activations, of the shape of the inputs."""
        return nn.functional.leaky_relu(inputs, self.slope)


LAYER_ACTIVATIONS: dict[str, type[SRelu] | type[AllRelu]] = {"srelu": SRelu, "all_relu": AllRelu}
"""Activations with parameters of their own, or that depend on their layer."""


def layer_activation(kind: LayerActivation, num_units: int, layer: int, slope: float) -> nn.Module:
    """Return the activation of one layer: of `LAYER_ACTIVATIONS`, else of `ACTIVATIONS`.

    Args:
        kind: which one.
        num_units: of the layer.
        layer: its position, from 0 at the input.
        slope: alpha of all_relu.
    """
    if kind in LAYER_ACTIVATIONS:
        return LAYER_ACTIVATIONS[kind](num_units, layer, slope)
    return Pointwise(ACTIVATIONS[kind])


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


def he_normal_(layer: nn.Module, num_inputs: int) -> None:
    """Draw the weights of a layer from N(0, 2 / num_inputs), and set its biases to 0.

    Args:
        layer: fully connected, dense or of connections; it has no other parameters.
        num_inputs: n, its inputs, whether they are connected or not.

    Reference:
        He et al. 2015, Delving deep into rectifiers, equation 10.
    """
    for name, parameter in layer.named_parameters():
        if name == "bias":
            nn.init.zeros_(parameter)
        else:
            nn.init.normal_(parameter, 0.0, math.sqrt(2 / num_inputs))


def he_normal_network_(network: nn.Module) -> None:
    """Apply `he_normal_` to all convolutions and fully connected layers of a network."""
    for layer in network.modules():
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            he_normal_(layer, layer.weight[0].numel())


def freeze_(module: nn.Module) -> None:
    """Turn the module's own parameters into buffers, which keep their values and do not count as trained numbers."""
    for name, parameter in list(module.named_parameters(recurse=False)):
        delattr(module, name)
        module.register_buffer(name, parameter.detach())
