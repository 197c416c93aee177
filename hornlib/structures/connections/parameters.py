"""The base of the parameters of structures that remove connections; free of torch."""

from hornlib.parameters import ModelParameters, Task, Weight
from hornlib.parameters.structure import StructureParameters
from hornlib.structures.connections.distribution import SparseLayers, sparse_weights

__all__ = ["SparseStructureParameters"]


class SparseStructureParameters(StructureParameters):
    """Parameters of a structure that makes some weights of a network sparse."""

    sparse_layers: SparseLayers = "all"
    """Which weights are sparse. all_but_first: weights that read the example are dense. all_but_last: those of the last
    layer are dense. inner: both are dense. recurrent: only recurrent weights are sparse."""

    def sparse_weights(self, model: ModelParameters, task: Task) -> list[Weight]:
        """Return the weights that are sparse.

        Args:
            model: the model before the first step.
            task: shapes of inputs and outputs.
        """
        return sparse_weights(model.weights(task), self.sparse_layers)
