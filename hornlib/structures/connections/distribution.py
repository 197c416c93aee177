"""How many connections each weight gets when all weights together have a given density; free of torch."""

import math
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from hornlib.parameters import ModelParameters, Task, Weight

__all__ = [
    "DISTRIBUTIONS",
    "SparseLayers",
    "apportioned",
    "cut_off_problems",
    "cut_off_units",
    "is_chain",
    "num_connections",
    "sparse_weights",
    "weight_problems",
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


def num_connections(
    weights: Sequence[Weight], density: float, distribution: str, proportions: Sequence[int] = ()
) -> dict[str, int]:
    """Return weight -> number of its connections; the total is the density times the size, rounded.

    The density of a weight is min(1, e s) with s from `DISTRIBUTIONS`, or as given, and the e that gives the total.

    Args:
        weights: the sparse weights.
        density: share of all their entries, above 0 and at most 1.
        distribution: a key of `DISTRIBUTIONS`, or "given".
        proportions: the s of each weight, if the distribution is given.

    Reference:
        Evci et al. 2020, Rigging the Lottery, section 3 (1).
    """
    sizes = [weight.size for weight in weights]
    scores: Sequence[float] = proportions or [DISTRIBUTIONS[distribution](weight) for weight in weights]
    parts = [score * size for score, size in zip(scores, sizes, strict=True)]
    counts = apportioned(round(density * sum(sizes)), parts, sizes)
    return {weight.name: count for weight, count in zip(weights, counts, strict=True)}


def apportioned(total: int, proportions: Sequence[float], capacities: Sequence[int]) -> list[int]:
    """Return whole numbers in the given proportions that sum to the total, none above its capacity.

    Members whose part would exceed their capacity get it, and the others share the rest, until none exceeds. Parts are
    then rounded down, and what is missing goes to the largest remainders.

    Args:
        total: at most the sum of all capacities.
        proportions: of the members. Where they are not finite, or all 0, the capacities take their place.
        capacities: largest number of each member.
    """
    if not 0 < sum(proportions) < math.inf:
        proportions = capacities
    full: set[int] = set()
    parts = [Fraction(0)] * len(capacities)  # exact, so that rounding down never gives more than the total
    while len(full) < len(capacities):
        rest = total - sum(capacities[member] for member in full)
        members = [member for member in range(len(capacities)) if member not in full]
        shares = [Fraction(proportions[member]) for member in members]
        if not any(shares):
            shares = [Fraction(capacities[member]) for member in members]
        for member, share in zip(members, shares, strict=True):
            parts[member] = rest * share / (sum(shares) or 1)
        exceeding = {member for member in members if parts[member] > capacities[member]}
        full |= exceeding
        if not exceeding:
            break
    parts = [Fraction(capacities[member]) if member in full else part for member, part in enumerate(parts)]
    counts = [math.floor(part) for part in parts]
    by_remainder = sorted(range(len(counts)), key=lambda member: counts[member] - parts[member])
    for member in by_remainder[: total - sum(counts)]:
        counts[member] += 1
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


def is_chain(weights: Sequence[Weight]) -> bool:
    """Return whether each weight is a matrix that reads the outputs of the one before it."""
    matrices = all(len(weight.shape) == 2 and weight.role != "recurrent" for weight in weights)
    return matrices and all(before.shape[0] == after.shape[1] for before, after in pairwise(weights))


def weight_problems(
    structure: str, sparse_layers: SparseLayers, model: ModelParameters, task: Task
) -> list[str]:
    """Return a sentence if no weight of a model can be sparse.

    Args:
        structure: name of the structure, which begins the sentence.
        sparse_layers: which weights are to be sparse.
        model: the model before the first step.
        task: shapes of inputs and outputs.
    """
    if model.masked_form(task)[1]:
        return [
            f"{structure}: the connections of model: {model.name} are chosen already; leave its connections out"
        ]
    weights = model.weights(task)
    if not weights:
        return [f"{structure}: {model.name} has no weights that can be sparse; biases and norms never are"]
    if sparse_weights(weights, sparse_layers):
        return []
    roles = ", ".join(f"{weight.name} ({weight.role})" for weight in weights)
    return [
        f"{structure}: sparse_layers: {sparse_layers} chooses no weight of {model.name}; its weights are {roles}"
    ]
