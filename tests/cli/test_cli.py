"""The command line: what goes to stdout and stderr, exit codes, and no traceback for a person's mistake."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest
from snakemake_executor_plugin_submitit.lease import Head

from hornlib import cli
from hornlib.errors import ResultsError
from hornlib.grid import read_grid
from hornlib.grid.cell import parse_specification
from hornlib.grid.jobs import Range, parse_run_name
from hornlib.lease import acquire
from hornlib.results.run_file import RunRecord, write_run_file
from hornlib.results.variables import CURVES
from hornlib.training.interruption import Interrupted

CONFIG = """
    seeds: 3
    per_job: 2
    sweeps:
      one:
        data: {name: digits}
        model: [{name: horn_cnn, timesteps: [4, 8, 16]}, {name: cnn, channels: 8-16}]
"""


class Answer(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def hornlib(tmp_path, monkeypatch, capsys, config_file):
    """Call the command line in a folder with a config.yaml, in this process."""
    monkeypatch.chdir(tmp_path)
    config_file(CONFIG)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["hornlib", *map(str, words)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main()
            raise SystemExit(0)
        return Answer(int(left.value.code or 0), *capsys.readouterr())

    return call


@pytest.fixture
def trained(monkeypatch):
    """Stand in for the trainer, which would load torch; record what it is asked for."""
    calls = []

    class TrainOptions(NamedTuple):
        lanes: int | str
        threads: int
        device: str
        checkpoints: Path
        checkpoint_seconds: float
        probes: object = None
        log_format: str = "none"
        kernel: str = "auto"
        keep_weights: str = "off"

    def train_job(cell, seeds, output, options):
        print("step 1", file=sys.stderr)
        calls.append((cell, seeds, output, options))

    module, engine = ModuleType("hornlib.training.train"), ModuleType("hornlib.training.job")
    module.train_job, engine.TrainOptions = train_job, TrainOptions
    monkeypatch.setitem(sys.modules, "hornlib.training.train", module)
    monkeypatch.setitem(sys.modules, "hornlib.training.job", engine)
    return calls


CELL = parse_specification({"data": {"name": "digits"}, "model": {"name": "cnn", "channels": "8-16"}})
OUTPUT = f"results/runs/{CELL.name}.seeds-0-4.nc"
JSON = json.dumps(CELL.job_specification())


def refused(**sections):
    """Return the words that train a cell which the expansion would refuse."""
    cell = parse_specification({"data": {"name": "digits"}, "model": {"name": "cnn"}} | sections)
    specification = json.dumps(cell.job_specification())
    return ["train", f"results/runs/{cell.name}.seeds-0-4.nc", "--cell", specification]


def test_plan_prints_the_table(hornlib):
    answer = hornlib("plan")
    assert answer.status == 0 and answer.err == ""
    assert "one on digits, seeds 0 to 2" in answer.out and "4 cells, 12 runs" in answer.out


def test_paths_are_all_that_stdout_gets(hornlib):
    answer = hornlib("plan", "--paths")
    lines = answer.out.splitlines()
    assert len(lines) == 8
    assert all(line.startswith("results/runs/digits-") and line.endswith(".nc") for line in lines)
    assert hornlib("plan", "--paths", "--limit", 1).out.splitlines() == lines[:2]
    chosen = hornlib("plan", "--paths", "--where", "timesteps=8", "--where", "arm=horn_cnn").out.splitlines()
    assert chosen == lines[2:4]


def test_a_finished_grid_plans_the_same_paths(hornlib):
    lines = hornlib("plan", "--paths").out.splitlines()
    for line in lines:
        Path(line).parent.mkdir(parents=True, exist_ok=True)
        Path(line).touch()
    assert hornlib("plan", "--paths").out.splitlines() == lines


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["plan", "--where", "timestep=8"], "did you mean 'timesteps'?"),
        (["plan", "--where", "timesteps"], "expected key=value"),
        (["plan", "--sweep", "two"], "there is no sweep 'two'"),
        (["plan", "--configfile", "other.yaml"], "other.yaml: there is no such file"),
        (["config", "check", "other.yaml"], "other.yaml: there is no such file"),
        (["train", OUTPUT, "--cell", "{"], "--cell: no JSON: "),
        (["train", OUTPUT, "--cell", "[]"], "a specification has the sections"),
        (["train", OUTPUT, "--cell", "{}"], "data.name: data needs this parameter"),
        (["train", "run.nc", "--cell", JSON], f"it is called {CELL.name}.seeds-<first>-<last>.nc"),
        (["train", OUTPUT.replace("0-4", "4-0"), "--cell", JSON], "is no run file of this cell"),
        (["train", OUTPUT, "--cell", JSON.replace("8-16", "8-17")], "is no run file of this cell"),
        (
            ["train", OUTPUT, "--cell", JSON, "--lanes", "0"],
            "lanes: got 0; valid: auto, or an integer from 1",
        ),
        (["train", OUTPUT, "--cell", JSON, "--lanes", "many"], "lanes: got 'many'; valid: auto"),
        (["train", OUTPUT, "--cell", JSON, "--device", "gpu"], "device: got 'gpu'; unknown device"),
        (["train", OUTPUT, "--cell", JSON, "--checkpoint-minutes", "nan"], "checkpoint_minutes: got .nan"),
        (
            refused(data={"name": "digits", "presentation": "rows"}),
            "--cell: cnn does not take the presentation 'rows' of digits; valid: image",
        ),
        (refused(model={"name": "horn"}), "--cell: timesteps: an image is a constant input"),
        (refused(training={"batch_size": 1}), "--cell: training.batch_size: got 1"),
        (["data", "mnst"], "unknown dataset 'mnst'"),
        (["gather"], "no run file"),
        (["gather", "--configfile", "other.yaml"], "other.yaml: there is no such file"),
    ],
)
def test_a_mistake_is_one_message_on_stderr_and_exit_status_1(hornlib, trained, words, message):
    answer = hornlib(*words)
    assert answer.status == 1 and answer.out == ""
    assert answer.err.startswith("error: ") and "Traceback" not in answer.err
    if words != ["gather"]:
        assert message in answer.err
    assert trained == []


@pytest.mark.parametrize("words", [["plan", "--limit", "0"], ["plan", "--limit", "x"], ["paln"], ["train"]])
def test_a_misused_option_is_exit_status_2(hornlib, words):
    answer = hornlib(*words)
    assert answer.status == 2 and answer.out == "" and "Traceback" not in answer.err


def test_config_check_says_where_a_mistake_is(hornlib, config_file):
    answer = hornlib("config", "check")
    assert (answer.status, answer.out) == (0, "ok: 1 sweep, 4 cells, 12 runs\n")
    assert answer.err == (
        "warning: config.yaml:2: seeds: one: 3 seeds of each arm, and a verdict needs at least 7 "
        "(statistics.min_seeds)\n"
    )
    config_file("sweeps:\n  one:\n    model: {name: cnn}\n    data: {name: digts}\n", "wrong.yaml")
    answer = hornlib("config", "check", "wrong.yaml")
    assert answer.status == 1
    assert answer.err.startswith("error: wrong.yaml:4: sweeps.one.data.name: unknown dataset 'digts'")


def test_config_check_reads_several_files_together_and_tells_warnings(hornlib, config_file):
    config_file("defaults: {data: {name: digits}}\n", "a.yaml")
    config_file("sweeps: {s: {model: {name: horn_cnn, omega: 3, timesteps: [4, 8]}}}\n", "b.yaml")
    answer = hornlib("config", "check", "a.yaml", "b.yaml")
    assert (answer.status, answer.out) == (0, "ok: 1 sweep, 2 cells, 10 runs\n")
    assert "warning: b.yaml:1: sweeps.s.model: horn_cnn: " in answer.err and "unstable" in answer.err


def test_config_schema_is_json(hornlib):
    assert json.loads(hornlib("config", "schema").out)["title"] == "config.yaml of hornlib"


def test_train_hands_the_job_to_the_trainer(hornlib, trained):
    words = [
        "--lanes",
        3,
        "--threads",
        2,
        "--device",
        "cpu",
        "--checkpoints",
        "c",
        "--checkpoint-minutes",
        0.5,
        "--kernel",
        "loop",
        "--keep-weights",
        "last",
    ]
    assert hornlib("train", OUTPUT, "--cell", JSON, *words).status == 0
    ((cell, seeds, output, options),) = trained
    assert (cell.name, seeds, output) == (CELL.name, Range(0, 4), Path(OUTPUT))
    assert options == (3, 2, "cpu", Path("c"), 30.0, None, "none", "loop", "last")


def test_train_has_defaults_that_stand_beside_the_run_files(hornlib, trained):
    hornlib("train", OUTPUT, "--cell", JSON)
    folder = Path("results/checkpoints")
    assert trained[0][3] == ("auto", 1, "auto", folder, 300.0, None, "none", "auto", "off")


def test_train_writes_its_progress_to_a_log(hornlib, trained):
    answer = hornlib("train", OUTPUT, "--cell", JSON, "--log", "logs/a.log")
    assert answer == Answer(0, "", "")
    assert Path("logs/a.log").read_text() == "step 1\n"


@pytest.mark.parametrize(
    ("error", "status", "message"),
    [
        (ResultsError("the disk is full"), 1, "error: the disk is full\n"),
        (PermissionError(13, "Permission denied", "out"), 1, "error: [Errno 13] Permission denied: 'out'\n"),
        (Interrupted("stopped by SIGTERM"), 75, "stopped by SIGTERM\n"),
        (KeyboardInterrupt(), 130, None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_how_a_command_ends(hornlib, trained, monkeypatch, error, status, message):
    def fail(*_):
        raise error

    monkeypatch.setattr(sys.modules["hornlib.training.train"], "train_job", fail)
    answer = hornlib("train", OUTPUT, "--cell", JSON)
    assert answer.status == status and "Traceback" not in answer.err
    assert message is None or answer.err == message


def test_a_bug_keeps_its_traceback(hornlib, trained, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(sys.modules["hornlib.training.train"], "train_job", fail)
    with pytest.raises(ZeroDivisionError):
        hornlib("train", OUTPUT, "--cell", JSON)


def test_a_reader_that_has_seen_enough_ends_the_command_quietly(tmp_path, config_file):
    config_file(CONFIG.replace("[4, 8, 16]", str(list(range(1, 1001)))))
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "hornlib.cli", "plan", "--paths"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_help_lists_every_command(hornlib):
    answer = hornlib("--help")
    assert answer.status == 0
    for command in ("plan", "config", "data", "train", "gather", "figures", "migrate"):
        assert f" {command} " in answer.out


def test_the_help_needs_no_library_for_configurations_and_results():
    heavy = {"pydantic", "ruamel.yaml", "numpy", "xarray", "torch"}
    code = f"import hornlib.cli, sys; print(*({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_version_is_told(hornlib):
    from hornlib import __version__

    assert hornlib("--version").out.strip() == __version__


def write_runs(paths):
    """Write run files that are right in every respect but that nothing was trained."""
    grid = read_grid(["config.yaml"])
    for path in map(Path, paths):
        job = parse_run_name(path.name)
        cell, seeds = grid.cells[job.cell], list(job.range.seeds())
        steps = np.array(cell.training.evaluation_steps(cell.data.num_train))
        needed = [name for name, variable in CURVES.items() if not variable.optional]
        curves = {name: np.ones((len(seeds), len(steps))) for name in needed}
        nothing, lanes = np.full(len(seeds), np.nan), np.ones(len(seeds))
        record = RunRecord(seeds, steps, curves, ["complete"] * len(seeds), nothing, lanes, {"host": "here"})
        path.parent.mkdir(parents=True, exist_ok=True)
        write_run_file(path, cell, record)


def test_gather_says_what_it_wrote(hornlib):
    paths = hornlib("plan", "--paths").out.split()
    write_runs(paths[:-1])
    partial = hornlib("gather", "--partial")
    assert partial.status == 0
    assert partial.out.startswith("results/partial.nc: 4 cells, 3 seeds, ")
    write_runs(paths[-1:])
    whole = hornlib("gather")
    assert (whole.status, whole.err) == (0, "") and whole.out.startswith(
        "results/results.nc: 4 cells, 3 seeds, "
    )


def test_figures_names_the_files_it_drew(hornlib, monkeypatch):
    module = ModuleType("hornlib.report.learning_curves")
    module.plot_sweep = lambda results, sweep, folder: [folder / f"{sweep}-{kind}.svg" for kind in ("a", "b")]
    monkeypatch.setitem(sys.modules, "hornlib.report.learning_curves", module)
    answer = hornlib("figures", "--results", "results.nc", "--sweep", "one", "--folder", "figures")
    assert answer == Answer(0, "figures/one-a.svg\nfigures/one-b.svg\n", "")


def test_migrate_tells_what_it_cannot_do(hornlib):
    assert hornlib("migrate") == Answer(0, "0 run file(s), 0 as they should be\n", "")
    runs = Path("results/runs")
    runs.mkdir(parents=True)
    (runs / f"{CELL.name}.seeds-0-4.nc").write_bytes(b"no netCDF")
    answer = hornlib("migrate", "--dry-run")
    assert answer.status == 1 and "refused: " in answer.out
    assert answer.err.startswith("error: 1 run file could not be migrated")


def test_one_output_is_not_given_to_every_experiment(hornlib):
    answer = hornlib("mechanism", "--output", "all.nc")
    assert answer.status == 1 and "name the experiment" in answer.err


def test_mechanism_without_a_name_lists_the_experiments_and_runs_none(hornlib):
    from hornlib.mechanism.experiments import EXPERIMENTS

    answer = hornlib("mechanism")
    assert answer.status == 0
    for name, experiment in EXPERIMENTS.items():
        assert f"\n{name}: " in f"\n{answer.out}" and f"sweep {experiment.sweep}, not in this" in answer.out
    assert "config/mechanism.yaml" in answer.out
    nothing = hornlib("mechanism", "--all")
    assert nothing.status == 1 and "config/mechanism.yaml" in nothing.err


def test_plan_lists_cells_by_their_labels(hornlib):
    lines = hornlib("plan", "--cells").out.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("one  horn_cnn (timesteps 4)") and "digits-horn_cnn-" in lines[0]
    assert lines[3].split()[:2] == ["one", "cnn"] and lines[3].split()[-1] == "none"


def test_status_that_watches_ends_when_nothing_runs_or_waits(hornlib):
    answer = hornlib("status", "--watch", "--every", 0.1)
    assert answer.status == 0 and "0 of 4 cells" in answer.out


def test_status_goes_on_watching_while_a_sweep_lives(hornlib, monkeypatch):
    """The sweep ends during the first pause; before its first job and between two jobs nothing runs or waits."""
    lease = acquire("results")
    monkeypatch.setattr("hornlib.cli.sweeps.time.sleep", lambda seconds: lease.close())
    answer = hornlib("status", "--watch", "--every", 0.1)
    assert lease.closed
    assert answer.status == 0 and answer.out.count("0 of 4 cells") == 2


@pytest.mark.parametrize("lives", [True, False])
def test_status_goes_on_watching_while_the_head_of_the_cluster_lives(hornlib, monkeypatch, lives):
    heads = [Head("login", 1, lives, 0.0), Head("login", 1, False, 0.0)]
    monkeypatch.setattr("snakemake_executor_plugin_submitit.lease.read_head", lambda folder: heads.pop(0))
    monkeypatch.setattr("hornlib.cli.sweeps.time.sleep", lambda seconds: None)
    assert hornlib("status", "--watch").out.count("0 of 4 cells") == 1 + lives


def test_an_error_advises_commands_for_the_configuration_that_was_read(hornlib, config_file):
    config_file(CONFIG.replace("seeds: 3", "seeds: 3\n    results: elsewhere"), "other.yaml")
    answer = hornlib("gather", "--configfile", "other.yaml")
    assert answer.status == 1
    assert re.search(r"`HORNLIB_CONFIG=other.yaml snakemake --cores 1 \S+` trains the first", answer.err)
    assert "`hornlib gather --partial --configfile other.yaml`" in answer.err
    assert "--configfile" not in hornlib("gather").err
