"""The published Fractional-DNN with learned steps: its released code leaves out what tau does to the history's weights.

Trains the cells `fractional_learned` (T = 1, no penalty) of the published grid with the weights a_{j,k} detached from
tau, as the released code computes them, and sets their test accuracies beside the published ones.

HORNLIB_DATA=<folder> python docs/findings/fractional_detached.py --seeds 3 --out docs/findings/fractional_detached.md
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from tables import write_below_mark
from time_variable_published import EPOCHS, PUBLISHED, READING
from torch import Tensor

from hornlib.data.loading import load
from hornlib.dynamics.fractional import history_weights
from hornlib.grid import read_grid
from hornlib.models.time_variable import network
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk

CONFIG = Path(__file__).resolve().parents[2] / "config" / "time_variable.yaml"


def detached(steps: Tensor, fractional_order: float) -> Tensor:
    """Return the weights of the history, without their gradient with respect to tau."""
    return history_weights(steps.detach(), fractional_order)


def main() -> None:
    """Train, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    network.history_weights = detached
    cells = [
        cell
        for cell in read_grid([CONFIG]).cells.values()
        if cell.model.name == "fractional_dnn"
        and cell.data.name in ("mnist", "fashion_mnist")
        and cell.training.epochs == 25
        and (cell.model.layer_steps, cell.model.last_step) == ("projected", "free")
        and (cell.model.initial_horizon, cell.model.l1_penalty, cell.model.horizon_penalty) == (1, 0, 0)
    ]
    epochs = EPOCHS[:4]
    lines = [
        f"n = {arguments.seeds} seeds; mean ± standard deviation, the published value in brackets, ** outside mean ± "
        "(3 sd sqrt((n + 1)/n) + .005).",
        "",
        "| dataset | " + " | ".join(f"epoch {epoch}" for epoch in epochs) + " | steps at the end, mean |",
        "|---|" + "---:|" * (len(epochs) + 1),
    ]
    for cell in cells:
        splits = load(cell.data, "cpu")
        curves, steps = [], []
        for seed in range(arguments.seeds):
            chunk = start_chunk(cell, [seed], torch.device("cpu"))
            train_chunk(chunk, splits)
            evaluated = cell.training.evaluation_steps(cell.data.num_train)
            per_epoch = cell.training.steps_per_epoch(cell.data.num_train)
            columns = [evaluated.index(epoch * per_epoch) for epoch in epochs]
            curves.append(chunk.curves["test_metric"][0, columns].numpy())
            steps.append(chunk.groups[0].lanes.layer_steps()[0].numpy())
        found = np.array(curves)
        allowed = 3 * found.std(0, ddof=1) * np.sqrt((len(found) + 1) / len(found)) + READING
        told = PUBLISHED[cell.data.name, "fractional_learned"]
        words = [
            f"{mean:.3f} ± {sd:.3f} ({value:.3f}{'' if abs(value - mean) <= room else ' **'})"
            for mean, sd, value, room in zip(found.mean(0), found.std(0, ddof=1), told, allowed, strict=False)
        ]
        ends = ", ".join(f"{step:.2g}" for step in np.mean(steps, 0))
        lines.append(f"| {cell.data.name} | " + " | ".join(words) + f" | {ends} |")
        print(lines[-1], flush=True)
    title = "The released Fractional-DNN's steps"
    write_below_mark(arguments.out, title, "docs/findings/fractional_detached.py", lines)


if __name__ == "__main__":
    main()
