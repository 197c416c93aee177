"""Weights of a layer as one vector for each unit: what computes it, and what reads it."""

from collections.abc import Sequence

from torch import Tensor

from hornlib.parameters import UnitAxis

__all__ = ["incoming", "mean_norms", "outgoing", "tensor_of", "unit_vectors"]


def incoming(axes: Sequence[UnitAxis]) -> UnitAxis:
    """Return the axis of the weight that computes a layer's units."""
    (axis,) = (axis for axis in axes if axis.side == "incoming")
    return axis


def outgoing(axes: Sequence[UnitAxis]) -> UnitAxis:
    """Return the axis of the weight that reads a layer's units."""
    (axis,) = (axis for axis in axes if axis.side == "outgoing")
    return axis


def unit_vectors(tensor: Tensor, axis: UnitAxis) -> Tensor:
    """Return the entries of every unit, (lanes, units, entries).

    Args:
        tensor: (lanes, ...).
        axis: where the units stand in it.
    """
    return tensor.unflatten(axis.axis + 1, (-1, axis.block)).movedim(axis.axis + 1, 1).flatten(2)


def tensor_of(vectors: Tensor, axis: UnitAxis, like: Tensor) -> Tensor:
    """Return the tensor whose units have these entries: the inverse of `unit_vectors`.

    Args:
        vectors: (lanes, units, entries).
        axis: where the units stand in the tensor.
        like: a tensor (lanes, ...) of the same shape but for the number of units, and of lanes.
    """
    sizes = [*like.shape[1 : axis.axis + 1], axis.block, *like.shape[axis.axis + 2 :]]
    return vectors.unflatten(2, sizes).movedim(1, axis.axis + 1).flatten(axis.axis + 1, axis.axis + 2)


def mean_norms(tensor: Tensor, axis: UnitAxis) -> Tensor:
    """Return the mean Euclidean norm of the units' vectors, (lanes,).

    Args:
        tensor: (lanes, ...).
        axis: where the units stand in it.
    """
    return unit_vectors(tensor, axis).norm(dim=2).mean(1)
