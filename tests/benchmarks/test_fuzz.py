"""Damaged files of every kind: none hangs, none is accepted with other values, and every message helps."""

import os
import signal

import numpy as np
import pytest
from fuzz.corruptions import CORRUPTIONS, damaged
from fuzz.examples import EXAMPLES
from fuzz.files import GOOD, Reader, Task, fingerprint

FILES = 15


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """One process that reads the files of all tests."""
    with Reader(tmp_path_factory.mktemp("files")) as reader:
        yield reader


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_damaged_file_is_refused_with_its_name_and_what_to_do(reader, example):
    outcomes = [reader.outcome(Task(example, seed)) for seed in range(FILES)]
    assert set(outcomes) <= set(GOOD), outcomes


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_every_corruption_changes_the_file_and_follows_from_its_seed(corruption):
    content = bytes(100) + np.random.default_rng(0).bytes(400) + bytes(100)
    changed = [damaged(content, seed, corruption) for seed in range(50)]
    assert content not in changed and len(set(changed)) > 25
    assert changed == [damaged(content, seed, corruption) for seed in range(50)]


def test_a_process_that_does_not_answer_is_a_hang_and_the_next_file_is_read_by_another_one(
    tmp_path, monkeypatch
):
    task = Task("selection file", 0)
    with Reader(tmp_path) as reader:
        outcome = reader.outcome(task)
        os.kill(reader.process.pid, signal.SIGSTOP)
        with monkeypatch.context() as short:
            short.setattr("fuzz.files.SECONDS", 0.1)
            assert reader.outcome(task) == "hang"
        assert reader.outcome(task) == outcome == "refused"


def test_a_fingerprint_follows_from_the_values_alone(tmp_path):
    path = EXAMPLES["results.nc"].write(tmp_path)
    ds = EXAMPLES["results.nc"].read(path)
    assert fingerprint(ds) == fingerprint(EXAMPLES["results.nc"].read(path))
    ds["test_metric"].values[0, 0, 0] += 1e-12
    assert fingerprint(ds) != fingerprint(EXAMPLES["results.nc"].read(path))
