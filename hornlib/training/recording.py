"""The records of a job's probes: taken at their moments, kept in checkpoints, handed to the dynamics file."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from hornlib.errors import ResourceError
from hornlib.results.dynamics_file import DYNAMICS_VARIABLES, DynamicsRecord, sizes_of
from hornlib.training.chunk import Chunk, Group
from hornlib.training.probing import Plan, Probe

__all__ = ["Numbers", "Recorder", "dynamics_record", "empty_numbers", "refuse_too_large"]

Numbers = dict[str, Tensor]
"""Variable -> (rows, probes, ...), float32, NaN where nothing was measured."""


def empty_numbers(plan: Plan, num_rows: int) -> Numbers:
    """Return the arrays of so many runs before their first probe."""
    sizes = sizes_of(num_rows, len(plan.steps), plan.layers, plan.run_on_steps)
    shapes = {
        name: [sizes[dimension] for dimension in probed.dims]
        for name, probed in DYNAMICS_VARIABLES.items()
        if set(probed.dims) <= set(sizes)
    }
    if plan.settings.states == "full":
        for layer in plan.layers:
            of_state = (len(layer.parts), layer.timesteps, plan.num_inputs, layer.num_units)
            shapes[f"states_{layer.name}"] = [num_rows, len(plan.steps), *of_state]
    return {name: torch.full(shape, torch.nan, dtype=torch.float32) for name, shape in shapes.items()}


class Recorder:
    """The probes of one chunk.

    Args:
        probe: what measures; None for nothing.
        num_rows: runs of the chunk.
        saved: arrays from a checkpoint.

    Attributes:
        numbers: what was measured so far, for the checkpoint.
    """

    def __init__(self, probe: Probe | None, num_rows: int, saved: Numbers) -> None:
        self.probe = probe
        self.numbers = {} if probe is None else _fitting(probe.plan, saved, num_rows)

    def after_step(self, chunk: Chunk) -> None:
        """Probe the lanes still training if this is a moment of the plan; before the first step too."""
        if self.probe is None or not self.probe.plan.layers or chunk.step not in self.probe.plan.steps:
            return
        for group in chunk.groups:
            if len(group.lanes):
                self._record(self.probe, group, chunk.step)

    def _record(self, probe: Probe, group: Group, step: int) -> None:
        plan = probe.plan
        moment, rows = plan.steps.index(step), group.lanes.rows
        places = {layer.name: place for place, layer in enumerate(plan.layers)}
        for key, values in probe.of(group.model).record(group.lanes, step).items():
            layer, _, name = key.rpartition("/")
            if name == "states":
                self.numbers[f"states_{layer}"][rows, moment] = values
            elif layer:
                of_layer = self.numbers[name][:, moment, places[layer]]
                if values.dim() > 1:  # a layer may have fewer time steps than another
                    of_layer = of_layer[:, : values.shape[1]]
                of_layer[rows] = values.float()
            else:
                self.numbers[name][rows, moment] = values.float()


def dynamics_record(
    plan: Plan,
    chunks: Sequence[tuple[Sequence[int], Numbers]],
    attributes: Mapping[str, str | int | float],
) -> DynamicsRecord:
    """Return what the dynamics file holds.

    Args:
        plan: what was recorded.
        chunks: seeds and arrays of each, in their order.
        attributes: provenance.
    """
    numbers = [_fitting(plan, found, len(seeds)) for seeds, found in chunks]
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


def refuse_too_large(plan: Plan, num_seeds: int, structure: str = "static") -> None:
    """Refuse full states that would not fit.

    Raises:
        ResourceError: they are larger than the setting allows, or of networks that a structure changes.
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


def _fitting(plan: Plan, saved: Numbers, num_rows: int) -> Numbers:
    """Return the saved arrays, or empty ones if they are of other settings: then what was probed is lost."""
    empty = empty_numbers(plan, num_rows)
    fits = {name: values.shape for name, values in saved.items()} == {
        name: values.shape for name, values in empty.items()
    }
    return saved if fits else empty
