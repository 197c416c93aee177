"""Layer pruning: which layers are removed because their time step is small, and what remains."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor

from hornlib.models.layered import LayeredNetwork, without_layer
from hornlib.models.layered_parameters import LayeredParameters
from hornlib.structures.interface import Change, ChangedLayer, Decision, LaneView, Moment, Tensors
from hornlib.structures.layers.pruning_parameters import LayerPruningParameters

__all__ = ["LayerPruning"]


class LayerPruning:
    """Removes layers whose share of the time steps is small.

    Args:
        parameters: threshold, and how often.
    """

    def __init__(self, parameters: LayerPruningParameters) -> None:
        self.parameters = parameters

    def is_due(self, moment: Moment) -> bool:
        """Return whether `prune_every` epochs, or a multiple of them, have just ended."""
        return moment.step > 0 and moment.step % (self.parameters.prune_every * moment.steps_per_epoch) == 0

    def decide(self, view: LaneView) -> Decision:
        """Return which layers leave each lane; shares are those of the time steps in force.

        Raises:
            TypeError: the layers of these networks have no time steps.
        """
        steps = view.lanes.layer_steps()
        if steps is None:
            raise TypeError(f"{view.model.name} has no time steps")
        removals = [self._removals(view, magnitudes) for magnitudes in steps.abs().cpu()]
        lanes_by_layers: dict[tuple[int, ...], list[int]] = {}
        for lane, removed in enumerate(removals):
            if removed:
                layers = tuple(sorted(layer.position for layer in removed))
                lanes_by_layers.setdefault(layers, []).append(lane)
        changes = [
            self._change(view, lanes, layers, [removals[lane] for lane in lanes])
            for layers, lanes in lanes_by_layers.items()
        ]
        return Decision(changes, [0] * len(removals))

    def _removals(self, view: LaneView, magnitudes: Tensor) -> list[ChangedLayer]:
        """Return the layers that leave a lane with their shares, the smallest first.

        Args:
            view: the lanes.
            magnitudes: |tau| of this lane's layers, (layers with a time step,).
        """
        model = cast(LayeredParameters, view.model)
        first = len(model.layer_widths()) - len(magnitudes)
        shares = magnitudes / magnitudes.sum()
        removed: list[ChangedLayer] = []
        while len(removed) < self.parameters.layers_at_once and model.removable():
            gone = {layer.position for layer in removed}
            remaining = [layer for layer in range(len(shares) + first) if layer not in gone]
            candidates = [(float(shares[remaining[place] - first]), place) for place in model.removable()]
            share, place = min(candidates)
            if not share < self.parameters.threshold:
                break
            removed.append(ChangedLayer(remaining[place], share))
            model = model.without_layer(place)
        return removed

    def _change(
        self,
        view: LaneView,
        lanes: Sequence[int],
        layers: Sequence[int],
        removals: Sequence[Sequence[ChangedLayer]],
    ) -> Change:
        """Return the removal of some layers from some lanes.

        Args:
            view: the lanes.
            lanes: those that lose these layers.
            layers: positions, ascending.
            removals: for each of the lanes, positions and shares.
        """
        model, network = cast(LayeredParameters, view.model), cast(LayeredNetwork, view.lanes.network)
        for layer in reversed(layers):
            model = model.without_layer(layer)

        def without(tensors: Tensors) -> Tensors:
            for layer in reversed(layers):
                tensors = without_layer(tensors, network, layer)
            return tensors

        tensors = view.lanes.stacked(lanes)
        return Change(
            lanes,
            kind="pruned",
            layers=removals,
            model=model,
            parameters=without(tensors.parameters),
            buffers=without(tensors.buffers),
            inherit=without,
        )
