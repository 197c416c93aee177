"""The FLOPs that a look counts are those that run: every rule, trigger and place beside a counter of operations."""

import pytest
import torch

from hornlib.data.loading import load
from hornlib.grid.cell import parse_specification
from hornlib.models.operations import PRODUCTS, WorkCounter
from hornlib.structures.growth.places import PLACES
from hornlib.structures.growth.rule_values import LOOKING_RULES
from hornlib.structures.growth.rules import RULES
from hornlib.structures.growth.triggers import TRIGGERS
from hornlib.training.batches import Batches
from hornlib.training.chunk import start_chunk
from hornlib.training.restructuring import restructure, structure_of

CPU = torch.device("cpu")

SIZES = {
    "passes": ({"name": "teacher_student", "input_scaling": "raw"}, "8-8", 200),
    "matrices": ({"name": "digits", "train_subset": 400}, "40-40", 4),
}
"""Data, nodes and batch size: passes over batches are most of the work, or products and decompositions of matrices."""

FACTORS = {"when": TRIGGERS, "place": PLACES, "rule": RULES}

CHOICES = [(factor, choice) for factor, table in FACTORS.items() for choice in table]

LOOKS = (*LOOKING_RULES, "activation_rank", "weight_rank", "singular_value", "largest_singular_value")
"""Choices that take work. All others draw or compare some numbers, which is not counted."""


DRAWS = {"passes": 3_000, "matrices": 50_000}
"""Elementwise FLOPs of a growth that takes no look, at most."""

BOUNDS = {"passes": (0.9, 1.6), "matrices": (0.75, 1.1)}
"""Smallest and largest ratio of the FLOPs that are counted to those that run."""


@pytest.fixture
def _decompositions_count(monkeypatch):
    """Let the counter count eigenvalues and eigenvectors, as in Golub and Van Loan, section 8.3.

    Within the counter, torch computes eigenvectors where it is asked for eigenvalues alone.
    """
    eigenvalues, cubes = torch.linalg.eigvalsh, [9]

    def eigenvalues_alone(matrix):
        cubes.append(4 / 3)
        try:
            return eigenvalues(matrix)
        finally:
            cubes.pop()

    def of_eigenvectors(out, matrix, *options):
        return int(cubes[-1] * matrix.numel() * matrix.shape[-1])

    monkeypatch.setattr(torch.linalg, "eigvalsh", eigenvalues_alone)
    monkeypatch.setitem(PRODUCTS, "_linalg_eigh", of_eigenvectors)


def work(size, **structure):
    """Return the FLOPs of one look that are counted, and those that run."""
    data, nodes, batch_size = SIZES[size]
    cell = parse_specification(
        {
            "data": {**data, "validation": 0.2},
            "model": {"name": "mlp", "hidden_nodes": nodes, "activation": "relu_one", "readout_norm": "none"},
            "structure": {"name": "growth", "start_step": 0, "times": 1, **structure},
            "training": {"epochs": 20, "batch_size": batch_size, "optimizer": "sgd"},
        }
    )
    chunk = start_chunk(cell, [0], CPU)
    batches = Batches(chunk, load(cell.data, CPU).train)
    with WorkCounter() as counter:
        restructure(chunk, structure_of(cell), batches)
    return int(chunk.flops[0]), counter.products + counter.elementwise


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("factor", "choice"), CHOICES)
@pytest.mark.usefixtures("_decompositions_count")
def test_the_work_that_is_counted_is_the_work_that_runs(factor, choice, size):
    """A pass counts the gradients of all weights, though a look at a matrix does without them.

    What is not counted is elementwise: draws, lengths, Adam's steps, copies of tensors.
    """
    structure = {"rule": "gaussian", factor: choice}
    if choice == "singular_value":
        structure["gradient_ratio"] = 1e-6
    counted, ran = work(size, **structure)
    if choice in LOOKS:
        least, most = BOUNDS[size]
        assert least * ran < counted + DRAWS[size] and counted < most * ran
    else:
        assert counted == 0 and ran < DRAWS[size]
