"""Gradients through depth: ||dL/dy_1|| / ||dL/dy_L|| of plain, residual and fractional networks.

python docs/findings/gradient_flow.py            # some minutes
python docs/findings/gradient_flow.py --figure   # the figure alone, from the table
"""

import re
import sys
from pathlib import Path

import matplotlib
import numpy as np
import torch
from layer_gradients import gradient_flow, network_of_lane
from matplotlib.figure import Figure

from hornlib.data.loading import Splits, load
from hornlib.grid.cell import Cell, parse_specification
from hornlib.models.lanes import LaneGroup
from hornlib.training.chunk import start_chunk
from hornlib.training.evaluation import evaluated_lanes
from hornlib.training.loop import train_chunk

DEPTHS, SEEDS, STEPS, WIDTH = (6, 16, 32, 64), range(7), 200, 32
TRAINING = {
    "steps": STEPS,
    "batch_size": 64,
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "schedule": "constant",
}
NUM_EXAMPLES = 256
SHOWN = (1e-3, 1e6)
"""Ratios in the figure; those of the plain network leave it, and would squeeze the rest into a line."""

HEAD = f"""# Gradients through depth
||dL/dy_1|| / ||dL/dy_L||: how much of the gradient at the last layer arrives at the first. Below 1 it vanishes, above
it explodes. Handwritten digits, {WIDTH} nodes a layer, relu, no normalisation, L layers, the loss the mean
cross-entropy of {NUM_EXAMPLES} training examples. Median (quartiles) over {len(SEEDS)} seeds, at the first weights
and after {STEPS} steps of Adam (batch {TRAINING["batch_size"]}, learning rate {TRAINING["learning_rate"]:g}); the
last column is the test accuracy then, median over the seeds that did not diverge. "diverged" is the number of seeds
that have no ratio. In a Fractional-DNN (gamma = 0.5) the derivative with respect to y_l takes in what y_l does to
later steps through the history. One untuned learning rate for all: a description of these runs, no verdict on the
networks. Made by `python docs/findings/gradient_flow.py`.

![ratio of gradient norms over depth](gradient_flow.svg)

The plain network's ratios leave the figure at its lower edge; they stand in the table.
"""


def arms(depth: int) -> dict[str, dict[str, object]]:
    """Return the compared models at one depth, by label."""
    shared = {"num_nodes": WIDTH, "num_layers": depth, "readout_norm": "none"}
    found: dict[str, dict[str, object]] = {
        "FNN": {"name": "mlp", "hidden_nodes": "-".join([str(WIDTH)] * depth), "readout_norm": "none"}
    }
    for label, name, learned in (
        ("ResNet", "time_resnet", "learned"),
        ("Fractional-DNN", "fractional_dnn", "projected"),
    ):
        found[f"{label}, tau fixed, T = 1"] = {"name": name, "layer_steps": "fixed", **shared}
        found[f"{label}, tau fixed, T = L"] = {
            "name": name,
            "layer_steps": "fixed",
            "initial_horizon": float(depth),
            **shared,
        }
        found[f"{label}, tau learned from T = 1"] = {"name": name, "layer_steps": learned, **shared}
    return found


def measure(cell: Cell, splits: Splits) -> dict[str, np.ndarray]:
    """Return the ratio of every seed before and after training, NaN where it diverged, and the test accuracies."""
    chunk = start_chunk(cell, list(SEEDS), torch.device("cpu"))
    before = ratios(chunk.lanes, cell, splits)
    train_chunk(chunk, splits)
    after = ratios(chunk.lanes, cell, splits) if chunk.training_rows else np.full(len(SEEDS), np.nan)
    return {"before": before, "after": after, "accuracy": chunk.curves["test_metric"][:, -1].numpy()}


def ratios(lanes: LaneGroup, cell: Cell, splits: Splits) -> np.ndarray:
    """Return the ratio of every seed that still trains, in the seeds' places."""
    inputs, targets = splits.train.inputs[:NUM_EXAMPLES].double(), splits.train.targets[:NUM_EXAMPLES]
    found = np.full(len(SEEDS), np.nan)
    lanes = evaluated_lanes(lanes, cell.training, splits.train)
    for lane, row in enumerate(lanes.rows):
        network = network_of_lane(
            lanes, lane, cell.model, cell.task()
        ).double()  # so small ones do not underflow
        found[row] = gradient_flow(network, inputs, targets)
    return found


def spread(values: np.ndarray) -> str:
    """Write median (lower quartile to upper quartile) of the finite values, and how many are not."""
    finite = values[np.isfinite(values)]
    diverged = len(values) - len(finite)
    if not len(finite):
        return f"{diverged} diverged"
    low, middle, high = np.percentile(finite, (25, 50, 75))
    return f"{middle:.2g} ({low:.2g} to {high:.2g})" + (f"; {diverged} diverged" if diverged else "")


def table(found: dict[tuple[str, int], dict[str, np.ndarray]]) -> str:
    """Write a row a model and depth."""
    lines = [
        "| network | depth | at the start | after training | test accuracy |",
        "|---|---:|---:|---:|---:|",
    ]
    for (label, depth), own in found.items():
        accuracy = np.nanmedian(own["accuracy"]) if np.isfinite(own["accuracy"]).any() else np.nan
        reached = f"{accuracy:.3f}" if np.isfinite(accuracy) else "-"
        lines.append(f"| {label} | {depth} | {spread(own['before'])} | {spread(own['after'])} | {reached} |")
    return "\n".join(lines) + "\n"


def read(text: str) -> dict[str, dict[int, list[tuple[float, ...]]]]:
    """Return (median, quartiles) at the start and after training, by network and depth, from the table."""
    found: dict[str, dict[int, list[tuple[float, ...]]]] = {}
    for label, depth, *spreads in re.findall(r"^\| (.+?) \| (\d+) \| (.+?) \| (.+?) \|", text, re.MULTILINE):
        numbers = [re.match(r"(\S+) \((\S+) to (\S+)\)", told) for told in spreads]
        found.setdefault(label, {})[int(depth)] = [
            (np.nan,) * 3 if told is None else tuple(map(float, told.groups())) for told in numbers
        ]
    return found


def draw(found: dict[str, dict[int, list[tuple[float, ...]]]]) -> Figure:
    """Draw medians with quartiles over depth, before and after training."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    titles = "at the start", f"after {STEPS} steps"
    for when, (axes, title) in enumerate(zip(figure.subplots(1, 2, sharey=True), titles, strict=True)):
        for number, (label, by_depth) in enumerate(found.items()):
            middle, low, high = np.array([spreads[when] for spreads in by_depth.values()]).T
            place = np.array(list(by_depth)) * 1.02 ** (
                number - 3
            )  # side by side, so that bars can be told apart
            style = "-" if "ResNet" in label else "--" if "Fractional" in label else ":"
            axes.errorbar(
                place, middle, (middle - low, high - middle), fmt=f"o{style}", label=label, capsize=2
            )
        axes.axhline(1, color="black", linewidth=0.6)
        axes.set(xscale="log", yscale="log", xlabel="layers", title=title, ylim=SHOWN)
        axes.set_xticks(DEPTHS, [str(depth) for depth in DEPTHS])
        axes.minorticks_off()
    figure.axes[0].set_ylabel("||dL/dy_1|| / ||dL/dy_L||")
    handles = figure.axes[0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside right center", fontsize=8, frameon=False)
    return figure


def measure_all() -> str:
    """Train and measure every network; return the text with the table."""
    torch.set_num_threads(1)
    found = {}
    for depth in DEPTHS:
        for label, model in arms(depth).items():
            cell = parse_specification({"data": {"name": "digits"}, "model": model, "training": TRAINING})
            found[label, depth] = measure(cell, load(cell.data, "cpu"))
            print(label, depth, spread(found[label, depth]["after"]), flush=True)
    order = list(arms(1))
    return f"{HEAD}\n{table(dict(sorted(found.items(), key=lambda item: order.index(item[0][0]))))}"


def main() -> None:
    """Write table and figure beside this file."""
    table_path = Path(__file__).with_suffix(".md")
    if sys.argv[1:] != ["--figure"]:
        table_path.write_text(measure_all())
    with matplotlib.rc_context({"svg.hashsalt": "hornlib", "svg.fonttype": "none", "font.size": 9}):
        figure = draw(read(table_path.read_text()))
        figure.savefig(table_path.with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
