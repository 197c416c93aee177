"""The default sweep through Snakemake against the same cells in one bare Python loop, same lanes.

python benchmarks/orchestration.py [FOLDER]   writes benchmarks/orchestration.md (takes two default sweeps);
the sweep's results are left in FOLDER, which must not have any yet
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from ruamel.yaml import YAML

from hornlib.data.loading import load
from hornlib.grid import read_grid
from hornlib.training.chunk import start_chunk
from hornlib.training.loop import train_chunk

REPOSITORY = Path(__file__).resolve().parents[1]
CORES = 2


def through_snakemake(folder: Path, config: Path) -> float:
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--cores",
        str(CORES),
        "--snakefile",
        str(REPOSITORY / "Snakefile"),
    ]
    started = time.perf_counter()
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HORNLIB_CONFIG": str(config),
    }
    subprocess.run([*command, "--quiet"], cwd=folder, env=environment, check=True)
    return time.perf_counter() - started


def in_one_loop(config: Path) -> float:
    """Train every cell with all its seeds as lanes, in this process, on as many threads as the sweep had cores."""
    torch.set_num_threads(CORES)
    grid = read_grid([config])
    started = time.perf_counter()
    for name, cell in grid.cells.items():
        train_chunk(start_chunk(cell, list(grid.seeds[name]), torch.device("cpu")), load(cell.data, "cpu"))
    return time.perf_counter() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(temporary)
        if (folder / "results").exists():
            raise SystemExit(f"{folder / 'results'} exists: the sweep would have nothing to do")
        yaml = YAML()
        content = yaml.load((REPOSITORY / "config.yaml").read_text())
        content["lanes"] = 7  # the same lanes in both
        config = folder / "config.yaml"
        yaml.dump(content, config)
        grid = read_grid([config])
        loop = in_one_loop(config)
        swept = through_snakemake(folder, config)
    runs = sum(map(len, grid.seeds.values()))
    text = f"""# The default sweep: orchestration included, against one bare loop

`python benchmarks/orchestration.py`; torch {torch.__version__}, CPU, {CORES} cores;
{len(grid.cells)} cells, {runs} runs, n = 1.

| way | seconds | ratio |
|---|---|---|
| one Python loop, {CORES} threads, 7 lanes | {loop:.0f} | 1 |
| `snakemake --cores {CORES}`, 7 lanes; results.nc and figures too | {swept:.0f} | {swept / loop:.2f} |
"""
    print(text)
    (Path(__file__).parent / "orchestration.md").write_text(text)


if __name__ == "__main__":
    main()
