"""Species: genomes that are near to a representative, found by the distances of aligned genes.

Reference:
    Stanley and Miikkulainen, Evolving neural networks through augmenting topologies, 2002, section 3.3.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hornlib.evolution.genome import Genome

__all__ = ["AlignedGenes", "Species", "aligned", "allotted", "assigned", "distances_to"]


class Species(NamedTuple):
    """What the next generation needs to know of a species.

    Attributes:
        representative: genome of the last generation to which members are near.
        best_fitness: largest fitness of a member so far.
        improved_at: generation in which it was reached.
    """

    representative: Genome
    best_fitness: float
    improved_at: int


class AlignedGenes(NamedTuple):
    """The genes of some genomes in columns, one for each innovation that occurs.

    Attributes:
        weights: (genomes, innovations) float32; 0 where a genome has no such gene.
        present: whether it has, (genomes, innovations) bool.
    """

    weights: np.ndarray
    present: np.ndarray


def aligned(genomes: Sequence[Genome]) -> AlignedGenes:
    """Return the genes of all genomes in common columns.

    Args:
        genomes: each with at least one gene.
    """
    counts = [len(genome.innovations) for genome in genomes]
    columns = np.unique(np.concatenate([genome.innovations for genome in genomes]))
    rows = np.repeat(np.arange(len(genomes)), counts)
    places = np.searchsorted(columns, np.concatenate([genome.innovations for genome in genomes]))
    weights = np.zeros((len(genomes), len(columns)), np.float32)
    present = np.zeros((len(genomes), len(columns)), bool)
    weights[rows, places] = np.concatenate([genome.weights for genome in genomes])
    present[rows, places] = True
    return AlignedGenes(weights, present)


def distances_to(
    genes: AlignedGenes, reference: int, gene_distance: float, weight_distance: float
) -> np.ndarray:
    """Return the distance of every genome from one of them, (genomes,).

    d = c_g (E + D) / N + c_w W, with E excess and D disjoint genes, N genes of the larger genome, and W the mean
    difference of the weights of matching genes. The original has a coefficient each for E and D, and gives both 1.

    Args:
        genes: of all genomes.
        reference: index of the genome from which the distances are measured.
        gene_distance, weight_distance: c_g and c_w.
    """
    present, weights = genes.present, genes.weights
    matching = present & present[reference]
    num_matching = matching.sum(1)
    num_genes = present.sum(1)
    num_without_match = num_genes + num_genes[reference] - 2 * num_matching
    differences = (np.abs(weights - weights[reference]) * matching).sum(1, dtype=np.float64)
    larger = np.maximum(num_genes, num_genes[reference])
    return gene_distance * num_without_match / larger + weight_distance * differences / np.maximum(
        num_matching, 1
    )


def assigned(
    genomes: Sequence[Genome],
    representatives: Sequence[Genome],
    threshold: float,
    gene_distance: float,
    weight_distance: float,
) -> list[list[int]]:
    """Return the members of every species, as indices of genomes: of the old ones in their order, then of new ones.

    The genome that is nearest to the representative of an old species is its first member and represents it from now
    on. Each other genome belongs to the species whose new representative is the nearest, if that is within the
    threshold; otherwise it founds a species. The original draws the representative and takes the first species within
    the threshold; this is the rule of neat-python, which depends on no draw.

    Args:
        genomes: of this generation.
        representatives: of the old species. An old species that finds no genome left is without members.
        threshold: distance below which a genome belongs to a species.
        gene_distance, weight_distance: see `distances_to`.
    """
    genes = aligned([*genomes, *representatives])
    number = len(genomes)

    def distances(reference: int) -> np.ndarray:
        return distances_to(genes, reference, gene_distance, weight_distance)[:number]

    left = np.ones(number, bool)
    members: list[list[int]] = []
    to_representatives: list[np.ndarray] = []
    for place in range(len(representatives)):
        if not left.any():
            members.append([])
            to_representatives.append(np.full(number, np.inf))
            continue
        nearest = int(np.where(left, distances(number + place), np.inf).argmin())
        left[nearest] = False
        members.append([nearest])
        to_representatives.append(distances(nearest))
    for genome in np.flatnonzero(left).tolist():
        nearness = np.array([near[genome] for near in to_representatives])
        if len(nearness) and nearness.min() < threshold:
            members[int(nearness.argmin())].append(genome)
        else:
            members.append([genome])
            to_representatives.append(distances(genome))
    return members


def allotted(shares: np.ndarray, number: int) -> np.ndarray:
    """Return whole numbers of offspring in proportion to shares, (species,) int64; their sum is exact.

    The largest remainders are rounded up, the first of equal ones first. Shares that are all 0 count as equal.

    Args:
        shares: at least 0, (species,).
        number: of all offspring.
    """
    shares = shares if shares.sum() > 0 else np.ones(len(shares))
    exact = shares / shares.sum() * number
    whole = np.floor(exact).astype(np.int64)
    order = np.argsort(whole - exact, kind="stable")
    whole[order[: number - whole.sum()]] += 1
    return whole
