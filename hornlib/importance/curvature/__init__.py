"""Diagonals of the Hessian of the mean loss: one algorithm a file, all of one signature.

`curvatures(network, split, loss, places)` returns weight -> d^2 L / d w_k^2, (connections,) float64.
"""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from hornlib.data.loading import Split
from hornlib.importance.curvature.by_differences import by_differences
from hornlib.importance.curvature.by_units import by_units

__all__ = ["CURVATURES", "Curvature", "curvature_of"]

Curvature = Callable[[nn.Module, Split, str, Mapping[str, Tensor]], dict[str, Tensor]]

CURVATURES: dict[str, Curvature] = {"mlp": by_units}
"""Model -> an algorithm that is faster for it than second differences."""


def curvature_of(model: str) -> Curvature:
    """Return the algorithm for a model."""
    return CURVATURES.get(model, by_differences)
