"""Pauses between polls and after failures, and the last lines of logs."""

import itertools
import logging
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakemake_executor_plugin_submitit.tails import last_lines
from snakemake_executor_plugin_submitit.waiting import Wait, poll_seconds


@given(st.floats(0, 1e7), st.floats(0.05, 10), st.floats(10, 100))
def test_a_pause_stays_within_its_bounds_and_never_shrinks_with_age(age, shortest, longest):
    pause = poll_seconds(age, shortest, longest)
    assert shortest <= pause <= longest <= 100
    assert poll_seconds(2 * age, shortest, longest) >= pause


def test_pauses_grow_from_the_shortest_to_the_longest():
    assert (
        poll_seconds(0, 1, 60) == 1 and poll_seconds(200, 1, 60) == 10 and poll_seconds(86_400, 1, 60) == 60
    )


@pytest.fixture
def wait(caplog):
    caplog.set_level(logging.INFO)
    return Wait(logging.getLogger("wait"))


def pauses_of(wait, now, count, reason="away"):
    pauses = []
    for _ in range(count):
        pauses.append(wait.go_on(reason, now) - now)
        now += pauses[-1]
    return pauses, now


def test_after_failures_pauses_double_up_to_two_minutes_and_begin_again_once_something_worked(wait):
    pauses, now = pauses_of(wait, 5.0, 8)
    assert pauses == [2, 4, 8, 16, 32, 64, 120, 120]
    wait.end(now)
    assert pauses_of(wait, now, 2)[0] == [2, 4]
    wait.shorten()
    assert pauses_of(wait, now, 2)[0] == [2, 4]


def test_a_wait_of_a_week_is_reported_with_its_reason_at_growing_intervals_and_its_end_once(wait, caplog):
    begun = now = 1000.0
    said_at = []
    while now < begun + 7 * 86_400:
        next_try = wait.go_on("squeue: it is away", now)
        said_at += [now] * len(caplog.messages)
        assert all("squeue: it is away" in message for message in caplog.messages)
        caplog.clear()
        now = next_try
    intervals = [after - before for before, after in itertools.pairwise(said_at)]
    assert all(later >= earlier - 120 for earlier, later in itertools.pairwise(intervals))
    assert said_at[0] == begun and intervals[0] <= 60 and 7 * 24 <= len(said_at) < 8 * 24
    wait.end(now)
    wait.end(now)
    (message,) = caplog.messages
    assert message.startswith("the wait is over after 100")


def test_a_wait_that_lasts_says_how_it_can_be_ended(wait, caplog):
    pauses_of(wait, 0.0, 8)
    assert "Ctrl-C" in caplog.messages[-1] and f"kill {os.getpid()}" in caplog.messages[-1]
    assert "the same command goes on" in caplog.messages[-1]


def test_a_new_reason_is_reported_at_once_and_only_once(wait, caplog):
    for now, reason in enumerate(["away", "timed out", "away", "timed out"]):
        wait.go_on(reason, float(now))
    assert [message.partition(";")[0] for message in caplog.messages] == ["away", "timed out"]


@pytest.mark.parametrize(
    "content, expected",
    [(b"a\nb\nc\nd\n", ["b", "c", "d"]), (b"a\n\n \nb", ["a", "b"]), (b"\xff\n", ["�"]), (b"", []),
     (b"\n\n", []), (b"a\r\nb\rc\n", ["a", "b", "c"])],
)  # fmt: skip
def test_the_last_lines_of_a_log_are_shown_indented_and_without_blanks(tmp_path, content, expected):
    log = tmp_path / "log"
    log.write_bytes(content)
    assert [line.strip() for line in last_lines([log], 3).splitlines()] == expected
    assert all(line.startswith("    ") for line in last_lines([log], 3).splitlines())


def test_the_first_log_that_says_anything_is_shown(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "full").write_text("said")
    (tmp_path / "other").write_text("never shown")
    logs = [tmp_path / name for name in ("missing", "empty", "full", "other")]
    assert (
        last_lines(logs, 5) == "    said"
        and last_lines(logs[:2], 5) == ""
        and last_lines([tmp_path], 5) == ""
    )


def test_of_a_huge_log_only_the_end_is_read(tmp_path):
    log = tmp_path / "log"
    with log.open("wb") as file:
        file.truncate(10 * 2**30)  # sparse
        file.seek(0, 2)
        file.write(b"\nlast")
    assert last_lines([log], 1) == "    last"
