"""Parameters of models whose hidden layers can be inserted and removed during training; free of torch."""

from abc import abstractmethod
from typing import ClassVar, Self

from hornlib.parameters import ModelParameters, Task

__all__ = ["LayeredParameters"]


class LayeredParameters(ModelParameters):
    """A model with a sequence of hidden layers, counted from 0 at the input.

    A new layer can be inserted behind any of them and has the same width. Position p is behind layer p: the new layer
    becomes layer p + 1. The network is a `hornlib.models.layered.LayeredNetwork`.
    """

    has_insertable_layers: ClassVar[bool] = True

    @abstractmethod
    def layer_widths(self) -> list[int]:
        """Return the nodes or channels of every hidden layer."""

    @abstractmethod
    def with_layer(self, position: int) -> Self:
        """Return the model with one more layer behind layer `position`."""

    @abstractmethod
    def insertion_problems(self) -> list[str]:
        """Return why every inserted layer would change the function, one sentence for each reason; empty if none."""

    def num_comparable_layers(self) -> int:
        """Return the number of layers that have such a weight as an inserted layer, whose scores are comparable."""
        return len(self.layer_widths())

    def removal_problems(self) -> list[str]:
        """Return why no layer can be removed, one sentence for each reason; empty if one can."""
        return [f"{self.name} names no layer that can be removed"]

    def map_size(self, layer: int, task: Task) -> tuple[int, int]:
        """Return height and width of a convolutional layer's maps, pixels; (1, 1) for dense layers.

        Args:
            layer: number of the layer, from 0.
            task: shape of the input.
        """
        return (1, 1)

    def without_layer(self, layer: int) -> Self:
        """Return the model without a layer that `removable` names.

        Raises:
            ValueError: it names no such layer.
        """
        raise ValueError(f"{self.name} names no layer that can be removed")

    def removable(self) -> list[int]:
        """Return the layers that can be removed: they change no width, and a network remains."""
        return []
