"""Four efficient networks made of torchvision's blocks, narrower than published and adapted to small images."""

import math
from abc import ABC, abstractmethod
from functools import partial
from typing import cast

import torch
from torch import Tensor, nn
from torchvision.models.efficientnet import EfficientNet as TorchvisionEfficientNet
from torchvision.models.efficientnet import MBConvConfig
from torchvision.models.mobilenetv3 import InvertedResidualConfig
from torchvision.models.mobilenetv3 import MobileNetV3 as TorchvisionMobileNetV3
from torchvision.models.shufflenetv2 import ShuffleNetV2 as TorchvisionShuffleNetV2
from torchvision.models.squeezenet import Fire

from hornlib.models.dropout import CounterDropout
from hornlib.models.efficient.parameters import EfficientParameters
from hornlib.models.layers import BatchNorm
from hornlib.models.readout import Readout
from hornlib.parameters import Task

__all__ = ["EfficientNet", "MobileNetV3", "ShuffleNetV2", "SqueezeNet"]

# kernel, expanded channels, output channels, squeeze and excitation, activation, stride
_MOBILENET_V3 = [
    (3, 16, 16, True, "RE", 2),
    (3, 72, 24, False, "RE", 2),
    (3, 88, 24, False, "RE", 1),
    (5, 96, 40, True, "HS", 2),
    (5, 240, 40, True, "HS", 1),
    (5, 240, 40, True, "HS", 1),
    (5, 120, 48, True, "HS", 1),
    (5, 144, 48, True, "HS", 1),
    (5, 288, 96, True, "HS", 2),
    (5, 576, 96, True, "HS", 1),
    (5, 576, 96, True, "HS", 1),
]
_MOBILENET_V3_STEM, _MOBILENET_V3_HEAD = 16, 1024

# expansion, kernel, stride, output channels, layers
_EFFICIENTNET = [
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
]
_EFFICIENTNET_STEM, _EFFICIENTNET_HEAD = 32, 1280

_SHUFFLENET_V2 = (24, 48, 96, 192, 1024)

# squeezed channels and half of the expanded ones, in three groups; the image is halved before each group
_SQUEEZENET = [[(16, 64), (16, 64)], [(32, 128), (32, 128)], [(48, 192), (48, 192), (64, 256), (64, 256)]]
_SQUEEZENET_STEM = 64


class _Efficient(nn.Module, ABC):
    """Features over the image, their global mean, a hidden layer where the publication has one, dropout, read-out.

    Args:
        parameters: width, dropout, read-out.
        task: image shape (channels, height, width) and number of outputs.
        generator: not used, since nothing but the weights is drawn.
    """

    def __init__(self, parameters: EfficientParameters, task: Task, generator: torch.Generator) -> None:
        super().__init__()
        self.features, self.hidden, num_features = self.parts(
            task.input_shape[0], partial(_scaled, factor=parameters.width_multiplier)
        )
        _keep_last_halvings(self.features, parameters.num_halvings(task))
        _replace_batch_norm(self.features)
        self.dropout = CounterDropout(parameters.dropout, layer=0)
        self.readout = Readout(num_features, task.num_outputs, parameters.readout_norm)

    @staticmethod
    @abstractmethod
    def parts(num_inputs: int, scaled: partial[int]) -> tuple[nn.Sequential, nn.Module, int]:
        """Return features, hidden layer and the number of features for the read-out.

        Args:
            num_inputs: channels of the image.
            scaled: maps a published number of channels to that of this network.

        Returns:
            A module from images (batch, num_inputs, height, width) to smaller maps (batch, channels, ...), a module
            from (batch, channels) to (batch, num_features), and num_features.
        """

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (batch, num_outputs) of images (batch, channels, height, width)."""
        features = self.features(inputs).mean((2, 3))
        return self.readout(self.dropout(self.hidden(features)))


class MobileNetV3(_Efficient):
    """MobileNetV3-Small: inverted residuals with squeeze and excitation, hard swish."""

    @staticmethod
    def parts(num_inputs: int, scaled: partial[int]) -> tuple[nn.Sequential, nn.Module, int]:
        """Return features, hidden layer and number of features; see `_Efficient.parts`."""
        configs, before = [], _MOBILENET_V3_STEM
        for kernel, expanded, after, squeezes, activation, stride in _MOBILENET_V3:
            block = (before, kernel, expanded, after, squeezes, activation, stride)
            config = InvertedResidualConfig(*block, dilation=1, width_mult=1.0)
            # Set again, since the constructor rounds to multiples of 8.
            config.input_channels, config.expanded_channels = scaled(before), scaled(expanded)
            config.out_channels = scaled(after)
            configs.append(config)
            before = after
        network = TorchvisionMobileNetV3(configs, scaled(_MOBILENET_V3_HEAD), num_classes=1)
        _set_input_channels(network.features, num_inputs)
        linear, activation = network.classifier[:2]
        return network.features, nn.Sequential(linear, activation), linear.out_features


class ShuffleNetV2(_Efficient):
    """ShuffleNetV2: half of the channels are passed on, the others are convolved, then all are shuffled."""

    @staticmethod
    def parts(num_inputs: int, scaled: partial[int]) -> tuple[nn.Sequential, nn.Module, int]:
        """Return features, hidden layer and number of features; see `_Efficient.parts`."""
        stem, *stages, last = _SHUFFLENET_V2
        even = [2 * scaled(channels // 2) for channels in stages]
        network = TorchvisionShuffleNetV2([4, 8, 4], [scaled(stem), *even, scaled(last)], num_classes=1)
        features = nn.Sequential(
            network.conv1, network.maxpool, network.stage2, network.stage3, network.stage4, network.conv5
        )
        _set_input_channels(features, num_inputs)
        return features, nn.Identity(), scaled(last)


class SqueezeNet(_Efficient):
    """SqueezeNet 1.1: 1x1 convolutions squeeze, 1x1 and 3x3 convolutions expand."""

    @staticmethod
    def parts(num_inputs: int, scaled: partial[int]) -> tuple[nn.Sequential, nn.Module, int]:
        """Return features, hidden layer and number of features; see `_Efficient.parts`."""
        before = scaled(_SQUEEZENET_STEM)
        layers = [nn.Conv2d(num_inputs, before, 3, stride=2, padding=1), nn.ReLU(inplace=True)]
        for group in _SQUEEZENET:
            layers.append(nn.MaxPool2d(3, stride=2, ceil_mode=True))
            for channels in group:
                squeezed, expanded = map(scaled, channels)
                layers.append(Fire(before, squeezed, expanded, expanded))
                before = 2 * expanded
        features = nn.Sequential(*layers)
        features.apply(_initialise_for_relu)
        return features, nn.Identity(), before


class EfficientNet(_Efficient):
    """EfficientNet-B0: inverted residuals with squeeze and excitation, swish."""

    @staticmethod
    def parts(num_inputs: int, scaled: partial[int]) -> tuple[nn.Sequential, nn.Module, int]:
        """Return features, hidden layer and number of features; see `_Efficient.parts`."""
        configs, before = [], _EFFICIENTNET_STEM
        for expansion, kernel, stride, after, layers in _EFFICIENTNET:
            config = MBConvConfig(expansion, kernel, stride, before, after, layers)
            config.input_channels, config.out_channels = scaled(before), scaled(after)
            configs.append(config)
            before = after
        last = scaled(_EFFICIENTNET_HEAD)
        network = TorchvisionEfficientNet(
            configs, 0.0, stochastic_depth_prob=0.0, num_classes=1, last_channel=last
        )
        _set_input_channels(network.features, num_inputs)
        return network.features, nn.Identity(), last


def _initialise_for_relu(module: nn.Module) -> None:
    """Draw weights that keep the signal's size, since there is no normalisation; as torchvision does."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_uniform_(module.weight)
        nn.init.zeros_(cast(Tensor, module.bias))


def _scaled(channels: int, factor: float) -> int:
    return max(1, math.floor(factor * channels + 0.5))


def _set_input_channels(features: nn.Sequential, num_inputs: int) -> None:
    """Replace the stem's convolution by one for another number of input channels; a norm follows it."""
    stem = cast(nn.Sequential, features[0])
    num_outputs = cast(nn.Conv2d, stem[0]).out_channels
    stem[0] = nn.Conv2d(num_inputs, num_outputs, 3, stride=2, padding=1, bias=False)


def _keep_last_halvings(features: nn.Sequential, num_halvings: int) -> None:
    """Let only the last stages halve the image: strides of earlier ones become 1, earlier pools are removed."""
    halving = [name for name, stage in features.named_children() if _strided(stage)]
    for name in halving[: len(halving) - num_halvings]:
        if isinstance(getattr(features, name), nn.MaxPool2d):
            setattr(features, name, nn.Identity())
        else:
            for layer in _strided(getattr(features, name)):
                layer.stride = (1, 1)


def _replace_batch_norm(module: nn.Module) -> None:
    """Put the batch norm that is cheaper in lanes in the place of torch's; both start with weights 1 and biases 0."""
    for name, child in module.named_children():
        if type(child) is nn.BatchNorm2d:
            setattr(module, name, BatchNorm(child.num_features, eps=child.eps, momentum=child.momentum))
        else:
            _replace_batch_norm(child)


def _strided(stage: nn.Module) -> list[nn.Conv2d | nn.MaxPool2d]:
    return [
        module
        for module in stage.modules()
        if isinstance(module, (nn.Conv2d, nn.MaxPool2d)) and module.stride in (2, (2, 2))
    ]
