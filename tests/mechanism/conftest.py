"""Sweeps of tiny networks on digits, with run files whose learning curves are written down instead of trained."""

import numpy as np
import pytest
import torch

from hornlib.grid import read_grid
from hornlib.grid.jobs import Job, Range
from hornlib.mechanism.contenders import Study, contenders
from hornlib.results.gather import gather
from hornlib.results.opening import open_results
from hornlib.results.run_file import RunRecord, write_run_file
from hornlib.results.variables import CURVES

HEAD = """
results: {results}
seeds: {seeds}
per_job: 100
defaults:
  data: {{name: digits, train_subset: 200}}
  training: {{steps: 1000, batch_size: 32, learning_rate: 1e-2}}
sweeps:
"""


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Networks this small lose by sharing out their work."""
    torch.set_num_threads(1)


@pytest.fixture
def make_grid(tmp_path):
    """A function that reads a grid from the sweeps of a configuration."""

    def make(sweeps, seeds=8):
        file = tmp_path / "config.yaml"
        file.write_text(HEAD.format(results=tmp_path / "results", seeds=seeds) + sweeps)
        return read_grid([file])

    return make


def record(cell, seeds, reached_at, final):
    """Return a run of each seed that jumps from chance to `final` at the evaluation on or after `reached_at`."""
    steps = np.array(cell.training.evaluation_steps(cell.data.num_train))
    chance = cell.data.chance
    curves = {name: np.ones((len(seeds), len(steps))) for name, own in CURVES.items() if not own.optional}
    for part in ("validation", "test"):
        curves[f"{part}_metric"] = np.where(steps >= np.array(reached_at)[:, None], final, chance)
    curves["num_parameters"] *= cell.model.num_parameters(cell.task())
    return RunRecord(
        seeds=list(seeds),
        steps=steps,
        curves=curves,
        status=["complete"] * len(seeds),
        diverged_at_step=np.full(len(seeds), np.nan),
        lanes=np.full(len(seeds), len(seeds)),
        attributes={"hornlib_version": "1.0", "hornlib_commit": "abc", "device": "cpu x86", "threads": 1},
    )


@pytest.fixture
def trained(make_grid):
    """A function that writes results.nc; `reached_at(contender, seed)` says when a run reaches the target."""

    def write(sweeps, reached_at, seeds=8, final=0.95):
        grid = make_grid(sweeps, seeds)
        for sweep in grid.sweeps:
            for contender in contenders(grid, sweep):
                cell, wanted = contender.cell, grid.seeds[contender.cell.name]
                path = grid.run_path(Job(cell.name, Range(wanted[0], wanted[-1])))
                if not path.exists():
                    times = [reached_at(contender, seed) for seed in wanted]
                    write_run_file(path, cell, record(cell, wanted, times, final))
        gather(grid).close()
        return grid

    return write


@pytest.fixture
def study():
    """A function that returns the study of a grid's sweep, with results where they are."""

    def look(grid, sweep):
        path = grid.run_path(Job("-", Range(0, 0))).parent.parent / "results.nc"
        results = open_results(path, sweep=sweep).load() if path.exists() else None
        return Study(sweep, contenders(grid, sweep), grid.sweeps[sweep].seeds, results)

    return look
