"""What a rule of growth returns: first weights of new units."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor

from hornlib.structures.growth.look import GrowthLook
from hornlib.structures.interface import Tensors

__all__ = ["NewUnits", "Rule"]


class NewUnits(NamedTuple):
    """New units of one layer, the same number in all lanes that grow.

    Attributes:
        tensors: name -> the entries of the new units, (lanes, ...), as `hornlib.models.units.with_new_units` takes
            them: incoming and outgoing weights. Absent tensors get the values of a fresh network, biases 0.
        scores: the number that is stored with the event, (lanes,): by singular values the largest one; NaN where no
            number decides.
        changed: name -> all entries of the existing units, (lanes, ...), where the rule changes them, as Net2Net
            divides the outgoing weights of a unit among its copies.
    """

    tensors: Tensors
    scores: Tensor
    changed: Mapping[str, Tensor] = MappingProxyType({})


Rule = Callable[[GrowthLook, Sequence[int], Mapping[int, int]], dict[int, NewUnits]]
"""(look, indices of the lanes that grow, layer -> number of its new units) -> the new units of every layer."""
