"""`hornlib importance`: what a mistaken call is told; tests/importance/test_stage.py tests what is measured."""

import json
import sys

import pytest

from hornlib.cli import main
from hornlib.importance import stage

RUN_FILE = "results/runs/digits-mlp-0123456789ab.seeds-0-1.nc"


@pytest.fixture
def importance(monkeypatch, tmp_path, capsys):
    """A function that calls the command in an empty folder and returns its exit status and what it said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HORNLIB_CONFIG", raising=False)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["hornlib", "importance", *words])
        status = 0
        try:
            main()
        except SystemExit as stopped:
            status = stopped.code
        return status, "".join(capsys.readouterr())

    return call


def configure(tmp_path, importance):
    (tmp_path / "config.yaml").write_text(
        f"keep_weights: last\nimportance: {importance}\n"
        "sweeps: {small: {data: {name: digits}, model: {name: mlp, hidden_nodes: 8}}}\n"
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((RUN_FILE, "--settings", "{}"), "there are no weights of these runs. Write `keep_weights: last`"),
        ((RUN_FILE, "--settings", "{"), "--settings: no JSON"),
        ((RUN_FILE, "--settings", '{"sampel": 20}'), "did you mean 'sample'"),
        ((RUN_FILE, "--settings", '"off"'), "--settings: off"),
        (("--settings", "{}"), "--settings and --output belong to one job; name its run file"),
        (("--output", "elsewhere.nc"), "name its run file"),
    ],
)
def test_a_mistake_is_told_in_words(importance, words, said):
    status, text = importance(*words)
    assert status == 1 and said in text and "Traceback" not in text


def test_without_importance_in_the_configuration_the_command_says_what_to_write(importance, tmp_path):
    configure(tmp_path, "off")
    for words in ((), (RUN_FILE,)):
        status, text = importance(*words)
        assert status == 1 and "importance: {}" in text


def test_untrained_jobs_are_named_and_a_partial_grid_without_any_too(importance, tmp_path):
    configure(tmp_path, "{}")
    status, text = importance()
    assert status == 1 and "there are no weights of these runs" in text
    status, text = importance("--partial")
    assert status == 1 and "no job has weights yet" in text


def test_one_job_is_measured_as_the_option_or_the_configuration_says(importance, tmp_path, monkeypatch):
    configure(tmp_path, "{examples: 70}")
    calls = []
    monkeypatch.setattr(stage, "measure_job", lambda *asked: calls.append(asked) or "done")
    assert importance(RUN_FILE) == (0, "done\n")
    assert importance(RUN_FILE, "--settings", json.dumps({"examples": 80}), "--output", "there.nc")[0] == 0
    (first, settings, output), (_, others, elsewhere) = calls
    assert str(first) == RUN_FILE and settings.examples == 70 and output is None
    assert others.examples == 80 and str(elsewhere) == "there.nc"
