"""Gathering against xarray.open_mfdataset: wall time and peak memory, each in a process of its own.

Usage: python benchmarks/gather.py [--files 2000] [--repeats 3] > benchmarks/gather.md
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

SEEDS, STEPS = 5, 50

PACKAGES = ("xarray", "dask", "netCDF4", "numpy")


def make_grid(results: Path, files: int):
    """Return a grid of `files` cells, each of one job of 5 seeds and at least 50 evaluations."""
    from hornlib.config.settings import Settings
    from hornlib.data.parameters import DataParameters
    from hornlib.grid import Grid, Sweep
    from hornlib.grid.cell import make_cell
    from hornlib.models.horn_cnn.parameters import HornCnnParameters
    from hornlib.parameters.training import TrainingParameters
    from hornlib.structures import STRUCTURES

    data, structure = DataParameters(name="mnist"), STRUCTURES["static"]()
    made = [
        make_cell(
            data,
            HornCnnParameters(num_nodes=4 + index % 50, timesteps=1 + index // 50),
            structure,
            TrainingParameters(steps=20_000),
        )
        for index in range(files)
    ]
    cells = {cell.name: cell for cell in made}
    sweep = Sweep("benchmark", {name: "horn_cnn" for name in cells}, tuple(range(SEEDS)))
    seeds = {name: sweep.seeds for name in cells}
    return Grid(Settings(results=str(results)), (), {"benchmark": sweep}, cells, seeds)


def write(results: Path, files: int) -> float:
    """Write the run files, and return their mean size in kB."""
    import numpy as np

    from hornlib.results.run_file import RunRecord, write_run_file
    from hornlib.results.variables import CURVES

    grid = make_grid(results, files)
    random = np.random.default_rng(0)
    paths = []
    for job in grid.jobs({}):
        cell = grid.cells[job.cell]
        steps = np.array(cell.training.evaluation_steps(cell.data.num_train))[-STEPS:]
        curves = {
            name: random.random((SEEDS, len(steps))) for name, curve in CURVES.items() if not curve.optional
        }
        nothing = np.full(SEEDS, np.nan)
        record = RunRecord(
            list(range(SEEDS)),
            steps,
            curves,
            ["complete"] * SEEDS,
            nothing,
            np.full(SEEDS, SEEDS),
            {"hornlib_version": "1.0", "device": "cpu"},
        )
        paths.append(grid.run_path(job))
        write_run_file(paths[-1], cell, record)
    return statistics.mean(path.stat().st_size for path in paths) / 1000


def by_gather(results: Path, files: int) -> None:
    """Gather the files the way `hornlib gather` does."""
    from hornlib.results.gather import gather

    gather(make_grid(results, files)).close()


def by_mfdataset(results: Path, files: int) -> None:
    """Combine the same files along a new dimension with xarray and dask, and write them to one file.

    What gather does beside (verification, 60 coordinates) is left out.
    """
    import xarray

    paths = sorted((results / "runs").glob("*.nc"))
    combined = xarray.open_mfdataset(paths, combine="nested", concat_dim="cell", join="outer")
    combined.to_netcdf(results / "combined.nc")


WAYS = {"gather": by_gather, "open_mfdataset": by_mfdataset}


def measured(way: str, results: Path, files: int) -> dict[str, float]:
    """Run one way in a fresh process, and return its times and its largest resident memory."""
    command = [sys.executable, __file__, "--way", way, "--results", str(results), "--files", str(files)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--way", choices=[*WAYS, "write"])
    parser.add_argument("--results", type=Path)
    options = parser.parse_args()
    if options.way == "write":
        print(json.dumps(write(options.results, options.files)))
        return
    if options.way:
        started = time.perf_counter()
        WAYS[options.way](options.results, options.files)
        used = resource.getrusage(resource.RUSAGE_SELF)
        usage = {
            "wall": time.perf_counter() - started,
            "processor": used.ru_utime + used.ru_stime,
            "megabytes": used.ru_maxrss / 1000,
        }
        print(json.dumps(usage))
        return
    report(options.files, options.repeats)


def report(files: int, repeats: int) -> None:
    """Measure both ways in turn, and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder)
        command = [sys.executable, __file__, "--way", "write", "--results", folder, "--files", str(files)]
        kilobytes = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        runs_of = {way: [] for way in WAYS}
        loads = [os.getloadavg()[0]]
        for _ in range(repeats):
            for way, runs in runs_of.items():
                runs.append(measured(way, results, files))
                loads.append(os.getloadavg()[0])
        size = (results / "results.nc").stat().st_size / 1e6
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    print("# Gathering run files\n")
    print(
        f"`python benchmarks/gather.py --files {files} --repeats {repeats}`: {files:,} run files of {SEEDS} "
        f"seeds x {STEPS} evaluations ({kilobytes:.0f} kB each, {size:.1f} MB gathered), files in the page "
        f"cache, each run a fresh process, imports included, the ways in turn, n = {repeats}, median "
        f"(smallest to largest). Python {platform.python_version()}, {versions}, {os.cpu_count()} cores, "
        f"load average {min(loads):.1f} to {max(loads):.1f}: above the number of cores, wall time is also the "
        "neighbours', and processor time is what counts. The reach: under 10 s and 500 MB.\n"
    )
    print("| way | wall time, s | processor time, s | peak resident memory, MB |\n|---|---|---|---|")
    for way, runs in runs_of.items():
        columns = (_spread(runs, "wall", 1), _spread(runs, "processor", 1), _spread(runs, "megabytes", 0))
        print(f"| {way} | {' | '.join(columns)} |")
    print(
        "\n`open_mfdataset` (nested, joined along a new `cell`, then `to_netcdf`) neither verifies the files "
        "nor writes the parameters as coordinates; `gather` does both."
    )


def _spread(runs: list[dict[str, float]], key: str, digits: int) -> str:
    values = [run[key] for run in runs]
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


if __name__ == "__main__":
    main()
