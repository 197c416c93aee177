"""Fused kernels beside the loops that they replace, and recurrent networks beside their rivals, in one process.

`python benchmarks/kernels.py [--quick]` writes benchmarks/kernels.md. The arms of a row take turns, so that whatever
else the machine does hits all of them alike. A ratio is the median over rounds of the ratio within a round.
"""

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from horn_adjoint import BATCH, TASK, Lstm
from lanes import HORN_CNN, Timed
from torch import Tensor, nn

from hornlib.config.settings import Kernel
from hornlib.grid.cell import Cell, parse_specification
from hornlib.kernels.library import compiler, cpu_model, why_not
from hornlib.kernels.route import taking
from hornlib.models.build import build_network
from hornlib.models.horn.parameters import HornParameters
from hornlib.models.rnn.parameters import RnnParameters
from hornlib.training.devices import keep_freed_memory

ROUNDS, SECONDS = 31, 15.0
"""Of a row: rounds at most, and processor time at most (but five rounds are always measured)."""

CNN = {"name": "cnn", "channels": "8-17-33"}
LEAKY_CNN = {**HORN_CNN, "name": "leaky_cnn"}
LAYERS = {
    "HORN, 32 nodes": HornParameters(num_nodes=32, readout_norm="none"),
    "tanh, 32 nodes": RnnParameters(unit="tanh", num_nodes=32, readout_norm="none"),
    "GRU, 19 nodes": RnnParameters(unit="gru", num_nodes=19, readout_norm="none"),
    "LSTM, 16 nodes": RnnParameters(unit="lstm", num_nodes=16, readout_norm="none"),
}

Arm = Callable[[], float]


class Ratio(NamedTuple):
    """A row of the table: the time of one arm over that of another.

    Attributes:
        label: what is compared.
        numerator: returns the seconds of one step.
        denominator: the same.
    """

    label: str
    numerator: Arm
    denominator: Arm


def step(model: dict, size: int, lanes: int = 1, kernel: Kernel = "auto") -> Arm:
    """Return a function that makes a training step and returns its seconds a lane."""
    chunk = Timed(cell(model, size), lanes)

    def run() -> float:
        with taking(kernel):
            return chunk.step()

    return run


def cell(model: dict, size: int) -> Cell:
    return parse_specification(
        {"data": {"name": "digits", "image_size": size}, "model": model, "training": {"batch_size": 64}}
    )


def pass_of(network: nn.Module, kernel: Kernel = "auto") -> Arm:
    """Return a function that goes forward and backward through 784 steps, and returns the seconds."""
    inputs, targets = torch.rand(BATCH, *TASK.input_shape), torch.randint(TASK.num_outputs, (BATCH,))
    return timed(lambda: nn.functional.cross_entropy(network(inputs), targets), kernel)


def pass_of_lanes(networks: list[nn.Module], kernel: Kernel = "auto") -> Arm:
    parameters, buffers = torch.func.stack_module_state(networks)
    inputs = torch.rand(len(networks), BATCH, *TASK.input_shape)
    targets = torch.randint(TASK.num_outputs, (len(networks), BATCH))

    def loss(
        parameters: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Tensor, targets: Tensor
    ) -> Tensor:
        logits = torch.func.functional_call(networks[0], (parameters, buffers), (inputs,))
        return nn.functional.cross_entropy(logits, targets)

    return timed(lambda: torch.vmap(loss)(parameters, buffers, inputs, targets).sum(), kernel)


def timed(loss: Callable[[], Tensor], kernel: Kernel) -> Arm:
    def run() -> float:
        with taking(kernel):
            start = time.thread_time()
            loss().backward()
            return time.thread_time() - start

    return run


def fields() -> list[Ratio]:
    rows = [
        Ratio(f"HORN-CNN over CNN, {size}x{size}", step(HORN_CNN, size), step(CNN, size))
        for size in (8, 14, 28)
    ]
    for name, model in (("HORN-CNN", HORN_CNN), ("leaky CNN", LEAKY_CNN)):
        for size, lanes in ((8, 7), (28, 1)):
            case = f"{name}, {size}x{size}, " + ("alone" if lanes == 1 else f"{lanes} lanes")
            rows.append(
                Ratio(f"loop over fused: {case}", step(model, size, lanes, "loop"), step(model, size, lanes))
            )
    for size in (8, 28):
        rows.append(
            Ratio(
                f"16 lanes over one after another: HORN-CNN, {size}x{size}",
                step(HORN_CNN, size, 16),
                step(HORN_CNN, size),
            )
        )
    return rows


def layers() -> list[Ratio]:
    networks = {
        name: [build_network(parameters, TASK, seed) for seed in range(7)]
        for name, parameters in LAYERS.items()
    }
    return [
        *(
            Ratio(f"torch.nn.LSTM over {name}", pass_of(Lstm()), pass_of(net[0]))
            for name, net in networks.items()
        ),
        *(
            Ratio(f"loop over fused: {name}, alone", pass_of(net[0], "loop"), pass_of(net[0]))
            for name, net in networks.items()
        ),
        *(
            Ratio(f"loop over fused: {name}, 7 lanes", pass_of_lanes(net, "loop"), pass_of_lanes(net))
            for name, net in networks.items()
        ),
    ]


def measured(row: Ratio, quick: bool) -> str:
    """Return the row of the table: the median of the ratio, its quartiles, and both median times."""
    row.numerator(), row.denominator()  # warm up
    pairs: list[tuple[float, float]] = []
    started = time.process_time()
    while len(pairs) < (3 if quick else 5) or (
        not quick and len(pairs) < ROUNDS and time.process_time() - started < SECONDS
    ):
        pairs.append((row.numerator(), row.denominator()))
    ratios = [above / below for above, below in pairs]
    low, middle, high = statistics.quantiles(ratios, n=4)
    above, below = (1e3 * statistics.median(column) for column in zip(*pairs, strict=True))
    return f"| {row.label} | {middle:.2f} | {low:.2f} to {high:.2f} | {above:.1f} / {below:.1f} |"


def route() -> str:
    reasons = {why_not(name, "float") for name in ("field", "recurrence")} - {""}
    return f"loop ({'; '.join(reasons)})" if reasons else "fused"


def main() -> None:
    quick = "--quick" in sys.argv
    torch.set_num_threads(1)
    keep_freed_memory()  # as in a job
    command = compiler()
    version = (
        subprocess.run(
            [command, "--version"], capture_output=True, text=True, check=True
        ).stdout.splitlines()[0]
        if command
        else "no compiler"
    )
    sizes = {"torch.nn.LSTM": sum(parameter.numel() for parameter in Lstm().parameters())}
    sizes |= {name: parameters.num_parameters(TASK) for name, parameters in LAYERS.items()}
    for name, model in (("HORN-CNN", HORN_CNN), ("CNN", CNN)):
        specification = cell(model, 28)
        sizes[name] = specification.model.num_parameters(specification.task())
    lines = [
        "# Fused kernels: ratios of times",
        "",
        f"`python benchmarks/kernels.py`; {cpu_model()}, {platform.machine()}, route {route()}, {version}; "
        f"torch {torch.__version__}, float32, 1 thread, load {os.getloadavg()[0]:.0f} on {os.cpu_count()} cores. "
        "Processor time; the two arms of a row take turns, a ratio is the median over rounds with its quartiles.",
        "",
        "| one over the other | ratio | quartiles | ms a lane |",
        "|---|---:|---:|---:|",
    ]
    for rows in (fields, layers):
        for row in rows():
            lines.append(measured(row, quick))
            print(lines[-1], flush=True)
    lines += [
        "",
        "Networks of feature maps: whole training steps at batch 64 on digits, resized; HORN-CNN and leaky CNN have 8, "
        "16 and 32 channels and 8 steps, the CNN 8, 17 and 33 channels. Recurrent layers: forward and backward pass "
        f"through {TASK.input_shape[0]} steps of one number, batch {BATCH}; with 7 lanes all together. Parameters: "
        + ", ".join(f"{name} {size:,}" for name, size in sizes.items())
        + ".",
    ]
    if not quick:
        (Path(__file__).parent / "kernels.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
