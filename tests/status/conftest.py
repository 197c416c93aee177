"""A bench to look at sweeps on: a grid of six jobs, records of the executor, and a faked SLURM."""

import io
import json
import time
from pathlib import Path

import pytest
from rich.console import Console
from snakemake_executor_plugin_submitit.batches import JobRecord, write_batch
from snakemake_executor_plugin_submitit.slurm import Slurm

from hornlib.grid import read_grid
from hornlib.plan.choosing_cells import parse_condition, select
from hornlib.results.seal import seal
from hornlib.status.survey import Survey
from hornlib.status.traces import log_path

CONFIG = """
    results: {results}
    seeds: 4
    per_job: 2
    sweeps:
      one:
        data: {{name: digits}}
        model: [{{name: horn_cnn, timesteps: [4, 8]}}, {{name: cnn, channels: 8-16}}]
      two:
        seeds: 2
        data: {{name: digits}}
        model: {{name: cnn, channels: 8-16}}
"""


class FakeSlurm:
    """Answers squeue and sacct from text, and remembers what it was asked."""

    def __init__(self):
        self.queue, self.accounts, self.calls, self.away = "", "", [], None

    def __call__(self, command):
        self.calls.append(list(command))
        if self.away:
            raise self.away
        if command[0] == "scontrol":
            return "AccountingStorageType = accounting_storage/slurmdbd\n"
        return {"squeue": self.queue, "sacct": self.accounts, "scancel": ""}[command[0]]

    def asked(self, program):
        return [call for call in self.calls if call[0] == program]


class Bench:
    """A grid of six jobs, an executor's folder, and a SLURM that says what a test wants."""

    def __init__(self, grid, folder):
        self.grid, self.folder, self.slurm = grid, folder, FakeSlurm()
        self.jobs = grid.jobs({})

    def submit(self, jobs, array="12", jobs_per_task=1, **header):
        records = [
            JobRecord((str(self.grid.run_path(job)),), "train", (str(self.log(job)),), "true", {})
            for job in jobs
        ]
        batch = write_batch(self.folder, records, {"mem": "100MB"}, jobs_per_task, **header)
        if array:
            batch.record_array(array)
        return batch

    def log(self, job):
        return log_path(self.grid.settings.results, job)

    def write_log(self, job, text):
        self.log(job).parent.mkdir(parents=True, exist_ok=True)
        self.log(job).write_text(text)

    def write_run(self, job):
        path = self.grid.run_path(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("a run")
        seal(path)

    def survey(self, *conditions, sweep=None):
        selected = select(self.grid, [parse_condition(text) for text in conditions], sweep)
        return Survey(self.grid, selected, self.folder, Slurm(self.slurm))

    def standing(self, number):
        return self.survey().standings[self.jobs[number]]

    def end(self, batch, number, code, **more):
        record = {"code": code, "job": "12_0", "host": "n1", "time": time.time(), **more}
        (batch.folder / f"{number}.exit").write_text(json.dumps(record))

    def start(self, batch, number, job="12_0", times=1):
        line = json.dumps({"job": job, "host": "n1", "time": time.time(), "mark": None, "restart": 0})
        (batch.folder / f"{number}.starts").write_text(f"{line}\n" * times)

    def write_head(self, pid, host, born="1"):
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "head.json").write_text(json.dumps({"host": host, "pid": pid, "born": born}))

    def printed(self, show, survey, width=None):
        stream = io.StringIO()
        terminal = {"force_terminal": True, "width": width, "color_system": None} if width else {}
        show(survey, Console(file=stream, **terminal))
        return stream.getvalue()


@pytest.fixture(scope="session")
def bench_in():
    """A function that makes a bench in a folder, of the configuration with words of it replaced."""

    def make(folder, **replaced):
        text = CONFIG.format(results=Path(folder) / "out")
        for old, new in replaced.items():
            text = text.replace(f"{old}: ", f"{old}: {new} #")
        (Path(folder) / "config.yaml").write_text(text)
        return Bench(read_grid([Path(folder) / "config.yaml"]), Path(folder) / "records")

    return make


@pytest.fixture
def bench(bench_in, tmp_path):
    return bench_in(tmp_path)
