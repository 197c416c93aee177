"""Which configuration a workflow reads: no code that stands in it runs, and an edit holds from the next call on."""

import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hornlib import cli
from hornlib.config.commands import READERS
from hornlib.errors import ConfigError

CODE = """\
__use_yte__: true
__definitions__:
  - import os
  - os.system("touch ./pwned")
"""
"""Python code for the template engine to which Snakemake gives the files of its option --configfile."""


@pytest.fixture
def foreign(project, monkeypatch):
    """A project in whose folder lies a configuration with code; it is the working directory."""
    monkeypatch.chdir(project.folder)
    Path("foreign.yaml").write_text(CODE)
    return project


def assert_refused(message):
    assert "foreign.yaml:1: __use_yte__: unknown key" in message
    assert "Traceback" not in message
    assert {path.name for path in Path().iterdir()} - {".snakemake"} == {"config.yaml", "foreign.yaml"}


@pytest.mark.usefixtures("foreign")
@pytest.mark.parametrize(
    "command", [*READERS, "run --dry-run", "run --set seeds=2", "run --profile cluster/slurm", "config check"]
)
@pytest.mark.parametrize("way", ["option", "variable"])
def test_no_command_runs_code_of_a_configuration_and_each_refuses_it_with_its_line(monkeypatch, command, way):
    words = command.split()
    if way == "variable":
        monkeypatch.setenv("HORNLIB_CONFIG", "foreign.yaml")
    else:
        words += ["foreign.yaml"] if command == "config check" else ["--configfile", "foreign.yaml"]
    refused = CliRunner().invoke(cli.app, words)
    assert isinstance(refused.exception, ConfigError)
    assert_refused(str(refused.exception))


def test_snakemake_runs_no_code_of_a_configuration_that_the_variable_names(foreign, monkeypatch):
    monkeypatch.setenv("HORNLIB_CONFIG", "foreign.yaml")
    refused = foreign.snakemake("--dry-run")
    assert refused.returncode == 1
    assert_refused(refused.stdout + refused.stderr)


def test_the_variable_names_several_files(project, monkeypatch):
    settings, _, sweeps = project.configuration.partition("sweeps:")
    (project.folder / "settings.yaml").write_text(settings)
    (project.folder / "with space.yaml").write_text(f"sweeps:{sweeps}")
    (project.folder / "config.yaml").unlink()
    monkeypatch.setenv("HORNLIB_CONFIG", "settings.yaml:with space.yaml")
    assert project.planned("two_cells")["train"] == 2
    assert "ok: 1 sweep" in project.hornlib("config", "check").stdout
    monkeypatch.delenv("HORNLIB_CONFIG")
    files = ["--configfile", "settings.yaml", "--configfile", "with space.yaml"]
    planned = project.hornlib("run", "two_cells", "--dry-run", *files)
    assert re.search(r"^train +2$", planned.stdout + planned.stderr, re.M)


def test_snakemakes_own_option_still_works_and_warns(project):
    project.configure(project.configuration.replace("two_cells:", "other:"))
    (project.folder / "config.yaml").rename(project.folder / "other.yaml")
    result = project.snakemake("--configfile", "other.yaml", "--list-rules")
    assert result.returncode == 0 and "other" in (result.stdout + result.stderr).split()
    assert "HORNLIB_CONFIG=FILE snakemake" in result.stderr


def test_an_empty_variable_names_no_configuration(project, monkeypatch):
    monkeypatch.setenv("HORNLIB_CONFIG", "")
    (project.folder / "config.yaml").rename(project.folder / "other.yaml")
    assert project.planned("--configfile", "other.yaml")["train"] == 2


def test_a_configuration_that_is_named_twice_is_refused(project, monkeypatch):
    monkeypatch.setenv("HORNLIB_CONFIG", "config.yaml")
    refused = project.snakemake("--dry-run", "--configfile", "config.yaml")
    assert refused.returncode == 1 and "both name a configuration" in refused.stdout + refused.stderr


def test_a_configuration_with_a_colon_in_its_path_is_refused_before_anything_starts(project):
    (project.folder / "config.yaml").rename(project.folder / "a:b.yaml")
    refused = project.hornlib("run", "--configfile", "a:b.yaml", "--cores", "1")
    assert refused.returncode == 1 and "must not contain ':'" in refused.stderr
    assert not (project.folder / "results").exists()


EDITS = {
    "value added": ("timesteps: 4}", "timesteps: [4, 5]}"),
    "typo": ("timesteps: 4}", "timestep: 4}"),
    "other results folder": ("results: results", "results: elsewhere"),
}


class Running:
    """A command that trains a missing run of a finished project, and whose configuration is edited meanwhile."""

    def __init__(self, project, *command):
        self.project = project
        (gone, *_) = sorted((project.folder / "results/runs").glob("*.nc"))
        gone.unlink()
        self.log = project.folder / "results/logs/train" / f"{gone.stem}.log"
        self.results = project.folder / "results/results.nc"
        self.results.unlink()
        self.log.unlink()
        self.command = command

    def edited(self, edit):
        """Start the command, edit its configuration while it trains, and return what it printed at its end."""
        old, new = EDITS[edit]
        with subprocess.Popen(
            self.command, cwd=self.project.folder, env=self.project.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        ) as process:  # fmt: skip
            deadline = time.monotonic() + 240
            while not self.log.exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            assert not self.results.exists()
            assert old in self.project.configuration
            self.project.configure(self.project.configuration.replace(old, new))
            printed, said = process.communicate(timeout=550)
        assert process.returncode == 0, said
        assert self.results.exists()
        return printed, said


@pytest.mark.slow  # a run, gathering and the whole evidence: half a minute
def test_a_typo_during_a_sweep_does_not_reach_its_end_and_the_next_call_refuses_it(copied):
    command = sys.executable, "-m", "hornlib.cli", "run", "--cores", "2"
    printed, _ = Running(copied, *command).edited("typo")
    assert "Does horn_cnn learn faster?" in printed
    assert "takes in the edit of config.yaml." in " ".join(printed.split())
    refused = copied.hornlib("run", "--cores", "2")
    assert refused.returncode == 1 and re.search(
        r"config\.yaml:\d+: .*timestep: .*'timesteps'", refused.stderr
    )


@pytest.mark.parametrize("edit", ["value added", "other results folder"])
def test_an_edit_during_a_sweep_holds_from_the_next_call_on(copied, edit):
    Running(copied, *copied.command("--cores", "2", "results/results.nc")).edited(edit)
    assert copied.planned("two_cells")["train"] == (1 if edit == "value added" else 2)
    assert not (copied.folder / "elsewhere").exists()
