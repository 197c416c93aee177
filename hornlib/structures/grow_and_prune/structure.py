"""Growth and pruning of units in one training: each at its own times, or as an exchange."""

from collections.abc import Iterator

from torch import Tensor

from hornlib.models.build import build_network
from hornlib.models.lanes import LaneGroup, chosen_lanes
from hornlib.structures.grow_and_prune.parameters import GrowAndPruneParameters
from hornlib.structures.growth.look import GrowthLook
from hornlib.structures.growth.structure import Growth, grow
from hornlib.structures.interface import Change, Decision, LaneView, Moment, Tensors
from hornlib.structures.unit_pruning.structure import UnitPruning

__all__ = ["GrowAndPrune", "view_after"]


class GrowAndPrune:
    """Adds and removes units.

    Args:
        parameters: of both parts, and their order.
    """

    def __init__(self, parameters: GrowAndPruneParameters) -> None:
        self.parameters = parameters
        self.growth, self.pruning = Growth(parameters.growth()), UnitPruning(parameters.pruning())

    def is_due(self, moment: Moment) -> bool:
        """Return whether units are added or removed now."""
        additions, removals = self.parameters.steps(moment.total_steps)
        return moment.step in additions or moment.step in removals

    def decide(self, view: LaneView) -> Decision:
        """Return the growth, the pruning, or the exchange of this step."""
        if self.parameters.combination == "exchange":
            return self._exchange(view)
        additions, removals = self.parameters.steps(view.total_steps)
        if view.step in removals:
            return self.pruning.decide(view)
        growths = [[step for step in steps if step in additions] for steps in view.events]
        return self.growth.decide(view._replace(events=growths))

    def _exchange(self, view: LaneView) -> Decision:
        """Return the removal of the lowest units, with as many new ones behind the others; the model stays."""
        removal = self.pruning.decide(view)
        flops, changes = list(removal.flops), []
        for change in removal.changes:
            narrowed = view_after(view, change)
            look = GrowthLook(narrowed, self.growth.parameters)
            numbers = {layer.position: int(layer.number) for layer in change.layers[0]}
            changes.append(_joined(change, grow(look, range(len(change.lanes)), numbers)))
            for lane, number in zip(change.lanes, look.flops, strict=True):
                flops[lane] += number
        return Decision(changes, flops)


def _joined(first: Change, second: Change) -> Change:
    """Return a removal and a growth of the same lanes as one change."""

    def inherit(tensors: Tensors) -> Tensors:
        return second.inherit(first.inherit(tensors))

    return second._replace(lanes=first.lanes, kind="exchanged", inherit=inherit)


def view_after(view: LaneView, change: Change) -> LaneView:
    """Return what a structure would see of the lanes of a change right after it.

    Args:
        view: before the change.
        change: of some lanes, to another model.
    """
    chosen = chosen_lanes(change.lanes)
    seeds, rows = (
        [numbers[lane] for lane in change.lanes] for numbers in (view.lanes.seeds, view.lanes.rows)
    )
    network = build_network(change.model, view.task, seed=0).to(view.lanes.device)

    def batches(number: int | None) -> Iterator[tuple[Tensor, Tensor]]:
        for inputs, targets in view.batches(number):
            yield chosen(inputs), chosen(targets)

    return view._replace(
        lanes=LaneGroup(network, seeds, change.parameters, change.buffers, rows),
        model=change.model,
        events=[view.events[lane] for lane in change.lanes],
        batches=batches,
        validation_loss=chosen(view.validation_loss),
        memory=dict(change.memory),
        moments={
            name: change.inherit({key: chosen(tensor) for key, tensor in tensors.items()})
            for name, tensors in view.moments.items()
        },
    )
