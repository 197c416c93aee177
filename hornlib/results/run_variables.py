"""What a run file holds: the one source of dimensions, units and long names of training results."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

__all__ = [
    "BOTH",
    "CURVES",
    "EVENTS",
    "PROFILES",
    "PROVENANCE",
    "VARIABLES",
    "Variable",
    "check_variables",
    "dimension_sizes",
]


class Variable(NamedTuple):
    """One variable of a run file; results.nc has those over seed and step, with the dimension `cell` in front.

    Attributes:
        dims: of `seed`, `step`, `layer` and `event`.
        units: as UDUNITS writes them; "1" is dimensionless.
        long_name: what an axis label says.
        optional: whether a run may lack it.
    """

    dims: tuple[str, ...]
    units: str
    long_name: str
    optional: bool = False


BOTH = ("seed", "step")

CURVES: dict[str, Variable] = {
    "training_loss": Variable(BOTH, "1", "mean training loss since the last evaluation, without penalty"),
    "training_total_loss": Variable(BOTH, "1", "mean training loss since the last evaluation, with penalty"),
    "validation_loss": Variable(BOTH, "1", "validation loss"),
    "validation_metric": Variable(BOTH, "1", "validation metric"),
    "test_loss": Variable(BOTH, "1", "test loss"),
    "test_metric": Variable(BOTH, "1", "test metric"),
    "training_flops": Variable(BOTH, "FLOP", "training FLOPs so far"),
    "num_parameters": Variable(BOTH, "1", "trained parameters"),
    "seconds": Variable(BOTH, "s", "a lane's share of the job's own training time so far, not calibrated"),
    "statistics_flops": Variable(
        BOTH,
        "FLOP",
        "FLOPs of batch norm's statistics at evaluations so far, no training FLOPs",
        optional=True,
    ),
    "depth": Variable(BOTH, "1", "hidden layers", optional=True),
    "horizon": Variable(BOTH, "1", "sum of the time steps of all layers", optional=True),
}
"""What is recorded at every evaluation; NaN where a lane had diverged."""

PROFILES: dict[str, Variable] = {
    "layer_step": Variable((*BOTH, "layer"), "1", "time step of the layer", optional=True),
    "width": Variable((*BOTH, "layer"), "1", "nodes or channels of the layer", optional=True),
}
"""What layers are like at every evaluation, from the input on; NaN beyond the network's depth."""

EVENTS: dict[str, Variable] = {
    "event_seed": Variable(("event",), "1", "seed of the run that a structure changed", optional=True),
    "event_step": Variable(("event",), "1", "training steps done before the change", optional=True),
    "event_kind": Variable(("event",), "1", "inserted, pruned or reset", optional=True),
    "event_position": Variable(("event",), "1", "layer, from 0 at the input; -1 for none", optional=True),
    "event_score": Variable(("event",), "1", "score that decided", optional=True),
}
"""What a structure did, in the order in which it was done."""

VARIABLES: dict[str, Variable] = {
    "seed": Variable(("seed",), "1", "seed"),
    "step": Variable(("step",), "1", "training steps"),
    **CURVES,
    **PROFILES,
    **EVENTS,
    "samples": Variable(("step",), "1", "training examples seen"),
    "diverged_at_step": Variable(("seed",), "1", "training step at which the run diverged"),
    "lanes": Variable(("seed",), "1", "lanes trained together"),
    "status": Variable(("seed",), "1", "how the run ended: complete or diverged"),
}
"""Every variable of a run file, by name: the one source of dimensions, units and long names."""


PROVENANCE: dict[str, Variable] = {
    "device": Variable(("seed",), "1", "device that the run was trained on", optional=True),
    "hornlib_version": Variable(
        ("seed",), "1", "versions of hornlib that trained the run, separated by spaces", optional=True
    ),
    "hornlib_commit": Variable(
        ("seed",), "1", "commit of hornlib that finished the run, or unknown", optional=True
    ),
    "torch_version": Variable(("seed",), "1", "version of torch that trained the run", optional=True),
    "threads": Variable(("seed",), "1", "CPU threads that the run was trained with", optional=True),
}
"""Variables of results.nc that repeat an attribute of the run file for each of its seeds."""


def dimension_sizes(variables: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Return the length of every dimension; of layers and events only where there are some."""
    sizes = {dimension: len(variables[dimension]) for dimension in BOTH}
    for name, values in variables.items():
        for dimension, length in zip(VARIABLES[name].dims, values.shape, strict=False):
            sizes.setdefault(dimension, length)
    return sizes


def check_variables(variables: Mapping[str, np.ndarray]) -> None:
    """Check names, shapes and the words of `status` against `VARIABLES`.

    Raises:
        ValueError: something is lacking, unknown or of a wrong shape.
    """
    lacking = [
        name for name, variable in VARIABLES.items() if name not in variables and not variable.optional
    ]
    unknown = [name for name in variables if name not in VARIABLES]
    if lacking or unknown:
        raise ValueError(
            f"a record lacks {lacking} and has unknown curves {unknown}; valid: {', '.join(CURVES)}"
        )
    sizes = dimension_sizes(variables)
    for name, values in variables.items():
        shape = tuple(sizes[dimension] for dimension in VARIABLES[name].dims)
        if values.shape != shape:
            raise ValueError(f"{name} has the shape {values.shape} instead of {shape} {VARIABLES[name].dims}")
    if not set(variables["status"]) <= {"complete", "diverged"}:
        raise ValueError(f"a status is complete or diverged, got {sorted(set(variables['status']))}")
