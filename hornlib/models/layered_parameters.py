"""What a model says whose hidden layers can be inserted and taken out while it trains; free of torch."""

from abc import abstractmethod
from typing import Self

from hornlib.parameters import ModelParameters, Task

__all__ = ["LayeredParameters"]


class LayeredParameters(ModelParameters):
    """A model with a sequence of hidden layers, counted from 0 at the input.

    A new layer may stand behind any of them, with its width, so that the positions of insertion are the layers':
    at position p it becomes layer p + 1. The network is a `hornlib.models.layered.LayeredNetwork`.
    """

    @abstractmethod
    def layer_widths(self) -> list[int]:
        """Return the nodes or channels of every hidden layer."""

    @abstractmethod
    def with_layer(self, position: int) -> Self:
        """Return the model with one more layer behind layer `position`."""

    @abstractmethod
    def insertion_problems(self) -> list[str]:
        """Return why no layer can be inserted that changes nothing, each one sentence; empty if one can."""

    def map_size(self, layer: int, task: Task) -> tuple[int, int]:
        """Return height and width of a convolutional layer's maps, pixels; (1, 1) where layers are dense."""
        return (1, 1)

    def without_layer(self, layer: int) -> Self:
        """Return the model without a layer that `removable` names."""
        raise NotImplementedError(f"{self.name} names no layer that can be taken out")

    def removable(self) -> list[int]:
        """Return the layers that can be taken out: they change no width, and what remains is a network."""
        return []
