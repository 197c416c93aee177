"""Pauses between polls and after failures, and the last lines of logs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakemake_executor_plugin_submitit.tails import last_lines
from snakemake_executor_plugin_submitit.waiting import Backoff, poll_seconds


@given(st.floats(0, 1e7), st.floats(0.05, 10), st.floats(10, 100))
def test_a_pause_stays_within_its_bounds_and_never_shrinks_with_age(age, shortest, longest):
    pause = poll_seconds(age, shortest, longest)
    assert shortest <= pause <= longest <= 100
    assert poll_seconds(2 * age, shortest, longest) >= pause


def test_pauses_grow_from_the_shortest_to_the_longest():
    assert (
        poll_seconds(0, 1, 60) == 1 and poll_seconds(200, 1, 60) == 10 and poll_seconds(86_400, 1, 60) == 60
    )


def test_after_failures_pauses_double_up_to_two_minutes_and_begin_again_once_something_worked():
    backoff = Backoff()
    assert [backoff.grow() for _ in range(8)] == [2, 4, 8, 16, 32, 64, 120, 120]
    backoff.reset()
    assert backoff.grow() == 2


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
