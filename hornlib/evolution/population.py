"""A generation: its genomes, and what the next one inherits from it; packed into tensors for a checkpoint."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hornlib.evolution.genome import Frame, Genome, first_genome
from hornlib.evolution.innovations import Innovations
from hornlib.evolution.species import Species
from hornlib.models.evolved.parameters import EvolvedParameters, NeatParameters
from hornlib.randomness import derive_seed

__all__ = ["Population", "first_population", "packed_genomes", "random_numbers", "unpacked_genomes"]


@dataclass
class Population:
    """One generation of one run.

    Attributes:
        frame: the nodes that all genomes share.
        genomes: of this generation.
        innovations: counters of new nodes and connections.
        species: of the last generation; empty for models without species.
        generation: its number, from 0.
    """

    frame: Frame
    genomes: list[Genome]
    innovations: Innovations
    species: list[Species] = field(default_factory=list)
    generation: int = 0

    def state(self) -> dict[str, Any]:
        """Return the content for a checkpoint: tensors, numbers, lists and dicts only."""
        return {
            "frame": list(self.frame),
            "genomes": packed_genomes(self.genomes),
            "innovations": self.innovations.state(),
            "representatives": packed_genomes([species.representative for species in self.species]),
            "best_fitness": [species.best_fitness for species in self.species],
            "improved_at": [species.improved_at for species in self.species],
            "generation": self.generation,
        }

    @classmethod
    def restored(cls, state: dict[str, Any]) -> "Population":
        """Return the generation that `state()` was called on.

        Args:
            state: from a checkpoint.
        """
        frame = Frame(*state["frame"])
        innovations = Innovations(frame)
        innovations.restore_(state["innovations"])
        representatives = unpacked_genomes(state["representatives"])
        species = [
            Species(*fields)
            for fields in zip(representatives, state["best_fitness"], state["improved_at"], strict=True)
        ]
        return cls(frame, unpacked_genomes(state["genomes"]), innovations, species, state["generation"])


def first_population(model: EvolvedParameters, frame: Frame, seed: int) -> Population:
    """Return the first generation: every network connects inputs with outputs at random.

    A connection that `wann` does not draw is a disabled gene, which a mutation may enable. Weights are 1, and normal
    where connections have weights of their own.

    Args:
        model: number of networks, and the probability of a connection.
        frame: the shared nodes.
        seed: of the run.
    """
    rng = random_numbers(seed, -1)
    genomes = []
    for _ in range(model.num_individuals):
        enabled = rng.random(frame.num_pairs) < model.initial_connections
        weights = np.ones(frame.num_pairs)
        if isinstance(model, NeatParameters):
            weights = rng.normal(0, model.initial_weights, frame.num_pairs)
        genomes.append(first_genome(frame, enabled, weights))
    return Population(frame, genomes, Innovations(frame))


def random_numbers(seed: int, generation: int) -> np.random.Generator:
    """Return the generator of the draws that lead from a generation to the next one.

    It is a pure function of its arguments, so that a resumed run needs no state of a generator.

    Args:
        seed: of the run.
        generation: from 0; -1 for the draws of the first generation.
    """
    return np.random.default_rng(derive_seed("evolution", seed, generation))


def packed_genomes(genomes: Sequence[Genome]) -> dict[str, Tensor]:
    """Return the arrays of all genomes, each field in one tensor, and the lengths of the parts.

    Args:
        genomes: any number.
    """
    parts = {name: [getattr(genome, name) for genome in genomes] for name in Genome._fields}
    packed = {
        name: torch.from_numpy(np.concatenate(arrays)) if arrays else torch.zeros(0)
        for name, arrays in parts.items()
    }
    nodes = torch.tensor([len(genome.hidden) for genome in genomes], dtype=torch.int64)
    connections = torch.tensor([len(genome.innovations) for genome in genomes], dtype=torch.int64)
    return {**packed, "num_nodes": nodes, "num_connections": connections}


def unpacked_genomes(packed: dict[str, Tensor]) -> list[Genome]:
    """Return the genomes that `packed_genomes` was given.

    Args:
        packed: its result.
    """
    nodes, connections = (np.cumsum(packed[name].numpy())[:-1] for name in ("num_nodes", "num_connections"))
    if not len(packed["num_nodes"]):
        return []
    split = [
        np.split(packed[name].numpy(), nodes if name in ("hidden", "activations") else connections)
        for name in Genome._fields
    ]
    return [Genome(*fields) for fields in zip(*split, strict=True)]
