"""Every variable of run files and of results.nc: dimensions, units, long name, and where the values are computed."""

from collections.abc import Mapping

import numpy as np

from hornlib.results.declaration import Variable
from hornlib.structures.events import EVENT_KINDS

__all__ = [
    "CALIBRATED",
    "CELL_PROPERTIES",
    "CHOICES",
    "CURVES",
    "EVENTS",
    "GATHERED_PROFILES",
    "LABEL",
    "PROFILES",
    "PROVENANCE",
    "RESULTS_SECTIONS",
    "RESULTS_VARIABLES",
    "RUN_OUTCOMES",
    "RUN_VARIABLES",
    "SWEEP_COORDINATES",
    "check_run_variables",
]

MIN_COVERAGE = 0.95
"""Least coverage of a step time's interval."""

_CURVE = ("seed", "step")
_WRITTEN_BY = "hornlib.training.curves.evaluate_chunk"
_EVALUATED_BY = "hornlib.training.evaluation.evaluate"
_EVOLVED_BY = "hornlib.training.evolving.evolve_step"
_SCORED_BY = "hornlib.training.evolved_scores.scores_of"
_REFINED_BY = "hornlib.training.evolved_weights.trained_weights"
_CONNECTED_BY = "hornlib.training.connectivity.connectivity"

CURVES: dict[str, Variable] = {
    "training_loss": Variable(
        _CURVE,
        "1",
        "mean training loss since the previous evaluation, without penalty",
        source="hornlib.training.loop.train_step",
    ),
    "training_total_loss": Variable(
        _CURVE,
        "1",
        "mean training loss since the previous evaluation, with penalty",
        source="hornlib.training.loop.train_step",
    ),
    "validation_loss": Variable(_CURVE, "1", "validation loss", source=_EVALUATED_BY),
    "validation_metric": Variable(_CURVE, "1", "validation metric", source=_EVALUATED_BY),
    "test_loss": Variable(_CURVE, "1", "test loss", source=_EVALUATED_BY),
    "test_metric": Variable(_CURVE, "1", "test metric", source=_EVALUATED_BY),
    "training_flops": Variable(
        _CURVE, "FLOP", "training FLOPs so far", source="hornlib.models.flops.training_step_flops"
    ),
    "num_parameters": Variable(
        _CURVE,
        "1",
        "number of trained parameters; of a sparse weight, number of connections",
        source="hornlib.training.chunk.Group.num_parameters",
    ),
    "seconds": Variable(
        _CURVE,
        "s",
        "uncalibrated time: share of one lane in the training time of its job so far",
        source="hornlib.training.loop.train_chunk",
    ),
    "statistics_flops": Variable(
        _CURVE,
        "FLOP",
        "FLOPs so far of batch norm's statistics for evaluations, beside the training FLOPs",
        optional=True,
        source=_WRITTEN_BY,
    ),
    "num_nonzeros": Variable(
        _CURVE,
        "1",
        "number of entries of matrices and kernels that are not exactly 0, where the optimiser sets entries to 0",
        optional=True,
        source="hornlib.training.curves.num_nonzeros",
    ),
    "depth": Variable(_CURVE, "1", "number of hidden layers", optional=True, source=_WRITTEN_BY),
    "horizon": Variable(
        _CURVE, "1", "sum of the time steps of all layers", optional=True, source=_WRITTEN_BY
    ),
    "evaluations": Variable(
        _CURVE,
        "1",
        "number of networks evaluated so far; a network without weights of its own counts once for each shared weight",
        optional=True,
        source=_EVOLVED_BY,
    ),
    "network_flops": Variable(
        _CURVE,
        "FLOP",
        "FLOPs of one forward pass of one example by the best network of the generation",
        optional=True,
        source=_SCORED_BY,
    ),
    "shared_weight": Variable(
        _CURVE,
        "1",
        "tuned shared weight, with which losses and metrics are computed",
        optional=True,
        source=_SCORED_BY,
    ),
    "mean_weight_test_metric": Variable(
        _CURVE,
        "1",
        "test metric without tuning, mean over the six shared weights",
        optional=True,
        source=_SCORED_BY,
    ),
    "ensemble_test_metric": Variable(
        _CURVE,
        "1",
        "test metric of the mean output over the six shared weights",
        optional=True,
        source=_SCORED_BY,
    ),
    "trained_test_metric": Variable(
        _CURVE,
        "1",
        "test metric of the last network after a weight of its own was trained for each connection by gradient",
        optional=True,
        source=_REFINED_BY,
    ),
    "trained_flops": Variable(
        _CURVE,
        "FLOP",
        "FLOPs of that training by gradient, beside the training FLOPs",
        optional=True,
        source=_REFINED_BY,
    ),
    "explored": Variable(
        _CURVE,
        "1",
        "share of the positions of all sparse weights that have ever held a connection",
        optional=True,
        source=_CONNECTED_BY,
    ),
}
"""What a run file holds of every evaluation; NaN after a run diverged."""

PROFILES: dict[str, Variable] = {
    "layer_step": Variable(
        (*_CURVE, "layer"), "1", "time step of the layer", optional=True, source=_WRITTEN_BY
    ),
    "width": Variable(
        (*_CURVE, "layer"), "1", "number of nodes or channels of the layer", optional=True, source=_WRITTEN_BY
    ),
    "layer_density": Variable(
        (*_CURVE, "layer"),
        "1",
        "share of the positions of the layer's weights that hold a connection; the last layer is the read-out",
        optional=True,
        source=_CONNECTED_BY,
    ),
    "active_units": Variable(
        (*_CURVE, "layer"),
        "1",
        "number of units of the layer with an incoming and an outgoing connection; of the last layer, with an incoming "
        "one",
        optional=True,
        source=_CONNECTED_BY,
    ),
    "gradient_reached": Variable(
        (*_CURVE, "layer"),
        "1",
        "1 where a connection of the layer has had a gradient so far, else 0; NaN for dense layers",
        optional=True,
        source=_CONNECTED_BY,
    ),
}
"""Properties of every layer at every evaluation, from the input on; NaN beyond the network's depth."""

GATHERED_PROFILES = ("layer_density", "active_units")
"""Profiles that results.nc holds, too; so it does `width` where units come and go. Others stay in the run files."""

_CHANGED_BY = "hornlib.training.restructuring.restructure"

EVENTS: dict[str, Variable] = {
    "event_seed": Variable(
        ("event",), "1", "seed of the run that a structure changed", optional=True, source=_CHANGED_BY
    ),
    "event_step": Variable(
        ("event",),
        "1",
        "number of training steps before the change",
        optional=True,
        source=_CHANGED_BY,
    ),
    "event_kind": Variable(
        ("event",), "1", f"kind of change: {', '.join(EVENT_KINDS)}", optional=True, source=_CHANGED_BY
    ),
    "event_position": Variable(
        ("event",),
        "1",
        "index of the changed layer, 0 at the input; -1 for no layer",
        optional=True,
        source=_CHANGED_BY,
    ),
    "event_score": Variable(
        ("event",),
        "1",
        "score that decided on the change; of rewired: share of the connections grown at the change before that this "
        "one drops",
        optional=True,
        source=_CHANGED_BY,
    ),
    "event_number": Variable(
        ("event",),
        "1",
        "number of connections or units that the change concerns; NaN where the kind says it",
        optional=True,
        source=_CHANGED_BY,
    ),
    "event_drawn": Variable(
        ("event",),
        "1",
        "number of added units whose direction is drawn, because the matrix of the rule has no further one; NaN for "
        "other rules",
        optional=True,
        source="hornlib.structures.growth.structure.grow",
    ),
    "event_gradient_ratio": Variable(
        ("event", "delay"),
        "1",
        "gradient norm of the added units over that of the other units of their layer, some training steps after the "
        "event",
        optional=True,
        source="hornlib.training.newborn.note_newborn_",
    ),
    "event_active_share": Variable(
        ("event",),
        "1",
        "share of the added units whose activation differs between examples at the end of training",
        optional=True,
        source="hornlib.training.newborn.note_active_",
    ),
}
"""What a structure changed, in the order of the changes."""

DELAY = Variable(
    ("delay",),
    "1",
    "training steps between an event and the gradients, 0 for the first step after it",
    optional=True,
)

SAMPLES = Variable(
    ("step",),
    "1",
    "number of training examples seen; of a population, by all of its networks together",
    source="hornlib.results.run_file.samples_seen",
)

RUN_OUTCOMES: dict[str, Variable] = {
    "diverged_at_step": Variable(
        ("seed",),
        "1",
        "training step at which the run diverged",
        source="hornlib.training.divergence.take_out",
    ),
    "lanes": Variable(
        ("seed",),
        "1",
        "number of lanes that were trained together",
        source="hornlib.training.width.chunk_width",
    ),
    "status": Variable(
        ("seed",),
        "1",
        "how the run ended: complete or diverged",
        source="hornlib.training.divergence.take_out",
    ),
}
"""What a run file says once of every run."""

_TRAINED_BY = "hornlib.training.job.run_assignment"

PROVENANCE: dict[str, Variable] = {
    "device": Variable(("seed",), "1", "device that the run was trained on", source=_TRAINED_BY),
    "hornlib_version": Variable(
        ("seed",),
        "1",
        "versions of hornlib that trained the run, separated by spaces",
        source=_TRAINED_BY,
    ),
    "hornlib_commit": Variable(
        ("seed",),
        "1",
        "commit of hornlib that finished the run, or unknown",
        source="hornlib.provenance.commit",
    ),
    "torch_version": Variable(("seed",), "1", "version of torch that trained the run", source=_TRAINED_BY),
    "threads": Variable(
        ("seed",), "1", "number of CPU threads that the run was trained with", source=_TRAINED_BY
    ),
    "kernel": Variable(
        ("seed",),
        "1",
        "how the recurrence was computed: fused, loop and why, or none for a model without recurrence",
        source="hornlib.grid.routes.route_of",
    ),
    "cpu_model": Variable(
        ("seed",),
        "1",
        "model of the CPU of the machine that trained the run",
        source="hornlib.kernels.library.cpu_model",
    ),
    "data_digest": Variable(
        ("seed",),
        "1",
        "digest of the examples of all parts, after the split and before noise, resize and standardisation",
        source="hornlib.data.loading.load_with_digest",
    ),
}
"""Attributes of a run file that results.nc repeats for each of its seeds."""

RUN_VARIABLES: dict[str, Variable] = {
    "seed": Variable(("seed",), "1", "seed"),
    "step": Variable(
        ("step",),
        "1",
        "number of training steps",
        source="hornlib.parameters.training.TrainingParameters.evaluation_steps",
    ),
    **CURVES,
    **PROFILES,
    **EVENTS,
    "delay": DELAY,
    "samples": SAMPLES,
    **RUN_OUTCOMES,
}
"""Every variable of a run file."""

CELL_PROPERTIES: dict[str, Variable] = {
    "metric": Variable(
        ("cell",),
        "1",
        "metric of the dataset",
        source="hornlib.data.parameters.DataParameters.metric",
        attributes={"kind": "string"},
    ),
    "direction": Variable(
        ("cell",),
        "1",
        "direction in which the metric gets better: maximise or minimise",
        source="hornlib.data.parameters.DataParameters.direction",
        attributes={"kind": "string"},
    ),
    "chance_level": Variable(
        ("cell",),
        "1",
        "metric of a network that has learned nothing",
        source="hornlib.data.parameters.DataParameters.chance",
        attributes={"kind": "number"},
    ),
    "selected_for": Variable(
        ("cell",),
        "1",
        "objective of the choice of tuned values; empty where no value is tuned",
        source="hornlib.grid.cell.Cell.selected_for",
        attributes={"kind": "string"},
    ),
    "forward_flops": Variable(
        ("cell",),
        "FLOP",
        "FLOPs of one forward pass of one example; of masked weights the connections at the end of training count",
        source="hornlib.grid.cell.Cell.cost",
        attributes={"kind": "integer"},
    ),
    "forward_products": Variable(
        ("cell",),
        "FLOP",
        "part of forward_flops in matrix products and convolutions",
        source="hornlib.grid.cell.Cell.cost",
        attributes={"kind": "integer"},
    ),
    "computed_forward_flops": Variable(
        ("cell",),
        "FLOP",
        "FLOPs that one forward pass of one example computes, the zeros of masked weights included",
        source="hornlib.grid.cell.Cell.computed_cost",
        attributes={"kind": "integer"},
    ),
}
"""Coordinates that every cell has beside its parameters; `kind` as in `hornlib.results.coordinates.Coordinate`."""

LABEL = Variable(
    ("cell",),
    "1",
    "readable name of the cell in its first sweep: the arm, and the values that vary within it",
    source="hornlib.grid.labels.labels_of",
)

SWEEP_COORDINATES: dict[str, Variable] = {
    "in_": Variable(
        ("cell",),
        "1",
        "whether the cell belongs to the sweep",
        source="hornlib.grid.grid.Sweep",
        attributes={"seeds": "seeds that the sweep wants"},
    ),
    "arm_": Variable(("cell",), "1", "arm of the sweep", source="hornlib.grid.grid.Sweep"),
    "label_in_": Variable(
        ("cell",), "1", "readable name of the cell in the sweep", source="hornlib.grid.labels.labels_of"
    ),
}
"""Prefix of a coordinate whose name ends with that of a sweep."""

_MEASURED = ("cell", "calibration_device")

CALIBRATED: dict[str, Variable] = {
    "step_time": Variable(
        _MEASURED,
        "s",
        "calibrated time of one training step of a lone lane",
        source="hornlib.calibration.timing.TimedLane.block",
        attributes={
            "estimator": "median over blocks of steps, the blocks of all shapes in random order; of one CPU thread its "
            "processor time, else the wall clock"
        },
    ),
    "step_time_kernel": Variable(
        _MEASURED,
        "1",
        "how the recurrence was computed in these steps: fused, loop and why, or none; empty if it was not recorded",
        source="hornlib.grid.routes.route_of",
    ),
    "step_time_bound": Variable(
        (*_MEASURED, "bound"),
        "s",
        "interval of the calibrated step time",
        source="hornlib.results.calibration_file.median_bounds",
        attributes={"interval": f"order statistics of the blocks, coverage at least {MIN_COVERAGE:.0%}"},
    ),
    "peak_memory": Variable(
        _MEASURED,
        "byte",
        "peak memory of one training step of a lone lane, without the data",
        source="hornlib.calibration.memory.peak_memory",
        attributes={
            "estimator": "largest of three steps, over all shapes that a structure may make. CUDA: torch's allocator. "
            "CPU: resident memory of a fresh process above what it had with torch and the data, without the network"
        },
    ),
}
"""What results.nc takes from calibration files."""

CALIBRATED_SECONDS = Variable(
    ("cell", "seed", "step", "calibration_device"),
    "s",
    "calibrated training time of a lone lane so far: every step at the calibrated time of its network's shape, without "
    "the time of a structure's decisions between steps; of the shapes between calibrated ones, see interpolated_steps",
    optional=True,
    source="hornlib.results.calibrated_seconds.calibrated_seconds",
)

INTERPOLATED_STEPS = Variable(
    ("cell", "seed"),
    "1",
    "number of training steps whose step time is interpolated linearly in forward FLOPs between calibrated shapes",
    optional=True,
    source="hornlib.results.calibrated_seconds.interpolated_steps",
)

_CHOSEN_BY = "hornlib.tuning.choice.choose"

CHOICES: dict[str, Variable] = {
    "selected_trial": Variable(("cell",), "1", "number of the chosen trial", source=_CHOSEN_BY),
    "chosen": Variable(("cell",), "1", "values of the chosen trial", source=_CHOSEN_BY),
    "at_edge": Variable(
        ("cell",),
        "1",
        "tuned parameters whose chosen value is the smallest or largest that was tried",
        source=_CHOSEN_BY,
    ),
    "tuning_trials": Variable(("cell",), "1", "number of trials of the arm", source=_CHOSEN_BY),
    "tuned_parameters": Variable(
        ("cell",), "1", "number of parameters that the trials of the arm vary", source=_CHOSEN_BY
    ),
    "tuning_finalists": Variable(
        ("cell",),
        "1",
        "number of trials that were trained again with fresh seeds before the choice",
        source="hornlib.tuning.choice.pick_finalists",
    ),
    "reference_metric": Variable(
        ("cell",),
        "1",
        "median final validation metric of the baseline over its tuning seeds",
        source="hornlib.tuning.choice.baseline_metric",
    ),
    "tuning_samples": Variable(
        ("cell",), "1", "number of training examples seen by all trials of the arm", source=_CHOSEN_BY
    ),
    "tuning_training_flops": Variable(
        ("cell",), "FLOP", "training FLOPs of all trials of the arm", source=_CHOSEN_BY
    ),
    "tuning_seconds": Variable(
        ("cell",),
        "s",
        "uncalibrated time: training time of all trials of the arm",
        source=_CHOSEN_BY,
    ),
    "trial_score": Variable(
        ("cell", "trial"),
        "1",
        "score of a trial: restricted mean samples to the target, or mean final validation metric",
        source=_CHOSEN_BY,
    ),
}
"""What results.nc takes from selection files; NaN, or "", for cells without tuned values."""


def _of_results(declared: Mapping[str, Variable]) -> dict[str, Variable]:
    return {name: variable._replace(dims=("cell", *variable.dims)) for name, variable in declared.items()}


def _of_run(variable: Variable) -> Variable:
    return variable._replace(dims=("cell", "seed", *variable.dims))


RESULTS_SECTIONS: dict[str, dict[str, Variable]] = {
    "Dimensions": {
        "cell": Variable(("cell",), "1", "name of the cell", source="hornlib.grid.cell.named"),
        "seed": RUN_VARIABLES["seed"],
        "step": RUN_VARIABLES["step"],
        "calibration_device": Variable(
            ("calibration_device",),
            "1",
            "device on which step times were measured",
            source="hornlib.calibration.calibrate.device_name",
        ),
        "bound": Variable(("bound",), "1", "end of the interval: low or high"),
        "layer": Variable(("layer",), "1", "index of the layer, 0 at the input", optional=True),
        "event": Variable(
            ("event",), "1", "index of the event among those of its run, in their order", optional=True
        ),
        "trial": Variable(
            ("trial",), "1", "number of the trial", source="hornlib.tuning.trials.trial_values"
        ),
    },
    "Coordinates of cells": {"label": LABEL, **CELL_PROPERTIES},
    "Learning curves": {**_of_results(CURVES), "samples": SAMPLES._replace(dims=("cell", "step"))},
    "Layers of networks that change": _of_results(
        {name: PROFILES[name] for name in (*GATHERED_PROFILES, "width")}
    ),
    "Events of networks whose units come and go": {
        **{name: _of_run(variable) for name, variable in EVENTS.items() if name != "event_seed"},
        "delay": DELAY,
    },
    "Last values": {
        f"final_{name}": curve._replace(
            dims=("cell", "seed"), long_name=f"{curve.long_name} at the last evaluation"
        )
        for name, curve in CURVES.items()
    },
    "Runs": {
        **_of_results(RUN_OUTCOMES),
        "status": Variable(
            ("cell", "seed"),
            "1",
            "how the run ended: complete, diverged, missing or unwanted",
            source="hornlib.results.results_file.ResultsWriter",
        ),
        **_of_results(PROVENANCE),
        "final_forward_flops": Variable(
            ("cell", "seed"),
            "FLOP",
            "FLOPs of one forward pass of one example by the network of the last evaluation",
            optional=True,
            source="hornlib.results.final_network.final_forward_flops",
        ),
    },
    "Calibrated times, after `hornlib calibrate`": {
        **CALIBRATED,
        "calibrated_seconds": CALIBRATED_SECONDS,
        "interpolated_steps": INTERPOLATED_STEPS,
    },
    "Tuning, of sweeps that tune": CHOICES,
}
"""Every variable of results.nc by heading, without those whose names depend on sweeps and parameters."""

RESULTS_VARIABLES: dict[str, Variable] = {
    name: variable for section in RESULTS_SECTIONS.values() for name, variable in section.items()
}


def check_run_variables(variables: Mapping[str, np.ndarray]) -> None:
    """Check names, shapes and the words of `status` and `event_kind` against `RUN_VARIABLES`.

    Args:
        variables: name -> array with the dimensions that `RUN_VARIABLES` declares, e.g. (seed, step).

    Raises:
        ValueError: a variable is missing, unknown or of a wrong shape.
    """
    missing = [
        name for name, variable in RUN_VARIABLES.items() if name not in variables and not variable.optional
    ]
    unknown = [name for name in variables if name not in RUN_VARIABLES]
    if missing or unknown:
        raise ValueError(
            f"a record lacks {missing} and has unknown curves {unknown}; valid: {', '.join(CURVES)}"
        )
    sizes = {dimension: len(variables[dimension]) for dimension in _CURVE}
    for name, values in variables.items():
        dims = RUN_VARIABLES[name].dims
        for dimension, length in zip(dims, values.shape, strict=False):
            sizes.setdefault(dimension, length)
        shape = tuple(sizes[dimension] for dimension in dims)
        if values.shape != shape:
            raise ValueError(f"{name} has the shape {values.shape} instead of {shape} {dims}")
    kinds = set(variables.get("event_kind", ()))
    if not kinds <= EVENT_KINDS.keys():
        raise ValueError(f"a kind of event is one of {', '.join(EVENT_KINDS)}, got {sorted(kinds)}")
    if not set(variables["status"]) <= {"complete", "diverged"}:
        raise ValueError(f"a status is complete or diverged, got {sorted(set(variables['status']))}")
