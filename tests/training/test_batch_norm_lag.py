"""Early learning of a CNN and of oscillators, judged by validation accuracy and by the training loss."""

import numpy as np
import pytest
import torch

from hornlib.data.loading import load
from hornlib.grid.cell import parse_specification
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk

MODELS = {
    "horn_cnn": {"name": "horn_cnn", "num_nodes": 8, "timesteps": 8},
    "cnn": {"name": "cnn", "channels": "8-16-32"},
}
STEPS, SEEDS, LEVEL, LOSS = 60, list(range(7)), 0.8, 0.8


def first_of_two(reached, steps):
    """Return the first of two evaluations in a row that reach a level, for every run."""
    confirmed = reached[:, :-1] & reached[:, 1:]
    return np.array([steps[np.argmax(run)] if run.any() else steps[-1] for run in confirmed])


@pytest.fixture(scope="module")
def runs():
    """Steps to the level by the product, by a route of our own, and to the training loss; by model."""
    found = {}
    for name, model in MODELS.items():
        training = {"steps": STEPS, "batch_size": 64, "learning_rate": 1e-2, "schedule": "constant"}
        cell = parse_specification({"data": {"name": "digits"}, "model": model, "training": training})
        splits, steps = load(cell.data, "cpu"), cell.training.evaluation_steps(cell.data.num_train)
        by_hand = []

        def judge(chunk, splits=splits, steps=steps, by_hand=by_hand):
            """All training examples in one batch in training mode, then evaluation with what the norms kept."""
            if chunk.step not in steps:
                return
            buffers = {key: value.clone() for key, value in chunk.lanes.buffers.items()}
            copies = chunk.lanes.with_buffers(buffers)
            copies.set_momentum(1.0)
            inputs = splits.train.inputs
            with torch.no_grad():
                copies.forward(inputs.expand(len(copies), *inputs.shape), training=True)
                logits = copies.forward(splits.validation.inputs, training=False).logits
            by_hand.append((logits.argmax(-1) == splits.validation.targets).double().mean(1).numpy())

        chunk = start_chunk(cell, SEEDS, torch.device("cpu"))
        train_chunk(chunk, splits, judge)
        curves = {key: value.numpy() for key, value in chunk.curves.items()}
        found[name] = {
            "product": first_of_two(curves["validation_metric"] >= LEVEL - 1e-9, steps),
            "by hand": first_of_two(np.stack(by_hand, 1) >= LEVEL - 1e-9, steps),
            "training loss": first_of_two(curves["training_loss"] <= LOSS, steps),
        }
    return found


@pytest.mark.slow
def test_precise_statistics_and_all_training_examples_give_equal_medians(runs):
    for times in runs.values():
        assert np.median(times["product"]) == np.median(times["by hand"])


@pytest.mark.slow
def test_the_ratio_of_early_accuracy_has_the_sign_of_the_ratio_of_training_losses(runs):
    """The training loss uses no running statistic, so that nobody can blame them for its order."""
    logs = {
        judged: np.mean(np.log(runs["horn_cnn"][judged] / runs["cnn"][judged]))
        for judged in ("product", "training loss")
    }
    assert logs["product"] > 0 and logs["training loss"] > 0, logs
