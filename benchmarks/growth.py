"""Growth: an event in forward-backward passes, both routes to GradMax's matrix, lanes that grow, and many shapes.

`python benchmarks/growth.py [--quick]` writes benchmarks/growth.md. `--only TEXT` prints the rows whose label or
section contains the text. The arms of a row take turns; a ratio is the median over rounds of the ratio within a round,
with its quartiles. Times are processor times of this process. Examples are random numbers.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from rounds import Row, busy_lines, line, measured

from hornlib.calibration.timing import FirstBatch, random_examples
from hornlib.data.loading import Split, Splits
from hornlib.grid.cell import Cell, parse_specification
from hornlib.kernels.library import cpu_model
from hornlib.models.build import build_network
from hornlib.models.operations import training_work
from hornlib.parameters import ModelParameters, Task
from hornlib.structures.growth.look import GrowthLook
from hornlib.structures.growth.parameters import GrowthParameters
from hornlib.structures.growth.trial import virtual_matrix
from hornlib.training.chunk import Chunk, start_chunk
from hornlib.training.devices import keep_freed_memory
from hornlib.training.loop import train_chunk
from hornlib.training.restructuring import restructure, structure_of, view_of

CPU = torch.device("cpu")
ROUNDS, SECONDS = 15, 20.0
"""Of a row: rounds at most, and processor time at most (but three rounds are always measured)."""

NUM_SHAPES = 150
LANES = 7

MLP = {"name": "mlp", "activation": "relu_one", "readout_norm": "none"}
VGG = {"name": "vgg"}


def cell_of(model: dict, data: str, steps: int = 1000, batch: int = 128, **structure: object) -> Cell:
    """Return a cell of a growing network under SGD with momentum.

    Args:
        model: its values.
        data: name of the dataset whose shapes the examples have.
        steps: of the training.
        batch: examples of a step.
        structure: values of growth; without any, the network is static.
    """
    training = {"steps": steps, "batch_size": batch, "optimizer": "sgd", "learning_rate": 1e-3}
    named = {"name": "growth", **structure} if structure else {"name": "static"}
    return parse_specification(
        {
            "data": {"name": data, "train_subset": 2000},
            "model": model,
            "structure": named,
            "training": training,
        }
    )


class Event:
    """Growth of all layers of some lanes before the first step, beside a forward-backward pass.

    Args:
        model: values of the network.
        data: name of the dataset.
        rule: how new units start.
        lanes: number of lanes.
    """

    def __init__(self, model: dict, data: str, rule: str, lanes: int = LANES) -> None:
        self.cell = cell_of(model, data, rule=rule, start_step=0, every_steps=100, times=1)
        self.examples, self.lanes = random_examples(self.cell, CPU), lanes
        self.structure = structure_of(self.cell)
        assert isinstance(self.cell.structure, GrowthParameters)
        self.parameters = self.cell.structure

    def started(self) -> tuple[Chunk, FirstBatch]:
        """Return new lanes and their batches."""
        chunk = start_chunk(self.cell, range(self.lanes), CPU)
        return chunk, FirstBatch(chunk, self.examples)

    def growth(self) -> float:
        """Return the seconds of the event."""
        chunk, batches = self.started()
        assert self.structure is not None
        started = time.process_time()
        restructure(chunk, self.structure, batches)
        return time.process_time() - started

    def gradients(self) -> float:
        """Return the seconds of a forward-backward pass of all lanes."""
        chunk, batches = self.started()
        view = view_of(chunk, chunk.groups[0], batches)
        started = time.process_time()
        view.coming_gradients()
        return time.process_time() - started

    def route(self, layer: int, is_virtual: bool) -> float:
        """Return the seconds of GradMax's matrix of a layer.

        Args:
            layer: position in `units()`.
            is_virtual: by virtual units; else by unfolded inputs.
        """
        chunk, batches = self.started()
        look = GrowthLook(view_of(chunk, chunk.groups[0], batches), self.parameters)
        started = time.process_time()
        if is_virtual:
            virtual_matrix(look, layer)
        else:
            look.matrices([layer])
        return time.process_time() - started


def events() -> Iterator[tuple[str, Callable[[str], Row]]]:
    """Yield the networks of the findings, each with the events of several rules beside a pass."""
    networks = [
        ("mlp 784-16-16", {**MLP, "hidden_nodes": "16-16"}, "mnist"),
        ("mlp 784-60-60", {**MLP, "hidden_nodes": "60-60"}, "mnist"),
        ("vgg11, 1/16 of the widths", {**VGG, "channels": "4-8-16-16-32-32-32-32"}, "cifar10"),
        ("vgg11, 15/64 of the widths", {**VGG, "channels": "15-30-60-60-120-120-120-120"}, "cifar10"),
    ]
    for label, model, data in networks:

        def row(label: str, model: dict = model, data: str = data) -> Row:
            event = Event(model, data, "gradmax", LANES if data == "mnist" else 3)
            rivals = {
                rule: Event(model, data, rule, event.lanes).growth for rule in ("gaussian", "tiny", "firefly")
            }
            return Row(label, {"pass": event.gradients, "gradmax": event.growth, **rivals})

        yield label, row


def routes() -> Iterator[tuple[str, Callable[[str], Row]]]:
    """Yield layers whose matrix is computed by both routes, over width, kernel and stride."""
    cases = [
        ("fully connected, 16 to 16 nodes", {**MLP, "hidden_nodes": "16-16"}, "mnist", 0),
        ("fully connected, 64 to 64 nodes", {**MLP, "hidden_nodes": "64-64"}, "mnist", 0),
        ("3x3, 8 to 8 channels, strides 1, 1", {**VGG, "channels": "8-8", "strides": "1-1"}, "cifar10", 0),
        ("3x3, 8 to 8 channels, strides 1, 2", {**VGG, "channels": "8-8", "strides": "1-2"}, "cifar10", 0),
        ("3x3, 8 to 8 channels, strides 2, 1", {**VGG, "channels": "8-8", "strides": "2-1"}, "cifar10", 0),
        ("3x3, 8 to 8 channels, strides 2, 2", {**VGG, "channels": "8-8", "strides": "2-2"}, "cifar10", 0),
        (
            "3x3, 32 to 32 channels, strides 1, 2",
            {**VGG, "channels": "32-32", "strides": "1-2"},
            "cifar10",
            0,
        ),
        (
            "3x3 before a flattening, 8 channels",
            {**VGG, "channels": "8-8", "strides": "2-2", "output_layer": "flatten"},
            "cifar10",
            1,
        ),
    ]
    for label, model, data, layer in cases:

        def row(label: str, model: dict = model, data: str = data, layer: int = layer) -> Row:
            event = Event(model, data, "gradmax", 3)
            return Row(
                label,
                {
                    "pass": event.gradients,
                    "unfolded": lambda: event.route(layer, False),
                    "virtual": lambda: event.route(layer, True),
                },
            )

        yield label, row


def side_by_side() -> Iterator[tuple[str, Callable[[str], Row]]]:
    """Yield trainings of seven lanes together, beside one after another."""
    growths = {
        "grow alike, gradmax": {"rule": "gradmax", "final_factor": 4},
        "grow alike, gaussian": {"rule": "gaussian", "final_factor": 4},
        "scattered: a random layer at each event": {
            "rule": "gradmax",
            "final_factor": 4,
            "place": "random",
            "every_share": 0.02,
        },
        "scattered: activation rank": {"rule": "gradmax", "final_factor": 4, "when": "activation_rank"},
    }
    for label, structure in growths.items():

        def row(label: str, structure: dict = structure) -> Row:
            cell = cell_of({**MLP, "hidden_nodes": "16-16"}, "mnist", steps=600, **structure)
            examples = random_examples(cell, CPU)
            some = Split(examples.inputs[:64], examples.targets[:64])
            splits = Splits(_enough(examples, cell.data.num_train), some, some)

            def together(seeds: range) -> float:
                chunk = start_chunk(cell, seeds, CPU)
                started = time.process_time()
                train_chunk(chunk, splits)
                return time.process_time() - started

            return Row(
                label,
                {
                    "one after another": lambda: sum(
                        together(range(seed, seed + 1)) for seed in range(LANES)
                    ),
                    "side by side": lambda: together(range(LANES)),
                },
            )

        yield label, row


def _enough(examples: Split, number: int) -> Split:
    """Return as many examples as a training part has, some of them several times."""
    rows = torch.arange(number) % len(examples.targets)
    return Split(examples.inputs[rows], examples.targets[rows])


def shapes(quick: bool) -> Iterator[str]:
    """Yield the seconds of a process that builds and counts 150 shapes; `quick`: 5 shapes."""
    mlp = parse_specification({"data": {"name": "mnist"}, "model": {**MLP, "hidden_nodes": "16-16"}})
    vgg = parse_specification({"data": {"name": "cifar10"}, "model": VGG})
    number = 5 if quick else NUM_SHAPES
    widened: dict[str, tuple[Task, list[ModelParameters]]] = {
        "mlp 784-16-16 to 784-64-64": (
            mlp.task(),
            [mlp.model.with_units(0, 16 + step // 4).with_units(1, 16 + step // 3) for step in range(number)],
        ),
        "vgg11, 1/16 to 1/4 of the widths": (
            vgg.task(),
            [vgg.model.with_width(32 + step) for step in range(number)],
        ),
    }
    for label, (task, models) in widened.items():
        started = time.process_time()
        for model in models:
            training_work(build_network(model, task, seed=0), task)
        seconds = time.process_time() - started
        yield f"| {label} | {len(models)} | {seconds:.2f} | {seconds / len(models) * NUM_SHAPES:.1f} |"


SECTIONS = (
    (
        "A growth event of all layers, in forward-backward passes",
        "Batch 128; 7 lanes of the mlp, 3 of the vgg; the pass is one of all lanes. Reach: 20 for gradmax. Firefly "
        "takes 100 steps of a search.",
        ["network", "pass, ms", "gradmax", "gaussian", "tiny", "firefly"],
        events,
    ),
    (
        "Both routes to the matrix of a layer, in forward-backward passes",
        "Batch 128, 3 lanes. Looks run the unfolded route; the virtual one is its test.",
        ["layer", "pass, ms", "unfolded", "virtual units"],
        routes,
    ),
    (
        "Seven lanes side by side, over one after another",
        "784-16-16 to 784-64-64, 600 steps of 128 examples with evaluations. Reach: .4 where lanes grow alike, 1.05 "
        "where they are scattered. Lanes share the overhead of a step, not its arithmetic: products and "
        "their gradients already take about a third of a lone lane's step.",
        ["lanes", "one after another, ms", "side by side"],
        side_by_side,
    ),
)


def main() -> None:
    """Measure, print and write the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="three rounds a row; nothing is written")
    parser.add_argument(
        "--only", default="", help="measure and print the rows whose label contains this text"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as in a job
    load, least = os.getloadavg()[0], 3
    lines = [
        "# Growth: ratios of times",
        "",
        f"`python benchmarks/growth.py`; {cpu_model()}, {platform.machine()}; torch {torch.__version__}, float32, 1 "
        "thread. Processor time, medians with quartiles; the arms of a row take turns.",
        *busy_lines(load),
    ]
    for title, text, heads, rows in SECTIONS:
        lines += [
            "",
            f"## {title}",
            text,
            "",
            "| " + " | ".join(heads) + " |",
            "|---" + "|---:" * (len(heads) - 1) + "|",
        ]
        for label, make in rows():
            if options.only in label or options.only in title:
                ratios = measured(make(label), least, least if options.quick else ROUNDS, SECONDS)
                lines.append(line(label, ratios))
                print(lines[-1], flush=True)
    title = "A process that meets 150 shapes"
    lines += ["", f"## {title}", "Building and counting. Reach: 10 s.", ""]
    lines += ["| shapes | number | s | s for 150 |", "|---|---:|---:|---:|"]
    if options.only in title:
        for text in shapes(options.quick):
            lines.append(text)
            print(text, flush=True)
    if not (options.quick or options.only):
        (Path(__file__).parent / "growth.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
