"""The report of a large sweep: wall time, peak memory and the page's size, each report in a process of its own.

Usage: python benchmarks/report.py [--cells 2000] [--seeds 10] [--repeats 3] > benchmarks/report.md
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

STEPS = 50
ARMS = {
    "horn": "horn_cnn",
    "overdamped": "horn_cnn",
    "leaky": "leaky_cnn",
    "cnn": "cnn",
    "mobilenet": "efficient",
}
DATASETS = ("mnist", "fashion_mnist")
PACKAGES = ("altair", "vl-convert-python", "xarray", "numpy")


def write_results(folder: Path, num_cells: int, num_seeds: int) -> None:
    """Write results.nc of a grid: arms times datasets times timesteps times widths."""
    import xarray as xr

    from hornlib.results.file_kind import SCHEMA_VERSION
    from hornlib.results.seal import seal

    random = np.random.default_rng(0)
    steps = np.unique(np.round(np.geomspace(1, 20_000, STEPS + 9)).astype(int))[:STEPS]
    index = np.arange(num_cells)
    arms = np.array(list(ARMS), object)[index % len(ARMS)]
    place = index // (len(ARMS) * len(DATASETS))
    dims, shape = ("cell", "seed", "step"), (num_cells, num_seeds, len(steps))
    speed = 300 * np.exp(
        0.4 * random.standard_normal((num_cells, 1)) + 0.2 * random.standard_normal(shape[:2])
    )
    metric = 0.1 + 0.85 * steps / (steps + speed[..., None])
    size = 1000.0 + 100 * (place % 20)
    curves = {
        name: metric - 0.01 * k
        for k, name in enumerate(
            ("validation_metric", "test_metric", "validation_loss", "test_loss", "training_loss")
        )
    }
    curves |= {
        "training_flops": np.broadcast_to(1e3 * size[:, None, None] * steps, shape),
        "seconds": np.broadcast_to(1e-6 * size[:, None, None] * steps, shape),
        "num_parameters": np.broadcast_to(size[:, None, None], shape),
    }
    coordinates = {
        "dataset": np.array(DATASETS, object)[index // len(ARMS) % len(DATASETS)],
        "model": np.array([ARMS[arm] for arm in arms], object),
        "metric": np.full(num_cells, "accuracy", object),
        "direction": np.full(num_cells, "maximise", object),
        "num_nodes": 4.0 + place % 20,
        "timesteps": 1.0 + place // 20,
        "batch_size": np.full(num_cells, 32.0),
        "chance_level": np.full(num_cells, 0.1),
        "forward_flops": 10 * size,
    }
    xr.Dataset(
        {name: (dims, values) for name, values in curves.items()}
        | {f"final_{name}": (dims[:2], values[..., -1]) for name, values in curves.items()}
        | {
            "samples": (("cell", "step"), np.tile(32.0 * steps, (num_cells, 1))),
            "diverged_at_step": (dims[:2], np.full(shape[:2], np.nan)),
            "status": (dims[:2], np.full(shape[:2], "complete", object)),
            "device": (dims[:2], np.full(shape[:2], "cpu", object)),
        },
        {
            "cell": [f"cell-{i:012x}" for i in index],
            "seed": np.arange(num_seeds),
            "step": steps,
            **{
                name: ("cell", values, {"kind": "string" if values.dtype == object else "number"})
                for name, values in coordinates.items()
            },
            "in_grid": ("cell", np.full(num_cells, True), {"seeds": np.arange(num_seeds)}),
            "arm_grid": ("cell", arms),
        },
        {
            "schema_version": SCHEMA_VERSION,
            "hornlib_version": "1.0",
            "hornlib_commit": "",
            "mixed_versions": "",
        },
    ).to_netcdf(folder / "results.nc")
    seal(folder / "results.nc")


def write_evidence(folder: Path, num_cells: int, num_seeds: int) -> None:
    """Write results.nc and statistics.nc."""
    from hornlib.parameters.statistics import Claim, StatisticsSettings
    from hornlib.statistics.write import write_statistics

    write_results(folder, num_cells, num_seeds)
    settings = StatisticsSettings(
        claims={
            "faster": Claim(rivals=("cnn",)),
            "because_of_oscillation": Claim(
                what="its oscillation", rivals=("cnn",), controls=("leaky", "overdamped")
            ),
        }
    )
    write_statistics(folder / "results.nc", folder / "statistics.nc", {"grid": settings})


def write_page(folder: Path) -> dict[str, float]:
    """Write the report, and return how long it took, with all imports, and the largest resident memory."""
    started = time.perf_counter()
    from hornlib.report.page import write_report

    page = write_report(folder, ["grid"], folder / "report.html")
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "wall": time.perf_counter() - started,
        "processor": used.ru_utime + used.ru_stime,
        "megabytes": used.ru_maxrss / 1000,
        "page": page.stat().st_size / 1e6,
        "figures": len(list((folder / "figures" / "report").glob("*.svg"))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cells", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--evidence", action="store_true")
    options = parser.parse_args()
    if options.evidence:
        write_evidence(options.folder, options.cells, options.seeds)
    elif options.folder:
        print(json.dumps(write_page(options.folder)))
    else:
        report(options)


def report(options: argparse.Namespace) -> None:
    """Measure, and print the table."""
    command = [sys.executable, __file__, "--cells", str(options.cells), "--seeds", str(options.seeds)]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*command, "--folder", folder, "--evidence"], check=True)
        runs, loads = [], [os.getloadavg()[0]]
        for _ in range(options.repeats):
            done = subprocess.run(
                [*command, "--folder", folder], check=True, stdout=subprocess.PIPE, text=True
            )
            runs.append(json.loads(done.stdout))
            loads.append(os.getloadavg()[0])
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    print("# The report of a large sweep\n")
    print(
        f"`python benchmarks/report.py --cells {options.cells} --seeds {options.seeds} --repeats {options.repeats}`: "
        f"{options.cells:,} cells x {options.seeds} seeds x {STEPS} evaluations, {len(ARMS)} arms on "
        f"{len(DATASETS)} datasets, with statistics, each report in a fresh process, imports included, n = "
        f"{options.repeats}, median (smallest to largest). Python {platform.python_version()}, {versions}, "
        f"{os.cpu_count()} cores, load average {min(loads):.1f} to {max(loads):.1f}: above the number of cores, wall "
        "time is also the neighbours', and processor time is what counts. The reach: under 20 s and 3 MB.\n"
    )
    print(
        "| wall time, s | processor time, s | peak resident memory, MB | page, MB | charts, each as SVG and PNG |"
    )
    print("|---|---|---|---|---|")
    digits = {"wall": 1, "processor": 1, "megabytes": 0, "page": 2, "figures": 0}
    print("| " + " | ".join(_spread(runs, key, number) for key, number in digits.items()) + " |")


def _spread(runs: list[dict[str, float]], key: str, digits: int) -> str:
    values = [run[key] for run in runs]
    middle = f"{np.median(values):.{digits}f}"
    same = min(values) == max(values)
    return middle if same else f"{middle} ({min(values):.{digits}f} to {max(values):.{digits}f})"


if __name__ == "__main__":
    main()
