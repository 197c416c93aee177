"""What a rule of growth looks at: the lanes, batches that no training step takes, and the work that looking takes."""

from collections.abc import Sequence
from functools import cached_property

from torch import Tensor

from hornlib.models.units import UnitAxis
from hornlib.structures.growth.parameters import GrowthParameters
from hornlib.structures.interface import LaneView

__all__ = ["GrowthLook"]


class GrowthLook:
    """One look at all lanes of a view. What was computed once is there for the place and for the rule.

    Args:
        view: the lanes.
        parameters: of the structure.

    Attributes:
        view, parameters: as given.
        flops: for each lane of the view, the work up to now.
    """

    def __init__(self, view: LaneView, parameters: GrowthParameters) -> None:
        self.view, self.parameters = view, parameters
        self.flops = [0] * len(view.lanes)

    def axes(self, layer: int) -> list[UnitAxis]:
        """Return the axes of a layer's units."""
        return self.view.model.unit_axes(layer, self.view.task)

    @cached_property
    def matrices(self) -> Sequence[Tensor]:
        """For each layer of `units()`, G, (lanes, outgoing numbers of a unit, incoming numbers of a unit).

        Row i is the mean gradient of the incoming weights of a virtual unit whose outgoing weights are unit vector i.
        """
        raise NotImplementedError
