"""Wrong configurations: none gives a traceback, touches a file, runs a command, or uses up time or memory."""

import os
import random
import signal
import subprocess
from pathlib import Path

import pytest
from fuzz import configurations
from fuzz.configurations import GOOD, cases, sources
from fuzz.mutations import mutated


def test_wrong_configurations_are_refused_with_the_name_of_the_file_or_accepted():
    judged = list(cases(60))
    bad = [case for case in judged if case.outcome not in (*GOOD, "above 5 s")]  # a loaded machine is slow
    assert not bad
    assert {case.outcome for case in judged} >= set(GOOD)


def test_every_change_follows_from_its_seed_and_most_differ():
    text = sources()[0].read_text()
    changed = [mutated(text, random.Random(seed)) for seed in range(200)]
    assert changed == [mutated(text, random.Random(seed)) for seed in range(200)]
    assert len(set(changed)) > 150


def test_the_configurations_of_the_repository_are_accepted_as_they_are(monkeypatch):
    monkeypatch.setattr(configurations, "mutated", lambda text, draw: text.encode())
    judged = list(cases(len(sources())))
    bad = [
        case for case in judged if case.outcome not in ("accepted", "above 5 s")
    ]  # a loaded machine is slow
    assert not bad


def divide(path):
    return 1 / 0


def fill_memory(path):
    return bytearray(configurations.DATA_LIMIT)


def write(path):
    Path("pwned").touch()
    return "accepted\n"


def remove(path):
    path.unlink()
    return "accepted\n"


def call(path):
    subprocess.run(["true"])
    return "accepted\n"


def end(path):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("deed", "outcome"),
    [
        (divide, "traceback"),
        (fill_memory, "traceback"),
        (write, "file or command"),
        (remove, "file or command"),
        (call, "file or command"),
        (end, "crash or limit"),
    ],
)
def test_whatever_a_configuration_does_has_its_outcome(monkeypatch, deed, outcome):
    monkeypatch.setattr(configurations, "_answer", deed)
    (case,) = cases(1)
    assert case.outcome == outcome, case
