"""What a model says whose hidden layers can be inserted and taken out while it trains; free of torch."""

from abc import abstractmethod
from typing import Self

from hornlib.parameters import ModelParameters

__all__ = ["LayeredParameters"]


class LayeredParameters(ModelParameters):
    """A model with a sequence of hidden layers, counted from 0 at the input.

    A new layer may stand behind any of them, with its width, so that the positions of insertion are the layers':
    at position p it becomes layer p + 1. The network of such a model has the class attributes and the method of
    `hornlib.structures.layers.LayeredNetwork`.
    """

    @abstractmethod
    def layer_widths(self) -> list[int]:
        """Return the nodes or channels of every hidden layer."""

    @abstractmethod
    def with_layer(self, position: int) -> Self:
        """Return the model with one more layer behind layer `position`."""

    @abstractmethod
    def without_layer(self, layer: int) -> Self:
        """Return the model without a layer that `removable` names."""

    @abstractmethod
    def removable(self) -> list[int]:
        """Return the layers that can be taken out, since they change no width and the rest remains a network."""

    @abstractmethod
    def insertion_problems(self) -> list[str]:
        """Return why no layer can be inserted that changes nothing, each one sentence; empty if one can."""

    @abstractmethod
    def removal_problems(self) -> list[str]:
        """Return why layers cannot be taken out, each one sentence; empty if they can."""
