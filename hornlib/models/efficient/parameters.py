"""Parameters of four efficient networks, adapted to small images; free of torch until they are counted."""

from typing import ClassVar, Literal, Self

from pydantic import Field

from hornlib.models.efficient.counts import counted_cost
from hornlib.models.layer_cost import ReadoutNorm
from hornlib.parameters import Cost, ModelParameters, Task

__all__ = [
    "EfficientNetParameters",
    "EfficientParameters",
    "MobileNetV3Parameters",
    "ShuffleNetV2Parameters",
    "SqueezeNetParameters",
]


class EfficientParameters(ModelParameters):
    """A network designed for phones and ImageNet, narrower than published and adapted to small images.

    Its blocks are torchvision's. Channels are `width_multiplier` times the published ones, rounded to whole channels
    (not to multiples of 8, so that `match` comes close). Only the last of the published halvings of the image remain,
    as many as leave about 4 pixels a side: three at 28 or 32 pixels, where the stem has full resolution. There is no
    stochastic depth. The counts have no closed form: the network is built and counted once, and the result is stored in
    the user's cache folder. `weights` is therefore empty too: no structure prunes these networks.
    """

    presentations: ClassVar[tuple[str, ...]] = ("image",)
    published_halvings: ClassVar[int]

    width_multiplier: float = Field(gt=0)
    """Factor on the published channels."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Probability of dropping a feature before the last layer, in training."""
    readout_norm: ReadoutNorm = "batch"
    """Normalisation of the features before the last layer."""

    def num_halvings(self, task: Task) -> int:
        """Return how often an image is halved: at most down to 4 pixels, and not more often than published."""
        smallest, halvings = min(task.input_shape[1:]), 0
        while (smallest := (smallest + 1) // 2) >= 4 and halvings < self.published_halvings:
            halvings += 1
        return halvings

    def cost(self, task: Task) -> Cost:
        """Return the counts of the built network."""
        return counted_cost(self, task)

    def width(self) -> int:
        """The width multiplier in per cent."""
        return round(100 * self.width_multiplier)

    def with_width(self, width: int) -> Self:
        """Return the same network at `width` per cent of the published channels."""
        return self.model_copy(update={"width_multiplier": width / 100})


class MobileNetV3Parameters(EfficientParameters):
    """MobileNetV3-Small (Howard et al. 2019, Searching for MobileNetV3, table 2)."""

    network: ClassVar[str] = "hornlib.models.efficient.network:MobileNetV3"
    published_halvings: ClassVar[int] = 5

    name: Literal["mobilenet_v3"] = "mobilenet_v3"
    width_multiplier: float = Field(default=0.25, gt=0)
    """Factor on the published channels."""


class ShuffleNetV2Parameters(EfficientParameters):
    """ShuffleNetV2 0.5x (Ma et al. 2018, ShuffleNet V2, table 5)."""

    network: ClassVar[str] = "hornlib.models.efficient.network:ShuffleNetV2"
    published_halvings: ClassVar[int] = 5

    name: Literal["shufflenet_v2"] = "shufflenet_v2"
    width_multiplier: float = Field(default=0.5, gt=0)
    """Factor on the published channels."""


class SqueezeNetParameters(EfficientParameters):
    """SqueezeNet 1.1 (Iandola et al. 2016, SqueezeNet, and the authors' code): no normalisation."""

    network: ClassVar[str] = "hornlib.models.efficient.network:SqueezeNet"
    published_halvings: ClassVar[int] = 4

    name: Literal["squeezenet"] = "squeezenet"
    width_multiplier: float = Field(default=0.35, gt=0)
    """Factor on the published channels."""


class EfficientNetParameters(EfficientParameters):
    """EfficientNet-B0 (Tan and Le 2019, EfficientNet, table 1)."""

    network: ClassVar[str] = "hornlib.models.efficient.network:EfficientNet"
    published_halvings: ClassVar[int] = 5

    name: Literal["efficientnet"] = "efficientnet"
    width_multiplier: float = Field(default=0.15, gt=0)
    """Factor on the published channels."""
