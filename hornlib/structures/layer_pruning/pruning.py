"""Pruning by the time step: which layers leave, and what remains."""

from typing import cast

from torch import Tensor

from hornlib.models.layered import LayeredNetwork, without_layer
from hornlib.models.layered_parameters import LayeredParameters
from hornlib.structures.interface import Change, Found, Tensors, View
from hornlib.structures.layer_pruning.parameters import LayerPruningParameters

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
        changes = [self._change(view, lane, own) for lane, own in enumerate(steps.abs().cpu())]
        return Found(changes, [0] * len(changes))

    def _change(self, view: View, lane: int, magnitudes: Tensor) -> Change | None:
        model = cast(LayeredParameters, view.model)
        network = cast(LayeredNetwork, view.lanes.network)
        first = len(model.layer_widths()) - len(magnitudes)
        shares = magnitudes / magnitudes.sum()
        gone: list[tuple[int, float]] = []
        tensors = view.lanes.tensors(lane)
        while len(gone) < self.parameters.layers_at_once and model.removable():
            left = [layer for layer in range(len(shares) + first) if layer not in dict(gone)]
            candidates = [(float(shares[left[place] - first]), place) for place in model.removable()]
            share, place = min(candidates)
            if not share < self.parameters.threshold:
                break
            gone.append((left[place], share))
            model = model.without_layer(place)
        if not gone:
            return None

        def without(named: Tensors) -> Tensors:
            for layer in sorted(dict(gone), reverse=True):
                named = without_layer(named, network, layer)
            return named

        return Change("pruned", gone, model, without(tensors.parameters), without(tensors.buffers), without)
