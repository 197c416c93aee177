"""The dynamics file: measurements of probes inside the networks of one job during training."""

from hornlib.results.dynamics_file.dynamics_reader import open_dynamics, read_dynamics_file
from hornlib.results.dynamics_file.dynamics_variables import (
    DYNAMICS_COORDINATES,
    DYNAMICS_FILE,
    DYNAMICS_VARIABLES,
    DynamicsRecord,
    LayerRecord,
    sizes_of,
)
from hornlib.results.dynamics_file.dynamics_writer import write_dynamics_file

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
