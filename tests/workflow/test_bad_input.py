"""Poor results through the command line, from run files to the page: it is made, and says what cannot be concluded."""

import html
import re
import sys

import numpy as np
import pytest
import xarray as xr

from hornlib import cli
from hornlib.grid import read_grid
from hornlib.results.run_file import RunRecord, read_contents, write_contents, write_run_file
from hornlib.results.variables import CURVES

CONFIG = """
results: {results}
probes: off
seeds: {seeds}
per_job: 10
statistics: {{subject: mlp{baseline}, bootstrap: 1000}}
defaults:
  data: {{name: digits{data}}}
  training: {{steps: 40, batch_size: 32, learning_rate: 1e-2}}
sweeps:
  poor:
    model: [{model}]
"""

BOTH = "{name: mlp, hidden_nodes: 4}, {name: cnn, channels: 2-4}"


def learned(cell, seeds, fastest=4.0):
    """Return the record of runs that learn, each at a speed of its own."""
    steps = np.array(cell.training.evaluation_steps(cell.data.num_train))
    speed = fastest * (2 if cell.model.name == "cnn" else 1) * np.linspace(0.8, 1.25, len(seeds))[:, None]
    metric = 0.1 + 0.85 * steps / (steps + speed)
    curves = {name: metric.copy() for name, curve in CURVES.items() if not curve.optional}
    curves["training_flops"] = np.tile(1e6 * steps, (len(seeds), 1)).astype(float)
    if not cell.data.num_validation:
        curves["validation_loss"][:] = curves["validation_metric"][:] = np.nan
    return RunRecord(
        seeds=list(seeds),
        steps=steps,
        curves=curves,
        status=["complete"] * len(seeds),
        diverged_at_step=np.full(len(seeds), np.nan),
        lanes=np.full(len(seeds), len(seeds)),
        attributes={"hornlib_version": "1", "hornlib_commit": "abc", "device": "cpu", "threads": 1},
    )


def diverged(record):
    """Every run explodes at step 5."""
    for curve in record.curves.values():
        curve[:, record.steps >= 5] = np.nan
    record.status[:] = ["diverged"] * len(record.seeds)
    record.diverged_at_step[:] = 5


def never_learned(record):
    """Nothing rises above chance."""
    record.curves["validation_metric"][:] = record.curves["test_metric"][:] = 0.1


def without_numbers(record):
    """Half of the runs lost their validation metric, and did not diverge."""
    record.curves["validation_metric"][::2, 3:] = np.nan


class Sweep:
    """A results folder with its configuration, and the command line beside it."""

    def __init__(self, folder, monkeypatch, capsys):
        self.folder, self.monkeypatch, self.capsys = folder, monkeypatch, capsys
        self.results, self.config = folder / "results", folder / "config.yaml"

    def configure(self, model=BOTH, seeds=7, data="", baseline=", baseline: cnn"):
        given = {"model": model, "seeds": seeds, "data": data, "baseline": baseline}
        self.config.write_text(CONFIG.format(results=self.results, **given))
        self.grid = read_grid([self.config])

    def train(self, spoil=lambda record: None):
        for job in self.grid.jobs({}):
            cell = self.grid.cells[job.cell]
            record = learned(cell, list(job.range.seeds()))
            spoil(record)
            write_run_file(self.grid.run_path(job), cell, record)

    def runs(self):
        return sorted((self.results / "runs").glob("*.nc"))

    def call(self, *words):
        """Return the exit status, and what was said on standard output and error."""
        self.monkeypatch.setattr(sys, "argv", ["hornlib", *words, "--configfile", str(self.config)])
        with pytest.raises(SystemExit) as left:
            cli.main()
            raise SystemExit(0)
        return int(left.value.code or 0), *self.capsys.readouterr()

    def page(self, *gathering):
        """Return the words of the page, made by three commands that all end well."""
        partial = ["--results", str(self.results / "partial.nc")] if gathering else []
        for words in (["gather", *gathering], ["statistics", *partial], ["report"]):
            status, _, err = self.call(*words)
            assert status == 0, err
        page = (self.results / "report.html").read_text(encoding="utf-8")
        text = re.sub(r"<script.*?</script>|<style.*?</style>|<[^>]+>", " ", page, flags=re.S)
        return " ".join(html.unescape(text).split())


@pytest.fixture
def sweep(tmp_path, monkeypatch, capsys):
    # drawing each chart twice is tested elsewhere, and takes longest
    monkeypatch.setattr("hornlib.report.page.write_figures", lambda charts, folder: None)
    return Sweep(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    ("given", "spoil", "said"),
    [
        ({"seeds": 3}, None, ["Not enough data", "fewer than 7 runs"]),
        (
            {"model": "{name: mlp, hidden_nodes: 4}", "baseline": ""},
            None,
            ["only the arm mlp", "no arm cnn sets"],
        ),
        ({}, never_learned, ["cnn ends no better than chance", "Not measured"]),
        ({}, diverged, ["All runs of", "diverged", "Not measured"]),
        ({}, without_numbers, ["evaluations without a number, although they did not diverge"]),
        (
            {"model": "{name: mlp, hidden_nodes: 4}, {name: cnn, channels: 2-4, training: {steps: 25}}"},
            None,
            ["were evaluated at different steps"],
        ),
        ({"data": ", validation: 0"}, None, ["there is no validation split. Targets", "use the test split"]),
    ],
    ids=["too few seeds", "one arm", "no target", "all diverged", "NaN", "grids", "no validation"],
)
def test_the_page_is_made_and_says_what_cannot_be_concluded(sweep, given, spoil, said):
    sweep.configure(**given)
    sweep.train(spoil or (lambda record: None))
    words = sweep.page()
    for sentence in said:
        assert sentence in words


def test_runs_of_several_versions_are_told_while_gathering_and_on_the_page(sweep):
    sweep.configure()
    sweep.train()
    first = sweep.runs()[0]
    contents = read_contents(first)
    (job,) = [job for job in sweep.grid.jobs({}) if job.cell in first.name]
    first.unlink()
    write_contents(first, job, contents._replace(attributes={**contents.attributes, "hornlib_version": "2"}))
    assert "several versions" in sweep.call("gather")[2]
    assert "Run files of several versions of hornlib are mixed" in sweep.page()


def test_missing_cells_are_refused_by_name_and_told_where_the_rest_is_gathered(sweep):
    sweep.configure()
    sweep.train()
    gone = sweep.runs()[0]
    gone.unlink()
    status, _, err = sweep.call("gather")
    assert status == 1 and gone.name in err and "--partial" in err
    words = sweep.page("--partial")
    assert "7 runs of 14 are missing: these statistics are preliminary" in words


def damaged(path):
    """Cut a file in half."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def one_line(output):
    """Return the only line of what was said on standard error."""
    (line,) = output.strip().splitlines()
    assert line.startswith("error: ") and "Traceback" not in line
    return line


@pytest.mark.parametrize(
    ("name", "commands"),
    [
        ("statistics.nc", ["report"]),
        ("results.nc", ["statistics", "report"]),
    ],
)
def test_a_damaged_file_ends_the_command_with_its_name_in_one_line(sweep, name, commands):
    sweep.configure()
    sweep.train()
    for words in ("gather", "statistics"):
        assert sweep.call(words)[0] == 0
    damaged(sweep.results / name)
    for command in commands:
        status, _, err = sweep.call(command)
        assert status == 1 and str(sweep.results / name) in one_line(err)


def test_a_damaged_run_file_is_named_by_gather(sweep):
    sweep.configure()
    sweep.train()
    first = sweep.runs()[0]
    damaged(first)
    status, _, err = sweep.call("gather")
    assert status == 1 and str(first) in one_line(err)


@pytest.mark.parametrize("command", ["statistics", "report"])
def test_a_folder_that_cannot_be_written_ends_the_command_with_the_files_name(sweep, command):
    sweep.configure()
    sweep.train()
    for words in ("gather", "statistics"):
        assert sweep.call(words)[0] == 0
    (sweep.folder / "taken").write_text("a file, and no folder")
    output = sweep.folder / "taken" / "made"
    status, _, err = sweep.call(command, "--output", str(output))
    assert status == 1 and str(output) in one_line(err)


def test_no_damage_leaves_half_a_file(sweep):
    sweep.configure()
    sweep.train()
    assert sweep.call("gather")[0] == 0
    before = (sweep.results / "results.nc").read_bytes()
    damaged(sweep.runs()[0])
    assert sweep.call("gather")[0] == 1
    assert (sweep.results / "results.nc").read_bytes() == before
    with xr.open_dataset(sweep.results / "results.nc") as results:
        assert (results["status"] == "complete").all()
