"""Logs in the terminal: the end of a failed job's log is shown, whatever the log's size."""

import os
import re
import sys
from pathlib import Path

import pytest

FAKE = """#!/bin/sh
[ "$1" = {command} ] || exec {hornlib} "$@"
yes "one line of very many" | head -c 50000000
{ending}
echo "error: the last line"
exit 3
"""


@pytest.fixture
def fail(monkeypatch):
    """Let a command of hornlib print 50 MB and fail, and return what the terminal got."""

    def run(project, command, ending="", *words):
        programs = project.folder / "programs"
        programs.mkdir()
        hornlib = Path(sys.executable).with_name("hornlib")
        (programs / "hornlib").write_text(FAKE.format(command=command, hornlib=hornlib, ending=ending))
        (programs / "hornlib").chmod(0o755)
        environment = {**project.environment, "PATH": f"{programs}:{os.environ['PATH']}"}
        monkeypatch.setattr(type(project), "environment", environment)
        failed = project.snakemake(*words)
        assert failed.returncode != 0
        logs = (project.folder / "results/logs").rglob("*.log")
        assert max(log.stat().st_size for log in logs) >= 50_000_000
        return failed.stdout + failed.stderr

    return run


def assert_shown_once(said):
    assert len(said) < 60_000
    num_failures = said.count("Error in rule ")
    assert num_failures >= 1
    assert len(re.findall(r"^The end of results/logs/", said, re.M)) == num_failures
    assert said.count("error: the last line\n") == num_failures


@pytest.mark.parametrize("ending", ["", "head -c 50000000 /dev/zero | tr '\\0' x"], ids=["lines", "one line"])
def test_of_a_training_log_of_50_megabytes_the_terminal_gets_the_end_once(project, fail, ending):
    assert_shown_once(fail(project, "train", ending, "--until", "train"))


def test_of_the_log_of_any_other_rule_the_terminal_gets_the_end_once(copied, fail):
    (copied.folder / "results/report.html").unlink()
    assert_shown_once(fail(copied, "report"))
