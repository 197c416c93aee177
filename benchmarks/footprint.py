"""Peak memory and time of a job against timesteps, num_nodes and lanes, each in a fresh process.

python benchmarks/footprint.py   writes benchmarks/footprint.md
"""

import json
import math
import subprocess
import sys
from pathlib import Path

AXES = {"timesteps": [2, 4, 8, 16, 32], "num_nodes": [4, 8, 16, 32], "lanes": [1, 2, 4, 8, 16]}
BASE = {"timesteps": 8, "num_nodes": 8, "lanes": 4}

MEASURE = """
import json, resource, sys, time
import torch
from hornlib.grid.cell import parse_specification
from hornlib.data.loading import load
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_step
point = json.loads(sys.argv[1])
torch.set_num_threads(1)
cell = parse_specification({"data": {"name": "digits", "image_size": 14}, "training": {"batch_size": 64},
    "model": {"name": "horn_cnn", "timesteps": point["timesteps"], "num_nodes": point["num_nodes"]}})
splits = load(cell.data, "cpu")
lanes = point["lanes"]
chunk = start_chunk(cell, list(range(lanes)), torch.device("cpu"))
index = torch.arange(64).expand(lanes, -1)
inputs, targets = splits.train.inputs[index], splits.train.targets[index]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
train_step(chunk, chunk.groups[0], inputs, targets, 100)
times = []
for _ in range(5):
    started = time.perf_counter()
    train_step(chunk, chunk.groups[0], inputs, targets, 100)
    times.append(time.perf_counter() - started)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"base": before / 1024, "step": (after - before) / 1024, "seconds": sorted(times)[2]}))
"""


def measure(point: dict[str, int]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, json.dumps(point)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def exponent(xs: list[int], ys: list[float]) -> float:
    """Slope of log y over log x by least squares: y grows as x^slope."""
    logs = [(math.log(x), math.log(max(y, 1e-9))) for x, y in zip(xs, ys, strict=True)]
    mean_x, mean_y = (sum(column) / len(logs) for column in zip(*logs, strict=True))
    return sum((x - mean_x) * (y - mean_y) for x, y in logs) / sum((x - mean_x) ** 2 for x, _ in logs)


def main() -> None:
    lines = [
        "# Memory and time of a training step",
        "",
        "`python benchmarks/footprint.py`; HORN-CNN, three stages, digits resized to 14x14, batch 64, one thread, "
        f"a fresh process a row; around {BASE}. Memory is what the step adds to the process' peak.",
        "",
        "| varied | value | step memory, MB | milliseconds a step |",
        "|---|---|---|---|",
    ]
    laws = []
    for axis, values in AXES.items():
        measurements = [measure({**BASE, axis: value}) for value in values]
        for value, row in zip(values, measurements, strict=True):
            lines.append(f"| {axis} | {value} | {row['step']:.0f} | {1e3 * row['seconds']:.1f} |")
            print(lines[-1], flush=True)
        memory = exponent(values, [row["step"] for row in measurements])
        time_law = exponent(values, [row["seconds"] for row in measurements])
        laws.append(f"- {axis}: memory grows as {axis}^{memory:.2f}, time as {axis}^{time_law:.2f}")
    lines += ["", "Growth laws (least squares on logarithms, n = one process a value):", "", *laws, ""]
    base = measure(BASE)["base"]
    lines.append(f"A process with torch and the data, before the first step: {base:.0f} MB.")
    (Path(__file__).parent / "footprint.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
