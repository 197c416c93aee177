"""Training FLOPs for matching: counted once on a built network, then stored in the user's cache folder.

Forward FLOPs have closed forms. A backward pass has none: its work depends on what autograd saves and skips. It is
therefore counted while it runs (`hornlib.models.flops.training_step_flops`). Only matches by `training_flops` and the
deviations that `hornlib plan` prints need it. The first count of a process loads torch.
"""

import hashlib
import json
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from hornlib.models.remembered_counts import cache_path, read_counts, remember_counts
from hornlib.parameters import ModelParameters, Task
from hornlib.parameters.structure import DensePart

__all__ = ["training_cache_file", "training_flops_per_example"]

COUNTING_CODE = ("models", "dynamics")
"""Folders of hornlib whose code decides the counts."""


def training_cache_file() -> Path | None:
    """Return `hornlib/training_counts.json` in the user's cache folder; None for a user without a home folder."""
    return cache_path("training_counts.json")


@lru_cache(maxsize=4096)
def training_flops_per_example(
    model: ModelParameters,
    task: Task,
    batch_size: int,
    update_rule: str,
    connections: tuple[tuple[str, int], ...] = (),
    dense: DensePart = "nothing",
) -> int:
    """Return the FLOPs of one training step (forward, loss, backward, update), divided by its examples and rounded.

    Args:
        model: the network, in the shape that it has before the first step.
        task: shapes of inputs and outputs.
        batch_size: examples of the step.
        update_rule: of the optimiser, a key of `hornlib.models.flops.UPDATE_FLOPS`.
        connections: masked weights, each with the number of its connections; other weights are dense.
        dense: what masked weights have besides; with moments the optimiser updates them too.
    """
    network = [model.canonical(), task.input_shape, task.num_outputs, batch_size, update_rule]
    masks = [connections, dense] if connections else []
    key = json.dumps([*network, *masks], sort_keys=True)
    remembered = read_counts(training_cache_file(), _code(), 1).get(key)
    if remembered is not None:
        return remembered[0]
    from hornlib.models.flops import training_step_flops  # loads torch

    flops = training_step_flops(model, task, batch_size, update_rule, dict(connections), dense)
    counted = round(flops.total / batch_size)
    remember_counts(training_cache_file(), _code(), key, [counted])
    return counted


@lru_cache(maxsize=1)
def _code() -> str:
    """Return a digest of all code that decides the counts: networks, counter, optimiser, torch."""
    package = files("hornlib")  # possibly within a zip file
    sources = [source for name in COUNTING_CODE for source in _sources(package / name)]
    text = b"\x1f".join(source.read_bytes() for source in sources) + version("torch").encode()
    return hashlib.sha256(text).hexdigest()[:16]


def _sources(place: Traversable) -> list[Traversable]:
    """Return a Python file, or all Python files below a folder, in the order of their names."""
    if place.is_file():
        return [place] if place.name.endswith(".py") else []
    inside = sorted(place.iterdir(), key=lambda entry: entry.name)
    return [source for entry in inside for source in _sources(entry)]
