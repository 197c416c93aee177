"""The dynamics file: what probes saw inside one job's networks while they trained."""

from hornlib.results.dynamics_file.read import open_dynamics, read_dynamics_file
from hornlib.results.dynamics_file.schema import (
    DYNAMICS_COORDINATES,
    DYNAMICS_FILE,
    DYNAMICS_VARIABLES,
    DynamicsRecord,
    LayerRecord,
    sizes_of,
)
from hornlib.results.dynamics_file.write import write_dynamics_file

__all__ = [
    "DYNAMICS_COORDINATES",
    "DYNAMICS_FILE",
    "DYNAMICS_VARIABLES",
    "DynamicsRecord",
    "LayerRecord",
    "open_dynamics",
    "read_dynamics_file",
    "sizes_of",
    "write_dynamics_file",
]
