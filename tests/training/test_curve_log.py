"""The log of the curves: one line for each evaluation of each run, once, however often the job was interrupted."""

import csv
from typing import get_args

import pytest
import torch
import xarray as xr

from hornlib.config.settings import Settings
from hornlib.errors import ConfigError
from hornlib.grid.cell import parse_specification
from hornlib.grid.jobs import Range
from hornlib.training import interruption
from hornlib.training.chunk import Run, start_lanes
from hornlib.training.curve_log import COLUMNS, LOG_FORMATS, CsvLog, make_curve_log
from hornlib.training.interruption import Interrupted
from hornlib.training.job import TrainOptions
from hornlib.training.train import train_job

CELL = parse_specification(
    {
        "data": {"name": "digits", "train_subset": 200},
        "model": {"name": "cnn", "channels": "4"},
        "training": {"steps": 20, "batch_size": 16, "learning_rate": 0.01},
    }
)


def train(folder, **options):
    output = folder / "runs" / f"{CELL.name}.seeds-0-1.nc"
    train_job(
        CELL, Range(0, 1), output, TrainOptions(2, 1, "cpu", folder / "checkpoints", 1e9)._replace(**options)
    )
    return output


def read_log(folder, seed):
    with (folder / "checkpoints" / f"{CELL.name}.seed-{seed}.csv").open() as file:
        return list(csv.DictReader(file))


def test_every_evaluation_of_every_run_is_one_line_with_the_run_files_numbers(tmp_path):
    output = train(tmp_path, log_format="csv")
    with xr.open_dataset(output) as runs:
        for place, seed in enumerate(runs["seed"].values):
            lines = read_log(tmp_path, seed)
            assert tuple(lines[0]) == COLUMNS
            assert [int(line["step"]) for line in lines] == runs["step"].values.tolist()
            for name in ("training_loss", "validation_metric", "training_flops"):
                expected = runs[name].isel(seed=place).values
                assert [float(line[name]) for line in lines] == pytest.approx(expected, rel=1e-6), name
            samples, epochs = ([float(line[name]) for line in lines] for name in ("samples", "epochs"))
            assert samples[:3] == [16, 32, 48]
            assert samples[-1] == CELL.data.num_train + 16 * (
                20 - CELL.training.steps_per_epoch(CELL.data.num_train)
            )
            assert epochs == pytest.approx([value / CELL.data.num_train for value in samples])


@pytest.mark.parametrize("checkpoint_seconds", [0.0, 1e9], ids=["saved_every_step", "saved_at_the_stop"])
def test_a_resumed_job_repeats_no_line(tmp_path, monkeypatch, checkpoint_seconds):
    original = interruption.StopRequest.__enter__

    def stopped_at_once(self):
        original(self)
        self.signal_name = "SIGTERM"
        return self

    options = {"log_format": "csv", "checkpoint_seconds": checkpoint_seconds}
    with monkeypatch.context() as patch:
        patch.setattr("hornlib.training.job.StopRequest.__enter__", stopped_at_once)
        for _ in range(3):  # each call makes one step
            with pytest.raises(Interrupted):
                train(tmp_path, **options)
    # what a kill leaves: an evaluation after the last checkpoint, and half a line
    log = tmp_path / "checkpoints" / f"{CELL.name}.seed-1.csv"
    log.write_text(log.read_text() + ",".join(["5", *"0" * (len(COLUMNS) - 1)]) + "\n6,96,0.")
    train(tmp_path, **options)
    steps = [int(line["step"]) for line in read_log(tmp_path, 1)]
    assert steps == CELL.training.evaluation_steps(CELL.data.num_train)
    assert float(read_log(tmp_path, 1)[steps.index(5)]["samples"]) == 80


def test_training_goes_on_where_the_log_cannot_be_written(tmp_path, capsys):
    (tmp_path / "checkpoints" / f"{CELL.name}.seed-0.csv").mkdir(parents=True)
    assert train(tmp_path, log_format="csv").exists()
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "damage",
    [
        b"\0" * 40 + b"\n",
        b"\xff\xfe\x80\n",
        b"2," + b"\0" * 9 + b"\n",
        b"\n",
        b"nan" + b"," * (len(COLUMNS) - 1) + b"\n",
    ],
    ids=["zeros", "no_utf8", "zeros_in_a_line", "empty_line", "no_step"],
)
def test_lines_that_a_power_cut_damaged_are_dropped_and_the_others_stay(tmp_path, damage):
    run = Run(CELL, 0)
    log = CsvLog(tmp_path, pytest.fail)
    header, lines = ",".join(COLUMNS), [",".join([step, *"0" * (len(COLUMNS) - 1)]) for step in "124"]
    text = "\n".join([header, *lines, ""]).encode()
    log.path(run).write_bytes(text.replace(b"\n4,", b"\n" + damage + b"4,") + b"5,80,0.")
    chunk = start_lanes([run], torch.device("cpu"))
    chunk.step = 3
    log.begin(chunk)
    assert log.path(run).read_text() == "\n".join([header, *lines[:2], ""])
    assert list(tmp_path.iterdir()) == [log.path(run)]


def test_a_log_that_cannot_be_rewritten_is_reported_once_and_raises_nothing(tmp_path):
    (tmp_path / "file").write_text("")
    said = []
    CsvLog(tmp_path / "file", said.append).begin(
        start_lanes([Run(CELL, 0), Run(CELL, 1)], torch.device("cpu"))
    )
    assert len(said) == 1 and "training goes on" in said[0]


def test_without_the_option_there_is_no_log(tmp_path):
    train(tmp_path)
    assert not list(tmp_path.rglob("*.csv"))


def test_an_unknown_format_is_refused_with_the_valid_ones(tmp_path):
    with pytest.raises(ConfigError, match="none, csv, tensorboard"):
        make_curve_log("xml", tmp_path, print)


def test_the_setting_takes_every_format():
    assert get_args(Settings.model_fields["log_format"].annotation) == tuple(LOG_FORMATS)


def test_tensorboard_writes_events_or_names_the_missing_package(tmp_path):
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        with pytest.raises(ConfigError, match="pip install tensorboard"):
            make_curve_log("tensorboard", tmp_path, print)
        return
    train(tmp_path, log_format="tensorboard")
    folders = sorted(path.name for path in (tmp_path / "checkpoints/tensorboard").iterdir())
    assert folders == [f"{CELL.name}.seed-0", f"{CELL.name}.seed-1"]
