"""How many connections each weight gets when all weights together have a given density; free of torch."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from hornlib.parameters import Weight

__all__ = [
    "DISTRIBUTIONS",
    "SparseLayers",
    "cut_off_problems",
    "cut_off_units",
    "densities",
    "num_connections",
    "sparse_weights",
]

SparseLayers = Literal["all", "all_but_first", "all_but_last", "inner", "recurrent"]
"""Which weights are sparse: by their role, input is the first and output the last."""

_DENSE_ROLES: Mapping[str, set[str]] = {
    "all": set(),
    "all_but_first": {"input"},
    "all_but_last": {"output"},
    "inner": {"input", "output"},
    "recurrent": {"input", "hidden", "output"},
}


def sparse_weights(weights: Sequence[Weight], sparse_layers: SparseLayers) -> list[Weight]:
    """Return the weights that are sparse; the others stay dense.

    Args:
        weights: all weights of a network, from the input to the output.
        sparse_layers: which of them are sparse.
    """
    return [weight for weight in weights if weight.role not in _DENSE_ROLES[sparse_layers]]


def _uniform(weight: Weight) -> float:
    return 1.0


def _erdos_renyi(weight: Weight) -> float:
    """Return (n_in + n_out) / (n_in n_out), whatever the size of a convolution's kernel."""
    return sum(weight.shape[:2]) / math.prod(weight.shape[:2])


def _erdos_renyi_kernel(weight: Weight) -> float:
    """Return (n_in + n_out + w + h) / (n_in n_out w h) of a convolution, (n_in + n_out) / (n_in n_out) of a matrix."""
    return sum(weight.shape) / weight.size


DISTRIBUTIONS: dict[str, Callable[[Weight], float]] = {
    "uniform": _uniform,
    "er": _erdos_renyi,
    "erk": _erdos_renyi_kernel,
}
"""Distribution -> the number to which a weight's density is proportional.

er: Mocanu et al. 2018, Scalable training of artificial neural networks with adaptive sparse connectivity, equation 1.
erk: Evci et al. 2020, Rigging the Lottery, section 3 (1).
"""


def densities(weights: Sequence[Weight], density: float, distribution: str) -> dict[str, float]:
    """Return weight -> density, so that all weights together have the given density.

    d_l = min(1, e s_l) with s_l from `DISTRIBUTIONS`. Weights whose e s_l would exceed 1 are dense, and e is computed
    again from the others, until none exceeds 1.

    Args:
        weights: the sparse weights.
        density: share of all their entries, above 0 and at most 1.
        distribution: a key of `DISTRIBUTIONS`.

    Reference:
        Evci et al. 2020, Rigging the Lottery, section 3 (1).
    """
    scores = {weight.name: DISTRIBUTIONS[distribution](weight) for weight in weights}
    connections = density * sum(weight.size for weight in weights)
    dense: set[str] = set()
    while len(dense) < len(weights):
        divided = [weight for weight in weights if weight.name not in dense]
        rest = connections - sum(weight.size for weight in weights if weight.name in dense)
        factor = rest / sum(scores[weight.name] * weight.size for weight in divided)
        exceeding = {weight.name for weight in divided if factor * scores[weight.name] > 1}
        if not exceeding:
            break
        dense |= exceeding
    return {weight.name: 1.0 if weight.name in dense else factor * scores[weight.name] for weight in weights}


def num_connections(weights: Sequence[Weight], density: float, distribution: str) -> dict[str, int]:
    """Return weight -> number of its connections; the total is the density times the size, rounded.

    Each number is rounded down, and the connections that are then missing go to the weights with the largest
    remainders.

    Args:
        weights: the sparse weights.
        density: share of all their entries, above 0 and at most 1.
        distribution: a key of `DISTRIBUTIONS`.
    """
    shares = densities(weights, density, distribution)
    exact = {weight.name: shares[weight.name] * weight.size for weight in weights}
    counts = {name: math.floor(number) for name, number in exact.items()}
    missing = round(density * sum(weight.size for weight in weights)) - sum(counts.values())
    sizes = {weight.name: weight.size for weight in weights}
    candidates = [name for name in counts if counts[name] < sizes[name]]
    for name in sorted(candidates, key=lambda name: counts[name] - exact[name])[:missing]:
        counts[name] += 1
    return counts


def cut_off_units(weights: Sequence[Weight], counts: Mapping[str, int]) -> dict[str, int]:
    """Return weight -> number of its units that cannot have an incoming connection; weights without any are absent.

    Args:
        weights: the sparse weights.
        counts: weight -> number of its connections.
    """
    missing = {weight.name: weight.shape[0] - counts[weight.name] for weight in weights}
    return {name: number for name, number in missing.items() if number > 0}


def cut_off_problems(
    structure: str, density: float, weights: Sequence[Weight], counts: Mapping[str, int]
) -> list[str]:
    """Return a sentence for each weight that has fewer connections than units.

    Args:
        structure: name of the structure, which begins each sentence.
        density: the density that was asked for.
        weights: the sparse weights.
        counts: weight -> number of its connections.
    """
    return [
        f"{structure}: density: {density:g} leaves {counts[name]} connections to {name}, so that {number} of its units "
        "would be cut off; give a higher density, wider layers, or another distribution"
        for name, number in cut_off_units(weights, counts).items()
    ]
