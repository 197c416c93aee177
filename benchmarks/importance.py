"""Exact ablation of the connections of an mlp by the incremental form, beside the plain loop over connections.

python benchmarks/importance.py [--quick]
"""

import argparse
import os
import platform
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from rounds import Arm, Ratios, Row, busy_lines, measured
from torch import Tensor, nn

from hornlib.data.loading import Split
from hornlib.importance.ablation.by_vmap import by_vmap
from hornlib.importance.ablation.incremental import incremental
from hornlib.importance.losses import example_losses
from hornlib.kernels.library import cpu_model
from hornlib.models.build import build_network
from hornlib.models.mlp.parameters import MlpParameters
from hornlib.parameters import Task
from hornlib.training.devices import keep_freed_memory

EXAMPLES = 1000

CONNECTIONS = 10_000

LOOPED = 40
"""Connections of one turn of the plain loop and of vmap, whose time is that of a connection."""

SECONDS = 60.0
"""Processor time after which no further round of a row begins."""


class Network(NamedTuple):
    """A network, its examples, and the connections that are judged.

    Attributes:
        network: in evaluation mode.
        split: the examples.
        places: weight -> places of the connections, as many of each weight as its share of all entries.
    """

    network: nn.Module
    split: Split
    places: dict[str, Tensor]

    def some(self, number: int) -> dict[str, Tensor]:
        """Return about as many of the connections, spread evenly over all of them."""
        step = max(1, sum(map(len, self.places.values())) // number)
        return {name: among[::step] for name, among in self.places.items()}


def network_of(side: int, **fields: object) -> Network:
    """Return a fresh network on random images.

    Args:
        side: of the images, pixels.
        fields: parameters of the mlp.
    """
    task, draw = Task((1, side, side), 10), torch.Generator().manual_seed(0)
    model = MlpParameters(readout_norm="none", **fields)  # type: ignore[arg-type]
    network = build_network(model, task, 0).eval()
    split = Split(
        torch.randn(EXAMPLES, *task.input_shape, generator=draw),
        torch.randint(10, (EXAMPLES,), generator=draw),
    )
    weights = model.weights(task)
    total = sum(weight.size for weight in weights)
    places = {
        weight.name: torch.randperm(weight.size, generator=draw)[
            : min(weight.size, round(CONNECTIONS * weight.size / total))
        ]
        .sort()
        .values
        for weight in weights
    }
    return Network(network, split, places)


@torch.no_grad()
def plain_loop(network: nn.Module, split: Split, loss: str, places: Mapping[str, Tensor]) -> None:
    """Set each connection to 0, run the network, and put the value back."""
    for name, among in places.items():
        entries = network.get_parameter(name).view(-1)
        for place in among.tolist():
            value = entries[place].clone()
            entries[place] = 0
            example_losses(network(split.inputs), split.targets, loss).mean()
            entries[place] = value


def timed(function: Callable[..., object], judged: Network, places: Mapping[str, Tensor]) -> Arm:
    """Return a function that judges connections once and returns its seconds for each of them."""
    number = sum(map(len, places.values()))

    def run() -> float:
        started = time.process_time()
        function(judged.network, judged.split, "cross_entropy", places)
        return (time.process_time() - started) / number

    return run


def row(label: str, judged: Network) -> Row:
    """Return the row of one network."""
    few = judged.some(LOOPED)
    return Row(
        label,
        {
            "incremental": timed(incremental, judged, judged.places),
            "loop": timed(plain_loop, judged, few),
            "vmap": timed(by_vmap, judged, few),
        },
    )


NETWORKS: dict[str, Callable[[], Network]] = {
    "784-300-100-10, relu": lambda: network_of(28, hidden_nodes="300-100"),
    "784-64-32-10, relu": lambda: network_of(28, hidden_nodes="64-32"),
    "784-64-32-10, sigmoid, batch norm": lambda: network_of(
        28, hidden_nodes="64-32", activation="sigmoid", normalisation="batch"
    ),
    "784-64-32-10, gelu, layer norm": lambda: network_of(
        28, hidden_nodes="64-32", activation="gelu", normalisation="layer"
    ),
    "64-64-64-32-10, relu": lambda: network_of(8, hidden_nodes="64-64-32"),
}
"""Label -> makes the network."""


def line(label: str, ratios: Ratios) -> str:
    """Return the row of the table: microseconds, seconds of 10,000 connections, and the ratios of the others."""
    cells = [f"{middle:.3g} ({low:.3g} to {high:.3g})" for middle, low, high in ratios.of.values()]
    return f"| {label} | {1e6 * ratios.first:.3g} | {CONNECTIONS * ratios.first:.2g} | {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="three rounds a row; nothing is written")
    options = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()  # as in a job
    load = os.getloadavg()[0]
    lines = [
        "# Exact ablation of single connections: ratios of times",
        "",
        f"`python benchmarks/importance.py`; {cpu_model()}, {platform.machine()}; torch {torch.__version__}, float32, "
        f"1 thread. Up to {CONNECTIONS:,} connections of an mlp, {EXAMPLES:,} examples. Processor time of one "
        "connection; ratios are medians with quartiles, and the arms of a row take turns. The loop sets a connection "
        "to 0 and runs the whole network; vmap runs many such networks side by side; all three give the same changes "
        "(tests/importance/test_ablation.py). Reach: 10,000 connections in 5 s, and 50 times the loop at LeNet-300-100 "
        "(first row). Where the first layer is no larger than those above it, as in the last row, there is little to "
        "save.",
        *busy_lines(load),
        "",
        "| network | incremental, us | 10,000 connections, s | loop / incremental | vmap / incremental |",
        "|---|---:|---:|---:|---:|",
    ]
    for label, make in NETWORKS.items():
        least, most = (3, 3) if options.quick else (5, 25)
        lines.append(line(label, measured(row(label, make()), least, most, SECONDS, is_warmed=True)))
        print(lines[-1], flush=True)
    if not options.quick:
        (Path(__file__).parent / "importance.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
