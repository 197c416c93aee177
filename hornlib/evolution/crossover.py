"""Crossover of two genomes: genes of equal innovation are aligned (Stanley and Miikkulainen 2002, section 3.2)."""

import numpy as np

from hornlib.evolution.genome import Genome

__all__ = ["crossed"]


def crossed(fitter: Genome, other: Genome, rng: np.random.Generator, disabled_inheritance: float) -> Genome:
    """Return a child with the topology of the fitter parent, whose matching genes have the weight of either parent.

    Genes without a match are those of the fitter parent, so that the child is free of cycles as it is. Of a matching
    gene that one of the parents has disabled, the child's is disabled with a given probability, and else enabled.

    Args:
        fitter: the parent with the higher fitness.
        other: the other parent.
        rng: draws the parent of each matching gene.
        disabled_inheritance: probability.
    """
    _, places, of_other = np.intersect1d(
        fitter.innovations, other.innovations, assume_unique=True, return_indices=True
    )
    takes_other = rng.random(len(places)) < 0.5
    weights, enabled = fitter.weights.copy(), fitter.enabled.copy()
    weights[places] = np.where(takes_other, other.weights[of_other], fitter.weights[places])
    disabled_in_one = ~fitter.enabled[places] | ~other.enabled[of_other]
    enabled[places] = ~(disabled_in_one & (rng.random(len(places)) < disabled_inheritance))
    return fitter._replace(weights=weights, enabled=enabled)
