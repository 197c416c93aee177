"""Two small models, and functions that make cells, records, run files and grids of them."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from pydantic import Field

from hornlib.config.settings import Settings
from hornlib.data.parameters import DataParameters
from hornlib.grid import Grid, Sweep
from hornlib.grid.cell import make_cell
from hornlib.grid.jobs import Job, Range
from hornlib.parameters import Cost, ModelParameters, Widths
from hornlib.parameters.training import TrainingParameters
from hornlib.results.run_file import RunRecord, write_run_file
from hornlib.results.variables import CURVES
from hornlib.structures import STRUCTURES


class Toy(ModelParameters):
    """A recurrent model that takes its timesteps from the task."""

    network = "nowhere:Toy"
    presentations = ("image",)
    per_lane = ("damping_ratio",)

    name: Literal["toy"] = "toy"
    num_nodes: int = Field(default=8, ge=1)
    """Units of the recurrent layer; the width."""
    timesteps: int | None = None
    """Recurrent steps of one example."""
    damping_ratio: float = Field(default=0.1, ge=0)
    """Damping over frequency."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Of the units."""

    def cost(self, task):
        num_parameters = self.num_nodes * task.num_features
        return Cost(num_parameters, 2 * num_parameters, self.num_nodes)

    def width(self):
        return self.num_nodes

    def with_width(self, width):
        return self.model_copy(update={"num_nodes": width})

    def derived(self, task):
        timesteps = self.timesteps or task.input_shape[-1]
        return {"timesteps": timesteps, "omega": 2 * np.pi / timesteps}


class Rival(Toy):
    """A feed-forward model with a list of widths."""

    name: Literal["rival"] = "rival"
    channels: Widths = (8, 16)
    """Channels of each stage."""

    def derived(self, task):
        return {}


@pytest.fixture(scope="session")
def cell():
    """A function that gives the cell of a model, a dataset and training fields."""

    def make(model=None, data="digits", **training):
        return make_cell(
            DataParameters(name=data),
            model or Toy(),
            STRUCTURES["static"](),
            TrainingParameters(**{"steps": 40, **training}),
        )

    return make


@pytest.fixture(scope="session")
def models():
    """The two model classes."""
    return Toy, Rival


def make_record(cell, seeds, diverged=None, random=None, **attributes):
    """Return a record of random curves; `diverged` maps a seed to the step at which it exploded."""
    random = random or np.random.default_rng([*seeds, len(cell.name)])
    steps = np.array(cell.training.evaluation_steps(cell.data.num_train))
    shape = (len(seeds), len(steps))
    curves = {name: random.random(shape) for name, curve in CURVES.items() if not curve.optional}
    curves["training_flops"] = np.tile(1e6 * steps, (len(seeds), 1)).astype(float)
    diverged_at = np.array([(diverged or {}).get(seed, np.nan) for seed in seeds])
    for values in curves.values():
        values[steps[None] >= diverged_at[:, None]] = np.nan
    return RunRecord(
        seeds=list(seeds),
        steps=steps,
        curves=curves,
        status=["complete" if np.isnan(step) else "diverged" for step in diverged_at],
        diverged_at_step=diverged_at,
        lanes=np.full(len(seeds), len(seeds)),
        attributes={
            "hornlib_version": "1.0",
            "hornlib_commit": "abc",
            "device": "cpu x86",
            "threads": 1,
            **attributes,
        },
    )


@pytest.fixture(scope="session")
def record():
    """`make_record`."""
    return make_record


@pytest.fixture
def write_run(tmp_path):
    """A function that writes the run file of a cell and a range of seeds, and returns its path."""

    def write(cell, first, last, record=None, results=tmp_path, **how):
        path = Path(results) / "runs" / Job(cell.name, Range(first, last)).file_name
        write_run_file(path, cell, record or make_record(cell, range(first, last + 1), **how))
        return path

    return write


@pytest.fixture
def grid(tmp_path):
    """A function that gives a grid from {sweep: ({arm: [cells]}, seeds)}."""

    def make(sweeps, per_job=5, results=tmp_path):
        made, cells, seeds = {}, {}, {}
        for name, (arms, wanted) in sweeps.items():
            made[name] = Sweep(
                name, {cell.name: arm for arm, own in arms.items() for cell in own}, tuple(wanted)
            )
            for cell in (cell for own in arms.values() for cell in own):
                cells[cell.name] = cell
                seeds[cell.name] = tuple(sorted({*seeds.get(cell.name, ()), *wanted}))
        return Grid(Settings(results=str(results), per_job=per_job), (), made, cells, seeds)

    return make
