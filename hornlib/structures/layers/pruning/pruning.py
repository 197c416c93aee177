"""Pruning by the time step: which layers leave, and what remains."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor

from hornlib.models.layered import LayeredNetwork, without_layer
from hornlib.models.layered_parameters import LayeredParameters
from hornlib.structures.interface import Change, Found, Tensors, View
from hornlib.structures.layers.pruning.parameters import LayerPruningParameters

__all__ = ["LayerPruning"]


class LayerPruning:
    """Takes out layers with a small share of the time steps.

    Args:
        parameters: threshold, and how often.
    """

    def __init__(self, parameters: LayerPruningParameters) -> None:
        self.parameters = parameters

    def is_due(self, step: int, steps_per_epoch: int, evaluated: bool) -> bool:
        """Return whether so many epochs have ended."""
        return step > 0 and step % (self.parameters.prune_every * steps_per_epoch) == 0

    def look(self, view: View) -> Found:
        """Return what is left of each lane; shares are those of the steps in force."""
        steps = view.lanes.layer_steps()
        if steps is None:
            raise TypeError(f"{view.model.name} has no time steps")
        gone = [self._gone(view, own) for own in steps.abs().cpu()]
        alike: dict[tuple[int, ...], list[int]] = {}
        for lane, own in enumerate(gone):
            if own:
                alike.setdefault(tuple(sorted(layer for layer, _ in own)), []).append(lane)
        changes = [
            self._change(view, lanes, layers, [gone[lane] for lane in lanes])
            for layers, lanes in alike.items()
        ]
        return Found(changes, [0] * len(gone))

    def _gone(self, view: View, magnitudes: Tensor) -> list[tuple[int, float]]:
        """Return the layers that leave a lane, with their shares, the smallest first."""
        model = cast(LayeredParameters, view.model)
        first = len(model.layer_widths()) - len(magnitudes)
        shares = magnitudes / magnitudes.sum()
        gone: list[tuple[int, float]] = []
        while len(gone) < self.parameters.layers_at_once and model.removable():
            left = [layer for layer in range(len(shares) + first) if layer not in dict(gone)]
            candidates = [(float(shares[left[place] - first]), place) for place in model.removable()]
            share, place = min(candidates)
            if not share < self.parameters.threshold:
                break
            gone.append((left[place], share))
            model = model.without_layer(place)
        return gone

    def _change(
        self,
        view: View,
        lanes: Sequence[int],
        layers: Sequence[int],
        gone: Sequence[Sequence[tuple[int, float]]],
    ) -> Change:
        model, network = cast(LayeredParameters, view.model), cast(LayeredNetwork, view.lanes.network)
        for layer in reversed(layers):
            model = model.without_layer(layer)

        def without(named: Tensors) -> Tensors:
            for layer in reversed(layers):
                named = without_layer(named, network, layer)
            return named

        tensors = view.lanes.stacked(lanes)
        return Change(
            lanes, "pruned", gone, model, without(tensors.parameters), without(tensors.buffers), without
        )
