"""Non-zeros and locality of trained shallow networks, measured on their kept weights and stored as a table."""

import math
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from hornlib.importance.locality import anywhere, exchanged, locality
from hornlib.models.shallow.network import LocalConnections
from hornlib.models.shallow.parameters import ShallowParameters
from hornlib.parameters import Task
from hornlib.randomness import derive_seed
from hornlib.training.kept_weights import KeptRun, read_weights_file

__all__ = ["LARGEST", "WINDOWS", "largest", "weights_table", "windows"]

SPARSE, DENSE = "s_fc_beta_50", ("s_fc_sgd", "s_fc_momentum")
"""The arm whose connections are asked for, and arms without a zero, of which the largest weights stand beside it."""

LARGEST = "largest of "
"""Begins the name of a row of as many weights of a dense arm as the sparse one has."""

WINDOWS = "windows of S-LOCAL"
"""Name of the row of what a convolution connects."""

DRAWS = {"anywhere": anywhere, "exchanged": exchanged}
"""Column suffix -> what random connections are."""


def weights_table(folder: Path, arms: Mapping[str, str]) -> pd.DataFrame:
    """Return a row for every run, and for every set of connections whose locality is measured.

    Columns: arm, seed; weights and nonzeros of the whole network; connections of the first layer; units that have at
    least two; index, percentile and units_above for each of `DRAWS`, NaN where locality is not measured.

    Args:
        folder: of the weights files.
        arms: name of a cell -> its arm.
    """
    rows, first_weights = [], {}
    task = None
    for path in sorted(folder.glob("*.weights")):
        cell, _, runs = read_weights_file(path)
        if cell.name not in arms or not isinstance(cell.model, ShallowParameters):
            continue
        arm, task = arms[cell.name], cell.task()
        for run in runs:
            first = run.parameters["first.weight"].numpy()
            row = {"arm": arm, "seed": run.seed, **_counts(run), "connections": np.count_nonzero(first)}
            if cell.model.connectivity == "full":
                first_weights[arm, run.seed] = first.reshape(-1, *task.input_shape)
                row |= _locality(first_weights[arm, run.seed] != 0, run.seed)
            rows.append(row)
    rows += _controls(first_weights)
    if task is not None:
        masks = windows(ShallowParameters(connectivity="local"), task)
        rows.append({"arm": WINDOWS, "seed": 0, "connections": masks.sum(), **_locality(masks, 0)})
    return pd.DataFrame(rows)


def largest(weights: np.ndarray, number: int) -> np.ndarray:
    """Return where the weights of the largest magnitude are, of the shape of the weights, bool.

    Args:
        weights: of a layer.
        number: of those that are wanted; equal magnitudes are told apart by their places.
    """
    order = np.argsort(-np.abs(weights), axis=None, kind="stable")
    mask = np.zeros(weights.size, bool)
    mask[order[:number]] = True
    return mask.reshape(weights.shape)


def windows(model: ShallowParameters, task: Task) -> np.ndarray:
    """Return the connections of S-LOCAL as masks over the image, (units, channels, height, width) bool.

    A unit reads a pixel if its patch of the image with this pixel alone is not 0.

    Args:
        model: with connectivity: local.
        task: shape of the image.
    """
    pixels = math.prod(task.input_shape)
    patches = LocalConnections(model, task).patches(torch.eye(pixels).view(pixels, *task.input_shape))
    reads = (patches != 0).any(2).numpy()  # (positions, pixels)
    return np.tile(reads, (model.num_channels, 1)).reshape(-1, *task.input_shape)


def _counts(run: KeptRun) -> dict[str, int]:
    """Return the numbers of entries of all matrices and kernels, and of those that are not 0."""
    weights = [tensor for tensor in run.parameters.values() if tensor.dim() > 1]
    return {
        "weights": sum(tensor.numel() for tensor in weights),
        "nonzeros": sum(int(tensor.count_nonzero()) for tensor in weights),
    }


def _locality(masks: np.ndarray, seed: int) -> dict[str, float]:
    """Return the columns of locality of a layer's connections, (units, channels, height, width) bool."""
    columns: dict[str, float] = {}
    for name, draw in DRAWS.items():
        generator = np.random.default_rng(derive_seed("locality", seed))
        measured = locality(masks, draw, generator)
        columns |= {
            "units": measured.num_units,
            f"index_{name}": measured.locality_index,
            f"percentile_{name}": measured.percentile,
            f"units_above_{name}": measured.units_above,
        }
    return columns


def _controls(first_weights: Mapping[tuple[str, int], np.ndarray]) -> Iterator[dict[str, object]]:
    """Yield the rows of the largest weights of dense runs, as many as the sparse run of the same seed has.

    Args:
        first_weights: arm and seed -> weights of the first layer, (units, channels, height, width).
    """
    for (arm, seed), weights in first_weights.items():
        sparse = first_weights.get((SPARSE, seed))
        if arm in DENSE and sparse is not None:
            masks = largest(weights, np.count_nonzero(sparse))
            yield {
                "arm": f"{LARGEST}{arm}",
                "seed": seed,
                "connections": masks.sum(),
                **_locality(masks, seed),
            }
