"""The table of structures: what changes a network while it trains; free of torch."""

from hornlib.structures.layer_insertion.parameters import LayerInsertionParameters
from hornlib.structures.layer_pruning.parameters import LayerPruningParameters
from hornlib.structures.parameters import StructureParameters
from hornlib.structures.static.parameters import StaticParameters

__all__ = ["STRUCTURES"]

STRUCTURES: dict[str, type[StructureParameters]] = {
    "static": StaticParameters,
    "layer_insertion": LayerInsertionParameters,
    "layer_pruning": LayerPruningParameters,
}
