"""Time and memory of the Fractional-DNN over depth, whose history sum is quadratic in it, against the ResNet's.

`python benchmarks/depth.py` writes benchmarks/depth.md. The networks take turns, so that whatever else the machine
does hits both alike; ratios are medians over rounds of the ratio within a round.
"""

import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from autograd_memory import kept_megabytes
from torch import Tensor, nn

from hornlib.models.build import build_network
from hornlib.models.time_variable.parameters import (
    FractionalDnnParameters,
    TimeResnetParameters,
    TimeVariableParameters,
)
from hornlib.parameters import Task

TASK, BATCH, LANES, ROUNDS = Task((100,), 10), 100, 6, 9
DEPTHS = (6, 16, 32, 64)


Loss = Callable[[], Tensor]


def loss_of(model: TimeVariableParameters, lanes: int) -> Loss:
    networks = [build_network(model, TASK, seed) for seed in range(lanes)]
    parameters, buffers = torch.func.stack_module_state(networks)
    inputs, targets = torch.randn(lanes, BATCH, *TASK.input_shape), torch.randint(10, (lanes, BATCH))
    if lanes == 1:
        return lambda: nn.functional.cross_entropy(networks[0](inputs[0]), targets[0])

    def loss(
        parameters: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Tensor, targets: Tensor
    ) -> Tensor:
        logits = torch.func.functional_call(networks[0], (parameters, buffers), (inputs,))
        return nn.functional.cross_entropy(logits, targets)

    return lambda: torch.vmap(loss)(parameters, buffers, inputs, targets).sum()


def seconds(loss: Loss) -> float:
    """Time one forward and one backward pass."""
    start = time.perf_counter()
    loss().backward()
    return time.perf_counter() - start


def row(depth: int, lanes: int) -> str:
    shared = {"num_layers": depth, "readout_norm": "none"}
    models = [TimeResnetParameters(**shared), FractionalDnnParameters(**shared)]
    losses = [loss_of(model, lanes) for model in models]
    times = [[seconds(loss) for loss in losses] for _ in range(ROUNDS + 1)][1:]  # the first round warms up
    resnet, fractional = (1e3 * statistics.median(column) for column in zip(*times, strict=True))
    ratio = statistics.median(theirs / its for its, theirs in times)
    megabytes = [kept_megabytes(loss) for loss in losses]
    work = [model.forward_flops(TASK) for model in models]
    elementwise = work[1].elementwise / work[0].elementwise
    return (
        f"| {lanes} | {depth} | {resnet:.1f} | {fractional:.1f} | {ratio:.2f} | {elementwise:.1f} "
        f"| {work[1].total / work[0].total:.2f} | {megabytes[0]:.1f} | {megabytes[1]:.1f} "
        f"| {megabytes[1] / megabytes[0]:.2f} |"
    )


def main() -> None:
    torch.set_num_threads(1)
    columns = [
        "lanes",
        "depth",
        "ResNet, ms",
        "Fractional-DNN, ms",
        "time ratio",
        "elementwise FLOP ratio",
        "FLOP ratio",
        "ResNet kept, MB",
        "Fractional-DNN kept, MB",
        "memory ratio",
    ]
    text = f"""# Depth: the Fractional-DNN's history against the ResNet

A step of the Fractional-DNN sums over all increments before it, at L layers L^2 / 2 products of a number with a state;
its matrix products are the ResNet's. The sum is taken increment by increment, so that no copy of the history is made
and what is kept for the backward pass grows linearly. {TASK.num_features} inputs, 100 nodes, batch {BATCH}, forward and
backward pass, medians over {ROUNDS} rounds in which both take turns; 1 thread, {platform.machine()}, float32, torch
{torch.__version__}. FLOPs are those of one forward pass. Made by `python benchmarks/depth.py`.

| {" | ".join(columns)} |
|{"---:|" * len(columns)}
"""
    text += "\n".join(row(depth, lanes) for lanes in (1, LANES) for depth in DEPTHS) + "\n"
    Path(__file__).with_suffix(".md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
