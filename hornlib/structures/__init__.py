"""The table of structures: what changes a network while it trains; free of torch."""

from hornlib.parameters.structure import StructureParameters
from hornlib.structures.grow_and_prune.parameters import GrowAndPruneParameters
from hornlib.structures.growth.parameters import GrowthParameters
from hornlib.structures.layers.insertion_parameters import LayerInsertionParameters
from hornlib.structures.layers.pruning_parameters import LayerPruningParameters
from hornlib.structures.sparse_training.parameters import SparseTrainingParameters
from hornlib.structures.static import StaticParameters
from hornlib.structures.unit_pruning.parameters import UnitPruningParameters
from hornlib.structures.weight_pruning.parameters import WeightPruningParameters

__all__ = ["STRUCTURES"]

STRUCTURES: dict[str, type[StructureParameters]] = {
    "static": StaticParameters,
    "layer_insertion": LayerInsertionParameters,
    "layer_pruning": LayerPruningParameters,
    "sparse_training": SparseTrainingParameters,
    "growth": GrowthParameters,
    "unit_pruning": UnitPruningParameters,
    "grow_and_prune": GrowAndPruneParameters,
    "weight_pruning": WeightPruningParameters,
}
