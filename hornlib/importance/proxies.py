"""Proxies for the importance of single connections: what is cheap to compute, beside the exact change of the loss.

w is a connection's value, g the gradient and h the second derivative of the mean loss by it, x what it multiplies.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

__all__ = ["PROXIES", "Proxy", "ProxyInputs", "magnitude"]


class ProxyInputs(NamedTuple):
    """What proxies read about the connections of one weight: arrays (connections,).

    Attributes:
        value: w.
        layer_deviation: standard deviation of all connections of the weight, the same for each.
        row_factor: 1 / ||w_i|| over all connections of the unit.
        norm_factor: what the norm behind the unit multiplies its sum by; 1 without a norm.
        gradient: g.
        batch_gradient: g of one batch of training examples.
        curvature: h.
        input_norm: ||x||.
    """

    value: np.ndarray
    layer_deviation: np.ndarray
    row_factor: np.ndarray
    norm_factor: np.ndarray
    gradient: np.ndarray
    batch_gradient: np.ndarray
    curvature: np.ndarray
    input_norm: np.ndarray

    def at(self, places: np.ndarray) -> "ProxyInputs":
        """Return some of the connections.

        Args:
            places: indices among them, (chosen,).
        """
        return ProxyInputs(*(column[places] for column in self))


class Proxy(NamedTuple):
    """One proxy.

    Attributes:
        score: maps connections to numbers (connections,).
        is_signed: whether it predicts the change of the loss itself. Others predict its absolute value.
        long_name: its formula, and its source.
    """

    score: Callable[[ProxyInputs], np.ndarray]
    is_signed: bool
    long_name: str


def magnitude(them: ProxyInputs) -> np.ndarray:
    """Return |w|, (connections,)."""
    return np.abs(them.value)


def standardised_magnitude(them: ProxyInputs) -> np.ndarray:
    """Return |w| / s with the standard deviation s of the layer, (connections,): within a layer it ranks as |w|."""
    return np.abs(them.value) / np.where(them.layer_deviation > 0, them.layer_deviation, 1)


def row_magnitude(them: ProxyInputs) -> np.ndarray:
    """Return |w_ij| / ||w_i||, (connections,): the scale of a unit's weights does not count."""
    return np.abs(them.value) * them.row_factor


def effective_magnitude(them: ProxyInputs) -> np.ndarray:
    """Return |w_ij gamma_i / sigma_i|, (connections,): the weight with the norm behind its unit folded into it."""
    return np.abs(them.value) * them.norm_factor


def first_order(them: ProxyInputs) -> np.ndarray:
    """Return |g w|, (connections,)."""
    return np.abs(them.gradient * them.value)


def signed_first_order(them: ProxyInputs) -> np.ndarray:
    """Return -g w, (connections,): the change of the loss to first order."""
    return -them.gradient * them.value


def optimal_brain_damage(them: ProxyInputs) -> np.ndarray:
    """Return h w^2 / 2, (connections,): the change of the loss where g = 0.

    Reference:
        LeCun, Denker, Solla 1989, Optimal brain damage, equation 3.
    """
    return 0.5 * them.curvature * them.value**2


def second_order(them: ProxyInputs) -> np.ndarray:
    """Return -g w + h w^2 / 2, (connections,): the change of the loss to second order."""
    return signed_first_order(them) + optimal_brain_damage(them)


def wanda(them: ProxyInputs) -> np.ndarray:
    """Return |w| ||x||, (connections,).

    Reference:
        Sun et al. 2024, A simple and effective pruning approach for large language models, equation 1.
    """
    return np.abs(them.value) * them.input_norm


def effective_wanda(them: ProxyInputs) -> np.ndarray:
    """Return |w_ij gamma_i / sigma_i| ||x_j||, (connections,)."""
    return effective_magnitude(them) * them.input_norm


def snip(them: ProxyInputs) -> np.ndarray:
    """Return |g w| with the gradient of one batch, (connections,); its sum over the network changes no order.

    Reference:
        Lee et al. 2019, SNIP: single-shot network pruning based on connection sensitivity, equations 5 and 6.
    """
    return np.abs(them.batch_gradient * them.value)


def squared_gradient(them: ProxyInputs) -> np.ndarray:
    """Return g^2, (connections,)."""
    return them.gradient**2


PROXIES: dict[str, Proxy] = {
    "magnitude": Proxy(magnitude, False, "|w|"),
    "standardised_magnitude": Proxy(standardised_magnitude, False, "|w| / deviation of the layer"),
    "row_magnitude": Proxy(row_magnitude, False, "|w| / ||weights of the unit||"),
    "effective_magnitude": Proxy(effective_magnitude, False, "|w| with the norm behind the unit folded in"),
    "first_order": Proxy(first_order, False, "|g w|"),
    "signed_first_order": Proxy(signed_first_order, True, "-g w"),
    "optimal_brain_damage": Proxy(optimal_brain_damage, True, "h w^2 / 2 (OBD)"),
    "second_order": Proxy(second_order, True, "-g w + h w^2 / 2"),
    "wanda": Proxy(wanda, False, "|w| ||x|| (Wanda)"),
    "effective_wanda": Proxy(effective_wanda, False, "|w| ||x|| with the norm behind the unit folded in"),
    "snip": Proxy(snip, False, "|g w| of one batch (SNIP)"),
    "squared_gradient": Proxy(squared_gradient, False, "g^2"),
}
"""Name -> proxy, in the order of tables."""
