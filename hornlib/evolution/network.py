"""One evolved network as a torch module, whose connections have trained weights of their own."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from hornlib.evolution.activations import EVOLVED_ACTIVATIONS, activations_of
from hornlib.evolution.evaluation import with_constant
from hornlib.evolution.genome import Frame, Genome, frame_of
from hornlib.evolution.graph import compiled
from hornlib.models.evolved.parameters import EvolvedParameters
from hornlib.parameters import Task

__all__ = ["EvolvedNetwork", "evolved_network", "genome_tensors"]


class EvolvedNetwork(nn.Module):
    """A network with the topology of a genome: a hidden node has act(sum_j w_j v_j), an output sum_j w_j v_j.

    Only connections that lead to an output have a weight. The sums of a level are one product with a matrix that is 0
    where there is no connection, since one small network is multiplied faster densely.

    Args:
        genome: the topology, and the weights of its connections.
        frame: inputs and outputs.
        activations: names that the genome's indices mean.
        shared_weight: factor on all weights of the genome.

    Attributes:
        weights: of the connections, (connections,).
        genome: the topology, with the weights that the network began with, times the shared weight.
        genes: index of the connections in the genome, (connections,).
    """

    def __init__(
        self, genome: Genome, frame: Frame, activations: Sequence[str], shared_weight: float = 1.0
    ) -> None:
        super().__init__()
        # with a weight of its own for each gene, no node is equal to another one
        numbered = genome._replace(weights=np.arange(len(genome.weights), dtype=np.float32))
        graph = compiled([numbered], frame, activations, has_weights=True)
        self.frame, self.levels, self.num_rows = frame, graph.levels, graph.num_rows
        self.num_sums = graph.num_rows + graph.num_different_outputs
        sums = [  # of which row the first is, and which column stands for the first row that is read
            (graph.from_inputs, 0, 0),
            (graph.to_outputs, graph.num_rows, frame.num_sources),
            *((level.sums, level.rows.start, frame.num_sources) for level in graph.levels),
        ]
        genes = torch.cat([part.weights for part, _, _ in sums if part.weights is not None]).long()
        first_weights = shared_weight * torch.from_numpy(genome.weights)
        self.weights = nn.Parameter(first_weights[genes])
        self.genome, self.genes = genome._replace(weights=first_weights.numpy()), genes.numpy()
        self.sources: Tensor
        self.targets: Tensor
        self.members: Tensor
        self.register_buffer("sources", torch.cat([shift + part.entries for part, _, shift in sums]))
        self.register_buffer("targets", torch.cat([first + part.rows() for part, first, _ in sums]))
        self.register_buffer("members", graph.members[0])

    def trained_genome(self) -> Genome:
        """Return the genome with the present weights. Connections without a way to an output keep their first one."""
        weights = self.genome.weights.copy()
        weights[self.genes] = self.weights.detach().cpu().numpy()
        return self.genome._replace(weights=weights)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the outputs, (examples, outputs), of examples (examples, ...)."""
        matrix = self.weights.new_zeros(self.num_sums, self.frame.num_sources + self.num_rows)
        matrix = matrix.index_put((self.targets, self.sources), self.weights, accumulate=True)
        values = with_constant(inputs)
        for level in self.levels:
            sums = matrix[level.rows, : len(values)] @ values
            activated = [EVOLVED_ACTIVATIONS[name](sums[group].clone()) for name, group in level.groups]
            values = torch.cat([values, *activated])
        return (matrix[self.num_rows :] @ values)[self.members].mT


def genome_tensors(genome: Genome, shared_weight: float) -> dict[str, dict[str, Tensor]]:
    """Return a genome as `parameters` and `buffers`, from which `evolved_network` builds its network.

    Args:
        genome: the network.
        shared_weight: factor on its weights.
    """
    tensors = {name: torch.from_numpy(array.copy()) for name, array in genome._asdict().items()}
    return {"parameters": {"weights": tensors.pop("weights") * shared_weight}, "buffers": tensors}


def evolved_network(model: EvolvedParameters, task: Task, tensors: Mapping[str, Tensor]) -> EvolvedNetwork:
    """Return the network of a genome in evaluation mode.

    Args:
        model: activations of the nodes.
        task: shapes of inputs and outputs.
        tensors: parameters and buffers of `genome_tensors` together.
    """
    genome = Genome(**{name: tensors[name].numpy() for name in Genome._fields})
    network = EvolvedNetwork(genome, frame_of(task), activations_of(model))
    return network.eval()  # type: ignore[no-any-return]
