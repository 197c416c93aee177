"""Arrays of a job's probes: filled while it trains, saved in checkpoints, written to the dynamics file."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hornlib.errors import ResourceError
from hornlib.results.dynamics_file import DYNAMICS_VARIABLES, DynamicsRecord, sizes_of
from hornlib.training.chunk import Chunk, Group
from hornlib.training.probing import Probe, ProbePlan

__all__ = ["Numbers", "Recorder", "dynamics_record", "empty_numbers", "refuse_too_large"]

Numbers = dict[str, Tensor]
"""Variable -> float32 array (rows, probes, ...), NaN where nothing was measured."""


def empty_numbers(plan: ProbePlan, num_rows: int) -> Numbers:
    """Return the arrays before the first probe, all NaN.

    Args:
        plan: what is recorded.
        num_rows: number of runs.
    """
    sizes = sizes_of(num_rows, len(plan.steps), plan.layers, plan.run_on_steps)
    shapes = {
        name: [sizes[dimension] for dimension in probed.dims]
        for name, probed in DYNAMICS_VARIABLES.items()
        if set(probed.dims) <= set(sizes)
    }
    if plan.settings.states == "full":
        for layer in plan.layers:
            state_shape = (len(layer.parts), layer.timesteps, plan.num_inputs, layer.num_units)
            shapes[f"states_{layer.name}"] = [num_rows, len(plan.steps), *state_shape]
    return {name: torch.full(shape, torch.nan, dtype=torch.float32) for name, shape in shapes.items()}


class Recorder:
    """The probes of one chunk.

    Args:
        probe: takes the measurements; None: nothing is measured.
        num_rows: number of runs of the chunk.
        saved: arrays from a checkpoint; empty without one.

    Attributes:
        numbers: all measurements up to now.
    """

    def __init__(self, probe: Probe | None, num_rows: int, saved: Numbers) -> None:
        self.probe = probe
        self.numbers = {} if probe is None else _fitting(probe.plan, saved, num_rows)

    def after_step(self, chunk: Chunk) -> None:
        """Probe the lanes that still train if the plan names this step. It may name step 0."""
        if self.probe is None or not self.probe.plan.layers or chunk.step not in self.probe.plan.steps:
            return
        for group in chunk.groups:
            if len(group.lanes):
                self._record(self.probe, group, chunk.step)

    def _record(self, probe: Probe, group: Group, step: int) -> None:
        plan = probe.plan
        moment, rows = plan.steps.index(step), group.lanes.rows
        layer_index = {layer.name: index for index, layer in enumerate(plan.layers)}
        for key, values in probe.of(group.model).record(group.lanes, step, group.evaluated).items():
            layer, _, name = key.rpartition("/")
            if name == "states":
                self.numbers[f"states_{layer}"][rows, moment] = values
            elif layer:
                layer_numbers = self.numbers[name][:, moment, layer_index[layer]]
                if values.dim() > 1:  # a layer may have fewer time steps than another
                    layer_numbers = layer_numbers[:, : values.shape[1]]
                layer_numbers[rows] = values.float()
            else:
                self.numbers[name][rows, moment] = values.float()


def dynamics_record(
    plan: ProbePlan,
    chunks: Sequence[tuple[Sequence[int], Numbers]],
    attributes: Mapping[str, str | int | float],
) -> DynamicsRecord:
    """Return the content of the dynamics file.

    Args:
        plan: what was recorded.
        chunks: seeds and arrays of each chunk, in the order of the seeds.
        attributes: provenance of the file.
    """
    numbers = [_fitting(plan, arrays, len(seeds)) for seeds, arrays in chunks]
    settings: dict[str, str | int | float] = {
        "probe_inputs": plan.num_inputs,
        "run_on_inputs": min(plan.settings.run_on_inputs, plan.num_inputs),
        "run_on": "every layer by itself from its state at T, its drive of the last time step held",
        "normalisation": "batch norm statistics of evaluations (training.batch_norm_statistics)",
    }
    if not plan.layers:
        settings["absent"] = "the inside of this network is not probed"
    return DynamicsRecord(
        [seed for seeds, _ in chunks for seed in seeds],
        plan.steps,
        plan.layers,
        plan.run_on_steps,
        {name: torch.cat([part[name] for part in numbers]).numpy() for name in numbers[0]},
        {**attributes, **settings},
    )


def refuse_too_large(plan: ProbePlan, num_seeds: int, structure: str = "static") -> None:
    """Refuse to record full states that would be too large.

    Args:
        plan: what is recorded.
        num_seeds: number of runs of the job.
        structure: name of the cell's structure.

    Raises:
        ResourceError: the states are larger than the setting allows, or a structure changes the networks.
    """
    if plan.settings.states == "full" and structure != "static":
        raise ResourceError(
            f"probes.states: full needs networks that keep their shape, and structure: {structure} changes them; "
            "give none"
        )
    megabytes = plan.full_bytes(num_seeds) / 1e6
    if plan.settings.states == "full" and megabytes > plan.settings.most_megabytes:
        raise ResourceError(
            f"probes: full states of this job take {megabytes:,.0f} MB, in memory, in every checkpoint and in the "
            f"dynamics file, and most_megabytes is {plan.settings.most_megabytes:g}; lower probes.inputs, "
            "probes.moments or per_job, or raise probes.most_megabytes"
        )


def _fitting(plan: ProbePlan, saved: Numbers, num_rows: int) -> Numbers:
    """Return the saved arrays, or empty arrays if the saved ones were made with other settings."""
    empty = empty_numbers(plan, num_rows)
    fits = {name: values.shape for name, values in saved.items()} == {
        name: values.shape for name, values in empty.items()
    }
    return saved if fits else empty
