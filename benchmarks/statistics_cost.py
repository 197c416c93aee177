"""Statistics of 2,000 cells x 10 seeds x 50 evaluations: wall time and peak memory, and a plain loop beside it.

python benchmarks/statistics_cost.py [--cells 2000] > benchmarks/statistics_cost.md
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time

SEEDS, LAST = 10, 12_000

ARMS = {"horn_cnn": 0.7, "leaky_cnn": 0.1, "cnn": 0.1, "cnn_equal_flops": 0.1}
"""Arm -> share of the cells."""

SPARSE = "leaky_cnn"
"""The arm that is evaluated at every second evaluation only: its pairs are judged on the steps that both share."""

AXES = 5
"""Axes of cost, the training loss among them."""

LOOP_PAIRS = 20


def make_results(cells: int):
    """Return a sweep as `open_results` gives it: a grid of sizes, timesteps and heterogeneities, and its rivals."""
    import numpy as np
    import xarray as xr

    random = np.random.default_rng(0)
    arms = np.repeat(list(ARMS), [round(cells * share) for share in ARMS.values()]).astype(object)
    number = len(arms)
    steps = np.unique(np.round(10 ** np.linspace(0, np.log10(LAST), 57)))[-50:].astype(int)
    index = np.arange(number)
    nodes = 8.0 + index % 100
    times = 300 * np.exp(0.2 * random.standard_normal((number, SEEDS, 1)))
    curve = 0.1 + 0.9 * (1 - np.exp(-2.3 * steps / times))
    evaluated = (arms != SPARSE)[:, None] | ((len(steps) - 1 - np.arange(len(steps))) % 2 == 0)
    dims, runs = ("cell", "seed", "step"), ("cell", "seed")
    flops = (1e6 + 1e4 * nodes)[:, None, None] * np.broadcast_to(1.0 * steps, curve.shape)
    described = {"kind": "integer"}
    return xr.Dataset(
        {
            name: (dims, np.where(evaluated[:, None], values, np.nan))
            for name, values in {
                "validation_metric": curve,
                "test_metric": curve,
                "training_loss": 2.5 * (1 - curve),
            }.items()
        }
        | {f"final_{name}": (runs, curve[..., -1]) for name in ("validation_metric", "test_metric")}
        | {
            "training_flops": (dims, np.where(evaluated[:, None], flops, np.nan)),
            "seconds": (dims, np.where(evaluated[:, None], flops / 1e9, np.nan)),
            "num_parameters": (dims, np.broadcast_to(nodes[:, None, None] ** 2, curve.shape).copy()),
            "samples": (("cell", "step"), np.where(evaluated, 64.0 * steps, np.nan)),
            "step_time": (("cell", "calibration_device"), 1e-3 * (1 + nodes[:, None] / 100)),
            "diverged_at_step": (runs, np.full((number, SEEDS), np.nan)),
            "status": (runs, np.full((number, SEEDS), "complete", object)),
        },
        coords={
            "cell": [f"cell-{position}" for position in index],
            "seed": np.arange(SEEDS),
            "step": steps,
            "calibration_device": ["cpu"],
            "arm": ("cell", arms),
            "model": ("cell", arms),
            "dataset": ("cell", np.full(number, "mnist", object)),
            "direction": ("cell", np.full(number, "maximise", object)),
            "chance_level": ("cell", np.full(number, 0.1)),
            "forward_flops": ("cell", 100.0 * nodes * (1 + index // 100)),
            "num_nodes": ("cell", nodes.astype(int), described),
            "timesteps": ("cell", 1 + index // 100, described),
        },
    )


def settings():
    """Return settings whose claims name every arm."""
    from hornlib.parameters.statistics import StatisticsSettings

    rivals = ("cnn", "cnn_equal_flops")
    return StatisticsSettings(
        subject="horn_cnn",
        claims={
            "faster": {"rivals": rivals},
            "because_of_oscillation": {"what": "its oscillation", "rivals": rivals, "controls": [SPARSE]},
            "cheaper": {"axes": ["training_flops", "seconds"], "rivals": rivals},
        },
    )


def headline(cells: int) -> dict[str, float]:
    """Time everything that verdicts are made of."""
    from hornlib.statistics.contenders import contenders
    from hornlib.statistics.restricted_mean import baseline_metric
    from hornlib.statistics.summary import core

    ds, rules = make_results(cells), settings()
    started, processor = time.perf_counter(), time.process_time()
    compared = contenders(ds)
    result = core(compared, baseline_metric(compared, rules.baseline), rules)
    return _used(started, processor) | {"intervals": int(result["ratio_bound"].notnull().sum()) // 2}


def whole(cells: int) -> dict[str, float]:
    """Time the whole summary, with verdicts, sentences, limits and the appendix."""
    from hornlib.statistics.summary import summarise

    ds, rules = make_results(cells), settings()
    started, processor = time.perf_counter(), time.process_time()
    summarise(ds, rules)
    return _used(started, processor)


def loop(cells: int) -> dict[str, float]:
    """Time one interval after the other: each draw resamples indices and computes ratio and error anew."""
    import numpy as np

    random = np.random.default_rng(0)
    pairs = np.exp(0.2 * random.standard_normal((LOOP_PAIRS, 2, SEEDS)))
    started, processor = time.perf_counter(), time.process_time()
    for a, b in pairs:
        theta = np.log(a.mean() / b.mean())
        t = []
        for _ in range(10_000):
            chosen = random.integers(SEEDS, size=SEEDS)
            x, y = a[chosen], b[chosen]
            error = np.sqrt(((x / x.mean() - y / y.mean()) ** 2).sum() / (SEEDS * (SEEDS - 1)))
            t.append(abs(np.log(x.mean() / y.mean()) - theta) / error)
        np.quantile(t, 0.95)
    used = _used(started, processor)
    return {name: used[name] / LOOP_PAIRS for name in ("wall", "processor")}


def vectorised(cells: int) -> dict[str, float]:
    """Time the same intervals as `loop`, at once."""
    import numpy as np

    from hornlib.statistics.estimators.intervals import log_ratio_interval, resampling_weights

    a, b = np.exp(0.2 * np.random.default_rng(0).standard_normal((2, 500, SEEDS)))
    log_ratio_interval(a[:1], b[:1], resampling_weights(10_000, SEEDS, 0), 0.05)  # imports scipy
    started, processor = time.perf_counter(), time.process_time()
    log_ratio_interval(a, b, resampling_weights(10_000, SEEDS, 0), 0.05)
    used = _used(started, processor)
    return {name: used[name] / 500 for name in ("wall", "processor")}


def _used(started: float, processor: float) -> dict[str, float]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"wall": time.perf_counter() - started, "processor": time.process_time() - processor, "peak": peak}


WAYS = {"headline": headline, "whole": whole, "loop": loop, "vectorised": vectorised}


def in_a_process(way: str, cells: int) -> dict[str, float]:
    """Run one way in a fresh process and return what it used."""
    command = [sys.executable, __file__, "--way", way, "--cells", str(cells)]
    alone = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=alone).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--way", choices=WAYS)
    arguments = parser.parse_args()
    if arguments.way:
        print(json.dumps(WAYS[arguments.way](arguments.cells)))
        return
    used_by = {way: in_a_process(way, arguments.cells) for way in WAYS}
    print("# Statistics of a large sweep\n")
    print(
        f"`python benchmarks/statistics_cost.py --cells {arguments.cells}`: {arguments.cells:,} cells in "
        f"{len(ARMS)} arms x {SEEDS} seeds x 50 evaluations ({SPARSE}: every second of them), 4 targets, {AXES} axes, "
        "10,000 draws; each row a new process of one thread, n = 1, results made in memory. "
        f"Python {platform.python_version()}, {os.cpu_count()} cores, "
        f"load average {os.getloadavg()[1]:.1f}: above the number of cores, wall time is the neighbours' too, and "
        "processor time is what counts. The reach: under 60 s and 2 GB.\n"
    )
    print("| what | wall time, s | processor time, s | peak resident memory, MB |")
    print("|---|---:|---:|---:|")
    described = {
        "headline": f"times, {used_by['headline']['intervals']:,} ratios with intervals and tests, conclusions",
        "whole": "the whole summary: verdicts, sentences, limits and the appendix too",
    }
    for way, words in described.items():
        used = used_by[way]
        print(f"| {words} | {used['wall']:.1f} | {used['processor']:.1f} | {used['peak']:.0f} |")
    one, other = used_by["loop"]["processor"], used_by["vectorised"]["processor"]
    print(
        f"\nOne interval of 10,000 draws takes {1000 * other:.2f} ms of processor time among others, and "
        f"{1000 * one:.0f} ms in a plain loop over draws: a ratio of {one / other:.0f}."
    )


if __name__ == "__main__":
    main()
