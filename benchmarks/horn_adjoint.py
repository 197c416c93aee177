"""HORN's adjoint, autograd of the plain loop, and torch.nn.LSTM, side by side in one run, on one thread.

`python benchmarks/horn_adjoint.py` writes benchmarks/horn_adjoint.md. The arms take turns, so that whatever
else the machine does hits all of them alike; ratios are medians over rounds of the ratio within a round.
"""

import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from autograd_memory import kept_megabytes
from torch import Tensor, nn

from hornlib.kernels.route import loops
from hornlib.models.horn.network import HORN
from hornlib.models.horn.parameters import HornParameters
from hornlib.parameters import Task

TASK, BATCH, LANES, ROUNDS = Task((784, 1), 10), 64, 8, 21

KEEP_MEMORY = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": "-1", "MALLOC_TOP_PAD_": "67108864"}

Loss = Callable[[], Tensor]


class Lstm(nn.Module):
    """torch.nn.LSTM with 16 nodes and a read-out of its last state."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(TASK.input_shape[1], 16, batch_first=True)
        self.linear = nn.Linear(16, TASK.num_outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (batch, num_outputs) of (batch, timesteps, features)."""
        return self.linear(self.layer(inputs)[0][:, -1])


def horn(fast_path: str) -> HORN:
    torch.manual_seed(0)
    return HORN(
        HornParameters(fast_path=fast_path, readout_norm="none"), TASK, torch.Generator().manual_seed(0)
    )


def alone(network: nn.Module) -> Loss:
    inputs, targets = torch.rand(BATCH, *TASK.input_shape), torch.randint(TASK.num_outputs, (BATCH,))
    return lambda: nn.functional.cross_entropy(network(inputs), targets)


def in_lanes(networks: list[HORN]) -> Loss:
    parameters, buffers = torch.func.stack_module_state(networks)
    inputs = torch.rand(LANES, BATCH, *TASK.input_shape)
    targets = torch.randint(TASK.num_outputs, (LANES, BATCH))

    def loss(
        parameters: dict[str, Tensor], buffers: dict[str, Tensor], inputs: Tensor, targets: Tensor
    ) -> Tensor:
        logits = torch.func.functional_call(networks[0], (parameters, buffers), (inputs,))
        return nn.functional.cross_entropy(logits, targets)

    return lambda: torch.vmap(loss)(parameters, buffers, inputs, targets).sum()


def one_by_one(losses: list[Loss]) -> Loss:
    return lambda: torch.stack([loss() for loss in losses]).sum()


def seconds(loss: Loss) -> tuple[float, float]:
    """Time one forward and one backward pass."""
    start = time.perf_counter()
    value = loss()
    middle = time.perf_counter()
    value.backward()
    return middle - start, time.perf_counter() - middle


def measure(arms: dict[str, Loss], rounds: int) -> dict[str, list[tuple[float, float]]]:
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in arms}
    for round_ in range(rounds + 1):
        for name, loss in arms.items():
            measured = seconds(loss)
            if round_:  # the first round warms up
                times[name].append(measured)
    return times


def table(times: dict[str, list[tuple[float, float]]], saved: dict[str, str]) -> list[str]:
    totals = {name: [sum(pair) for pair in pairs] for name, pairs in times.items()}
    plain, lstm = totals["HORN, plain loop"], totals["LSTM"]

    def faster_than(other: list[float], times: list[float]) -> float:
        return statistics.median(theirs / mine for theirs, mine in zip(other, times, strict=True))

    rows = [
        "| | forward, ms | backward, ms | both, ms | plain loop / it | LSTM / it | kept, MB |",
        "|---|" + "---:|" * 6,
    ]
    for name, pairs in times.items():
        forward, backward = (1e3 * statistics.median(column) for column in zip(*pairs, strict=True))
        both = 1e3 * statistics.median(totals[name])
        ratios = f"{faster_than(plain, totals[name]):.2f} | {faster_than(lstm, totals[name]):.2f}"
        rows.append(f"| {name} | {forward:.1f} | {backward:.1f} | {both:.1f} | {ratios} | {saved[name]} |")
    return rows


def tables() -> list[str]:
    """Measure in this process."""
    torch.set_num_threads(1)
    lone = {
        "HORN, adjoint": alone(horn("adjoint")),
        "HORN, plain loop": alone(horn("autograd")),
        "LSTM": alone(Lstm()),
    }
    lanes = {
        "HORN, adjoint": in_lanes([horn("adjoint") for _ in range(LANES)]),
        "HORN, plain loop": in_lanes([horn("autograd") for _ in range(LANES)]),
        "LSTM": one_by_one([alone(Lstm()) for _ in range(LANES)]),
    }
    return [
        "One lane:",
        "",
        *table(measure(lone, ROUNDS), {name: kept(name, loss) for name, loss in lone.items()}),
        "",
        f"{LANES} lanes: HORN under `torch.vmap`; LSTM, which has no rule for lanes, {LANES} times in turn.",
        "",
        *table(measure(lanes, ROUNDS), {name: kept(name, loss) for name, loss in lanes.items()}),
        "",
    ]


def in_child(environment: dict[str, str]) -> str:
    """Measure in a new process, since the allocator reads its settings at the start."""
    command = [sys.executable, __file__, "--tables"]
    return subprocess.run(
        command, env=os.environ | environment, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def main() -> None:
    sizes = [sum(p.numel() for p in network.parameters()) for network in (horn("adjoint"), Lstm())]
    text = f"""# HORN: the adjoint, autograd of the plain loop, and torch.nn.LSTM

{TASK.input_shape[0]} steps of {TASK.input_shape[1]} number, batch {BATCH}; HORN with 32 nodes ({sizes[0]} parameters),
LSTM with 16 ({sizes[1]}). Forward and backward pass, medians over {ROUNDS} rounds in which the arms take turns;
1 thread, {platform.machine()}, float32, torch {torch.__version__}. Made by `python benchmarks/horn_adjoint.py`.

{in_child({})}
## Without page faults
As above, but glibc keeps freed memory instead of handing it back to the system
(`{" ".join(f"{key}={value}" for key, value in KEEP_MEMORY.items())}`).

{in_child(KEEP_MEMORY)}"""
    Path(__file__).with_suffix(".md").write_text(text.rstrip() + "\n")
    print(text)


def kept(name: str, loss: Loss) -> str:
    """The LSTM's workspace is hidden from autograd."""
    return "" if name == "LSTM" else f"{kept_megabytes(loss):.1f}"


if __name__ == "__main__":
    with loops():  # fused kernels are measured by kernels.py
        print("\n".join(tables())) if sys.argv[1:] == ["--tables"] else main()
