"""Parameters of networks whose topology evolves, with the counts of the first generation; free of torch."""

import math
from abc import abstractmethod
from typing import ClassVar, Literal, Self

from pydantic import Field

from hornlib.parameters import Cost, ModelParameters, Task

__all__ = ["SHARED_WEIGHTS", "EvolvedParameters", "NeatParameters", "WannParameters"]

SHARED_WEIGHTS = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
"""Values that all weights of a network take together while `wann` evaluates it (Gaier and Ha 2019)."""


class EvolvedParameters(ModelParameters):
    """A population of networks over the flattened example, which a generation without gradients replaces.

    The inputs are the numbers of the example and one constant 1. A hidden node computes act(sum_j w_j v_j), an output
    sum_j w_j v_j. Every network begins without hidden nodes. The counts are those of the first generation in the mean;
    the run file has those of the best network of every evaluation.
    """

    network: ClassVar[str] = (
        ""  # the topology is no parameter: `hornlib.evolution.network` builds it from a genome
    )
    presentations: ClassVar[tuple[str, ...]] = ("image", "rows", "pixels", "permuted_pixels", "vector")
    trainer: ClassVar[str] = "evolution"

    num_individuals: int = Field(ge=4)
    """Number of networks of a generation."""
    initial_connections: float = Field(gt=0, le=1)
    """Probability that a first network has the connection from an input to an output."""

    @property
    @abstractmethod
    def shared_weights(self) -> tuple[float, ...]:
        """Values of the shared weight at which a network is evaluated; (1.0,) where connections have weights."""

    @property
    def networks_per_example(self) -> int:
        """Networks that see each example of a generation: individuals times values of the shared weight."""
        return self.num_individuals * len(self.shared_weights)

    def cost(self, task: Task) -> Cost:
        """Return the mean connections of a first network, and its work; it has no hidden node."""
        connections = max(1, round(self.initial_connections * num_first_connections(task)))
        return Cost(connections, 2 * connections, 0)

    def width(self) -> int:
        """Individuals: no width sets the size of these networks."""
        return self.num_individuals

    def with_width(self, width: int) -> Self:
        """Return the same model with another number of individuals; its networks keep their size."""
        return self.model_copy(update={"num_individuals": width})


def num_first_connections(task: Task) -> int:
    """Return the number of pairs of an input, the constant among them, and an output.

    Args:
        task: shapes of inputs and outputs.
    """
    return (math.prod(task.input_shape) + 1) * task.num_outputs


class WannParameters(EvolvedParameters):
    """Weight-agnostic neural networks: the topology evolves, and all connections share one weight.

    A network is evaluated at six values of the shared weight. It is ranked by the mean of its rewards and by its number
    of connections. The defaults are those of the published MNIST experiment (Gaier and Ha, Weight agnostic neural
    networks, NeurIPS 2019, and their code).
    """

    name: Literal["wann"] = "wann"
    num_individuals: int = Field(default=960, ge=4)
    """Number of networks of a generation."""
    initial_connections: float = Field(default=0.05, gt=0, le=1)
    """Probability that a first network has the connection from an input to an output. The others are disabled."""
    connection_mutations: float = Field(default=0.2, ge=0)
    """Relative frequency of the mutation that adds a connection."""
    split_mutations: float = Field(default=0.25, ge=0)
    """Relative frequency of the mutation that puts a node with a random activation into a connection."""
    enable_mutations: float = Field(default=0.05, ge=0)
    """Relative frequency of the mutation that enables a disabled connection."""
    activation_mutations: float = Field(default=0.5, ge=0)
    """Relative frequency of the mutation that changes the activation of a hidden node."""
    step_activation: Literal["with", "without"] = "without"
    """Whether a hidden node may have the step function; MNIST's networks are published without it."""
    size_ranking: float = Field(default=0.8, ge=0, le=1)
    """Probability that a generation is ranked by mean reward and few connections. Otherwise it is ranked by the mean
    and the largest reward."""
    culled: float = Field(default=0.2, ge=0, lt=1)
    """Share of a generation, the worst of it, that has no offspring."""
    elite: float = Field(default=0.2, ge=0, lt=1)
    """Share of the others, the best of them, that stays in the next generation unchanged."""
    num_contestants: int = Field(default=32, ge=1)
    """Number of networks drawn for a tournament, whose best is a parent."""
    gradient_steps: int = Field(default=1000, ge=0)
    """Number of steps of Adam, after the last generation, that train a weight of its own for every connection of the
    best network. The outcome is a variable beside the curves. 0: none."""
    gradient_rate: float = Field(default=0.01, gt=0)
    """Learning rate of these steps."""

    @property
    def shared_weights(self) -> tuple[float, ...]:
        """The six published values."""
        return SHARED_WEIGHTS

    def problems(self, task: Task) -> list[str]:
        """Return why no generation could follow the first: no frequent mutation, or nobody left to breed from."""
        frequencies = (
            self.connection_mutations,
            self.split_mutations,
            self.enable_mutations,
            self.activation_mutations,
        )
        if not sum(frequencies[:3]):
            return [
                "connection_mutations, split_mutations and enable_mutations are all 0, and a first network has no "
                "hidden node whose activation could change; give one of them a frequency above 0"
            ]
        return []


class NeatParameters(EvolvedParameters):
    """NEAT: topology and weights evolve together, in species that share their fitness.

    The defaults are those of Stanley and Miikkulainen, Evolving neural networks through augmenting topologies,
    Evolutionary Computation 2002, section 4.1, except where a field says otherwise.
    """

    name: Literal["neat"] = "neat"
    num_individuals: int = Field(default=150, ge=4)
    """Number of networks of a generation."""
    initial_connections: float = Field(default=1.0, gt=0, le=1)
    """Probability that a first network has the connection from an input to an output."""
    initial_weights: float = Field(default=1.0, gt=0)
    """Standard deviation of the normal distribution of first and of new weights. Not published."""
    node_activation: Literal["tanh", "sigmoid", "relu"] = "tanh"
    """Activation of all hidden nodes. Published: a steep sigmoid."""
    weight_mutation: float = Field(default=0.8, ge=0, le=1)
    """Probability that the weights of a child change."""
    weight_step: float = Field(default=0.5, gt=0)
    """Standard deviation of the normal change of a weight. Not published, where the change is uniform."""
    weight_replacement: float = Field(default=0.1, ge=0, le=1)
    """Probability that a weight of such a child is drawn anew instead."""
    split_mutation: float = Field(default=0.03, ge=0, le=1)
    """Probability that a child gets a node within a connection."""
    connection_mutation: float = Field(default=0.05, ge=0, le=1)
    """Probability that a child gets a new connection."""
    enable_mutation: float = Field(default=0.0, ge=0, le=1)
    """Probability that a disabled connection of a child is enabled. Not published."""
    crossover: float = Field(default=0.75, ge=0, le=1)
    """Probability that a child has two parents."""
    disabled_inheritance: float = Field(default=0.75, ge=0, le=1)
    """Probability that a gene is disabled in a child of two parents if it is disabled in one of them."""
    interspecies: float = Field(default=0.001, ge=0, le=1)
    """Probability that the second parent is of any species."""
    gene_distance: float = Field(default=1.0, ge=0)
    """Coefficient of the share of excess and disjoint genes in the distance of two genomes."""
    weight_distance: float = Field(default=0.4, ge=0)
    """Coefficient of the mean difference of the weights of matching genes in the distance of two genomes."""
    species_distance: float = Field(default=3.0, gt=0)
    """Distance from a species' representative below which a genome belongs to the species."""
    survivors: float = Field(default=0.2, gt=0, le=1)
    """Share of a species, the best of it, that has offspring. Published in the code."""
    stagnation: int = Field(default=15, ge=1)
    """Number of generations without a better champion after which a species has no offspring. The best species always
    has."""

    @property
    def shared_weights(self) -> tuple[float, ...]:
        """One factor of 1: every connection has its own weight."""
        return (1.0,)
