"""Jobs: ranges cover the wanted seeds once, and what is on disk stays as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornlib.errors import ResultsError
from hornlib.grid.jobs import Job, Range, covering_ranges, parse_run_name, scan_runs

CELL = "digits-cnn-0123456789ab"

seeds = st.sets(st.integers(0, 40), min_size=1, max_size=20).map(sorted)
per_job = st.integers(1, 8)
ranges = st.lists(st.builds(lambda a, b: Range(min(a, b), max(a, b)), st.integers(0, 45), st.integers(0, 45)))


def apart(found):
    """Drop what overlaps an earlier range, as files that we wrote never do."""
    kept = []
    for candidate in sorted(found):
        if not kept or candidate.first > kept[-1].last:
            kept.append(candidate)
    return kept


def test_a_fresh_cell_is_cut_by_per_job():
    assert covering_ranges(range(12), [], 5) == [Range(0, 4), Range(5, 9), Range(10, 11)]


def test_a_gap_in_the_seeds_is_a_gap_in_the_jobs():
    assert covering_ranges([0, 1, 5, 6, 7, 20], [], 2) == [
        Range(0, 1),
        Range(5, 6),
        Range(7, 7),
        Range(20, 20),
    ]


def test_counting_five_seven_ten_retrains_nothing():
    present = []
    for count, new in ((5, [Range(0, 4)]), (7, [Range(5, 6)]), (10, [Range(7, 9)])):
        wanted = covering_ranges(range(count), present, 5)
        assert sorted(set(wanted) - set(present)) == new
        present = wanted


def test_a_file_that_holds_more_than_is_wanted_is_kept_whole():
    assert covering_ranges([1, 2], [Range(0, 9)], 1) == [Range(0, 9)]
    assert covering_ranges([1, 12], [Range(0, 9), Range(30, 39)], 5) == [Range(0, 9), Range(12, 12)]


def test_of_overlapping_files_the_first_and_longest_counts():
    assert covering_ranges(range(10), [Range(0, 2), Range(0, 4), Range(3, 9)], 5) == [
        Range(0, 4),
        Range(5, 9),
    ]


def test_an_absurd_file_name_costs_neither_time_nor_memory():
    assert covering_ranges(range(3), [Range(0, 999_999_999)], 5) == [Range(0, 999_999_999)]


@given(seeds, ranges, per_job)
def test_every_wanted_seed_is_covered_exactly_once(wanted, present, most):
    covering = covering_ranges(wanted, present, most)
    covered = [seed for found in covering for seed in found.seeds()]
    assert len(covered) == len(set(covered))
    assert set(wanted) <= set(covered)
    new = [found for found in covering if found not in present]
    assert all(len(found.seeds()) <= most for found in new)
    assert {seed for found in new for seed in found.seeds()} <= set(wanted)
    assert covering == sorted(covering)


@given(seeds, ranges.map(apart), per_job)
def test_what_is_on_disk_and_wanted_stays_as_it_is(wanted, present, most):
    covering = covering_ranges(wanted, present, most)
    assert [found for found in present if set(found.seeds()) & set(wanted)] == [
        found for found in covering if found in present
    ]


@given(seeds, ranges.map(apart), per_job, st.data())
def test_a_plan_made_anew_while_jobs_finish_is_the_same_plan(wanted, present, most, data):
    covering = covering_ranges(wanted, present, most)
    new = [found for found in covering if found not in present]
    finished = data.draw(st.lists(st.sampled_from(new), unique=True)) if new else []
    order = data.draw(st.permutations(present + finished))
    assert covering_ranges(wanted, order, most) == covering


@given(st.lists(st.tuples(st.integers(1, 30), per_job), min_size=1, max_size=6))
def test_no_seed_is_ever_trained_twice_however_count_and_per_job_change(history):
    present, trained = [], []
    for count, most in history:
        new = set(covering_ranges(range(count), present, most)) - set(present)
        trained += [seed for found in new for seed in found.seeds()]
        present = [*present, *new]
    assert sorted(trained) == list(range(max(count for count, _ in history)))


@given(seeds, ranges, per_job)
def test_the_cut_depends_on_its_arguments_alone(wanted, present, most):
    once = covering_ranges(tuple(wanted), tuple(present), most)
    assert covering_ranges(list(reversed(wanted)), iter(reversed(present)), most) == once


@given(st.integers(0, 10**8), st.integers(0, 10**8))
def test_a_run_file_name_is_read_back(first, last):
    job = Job(CELL, Range(min(first, last), max(first, last)))
    assert parse_run_name(job.file_name) == job


@pytest.mark.parametrize(
    "name",
    [
        f"{CELL}.seeds-4-0.nc",
        f"{CELL}.seeds-00-4.nc",
        f"{CELL}.seeds-0-4.nc.tmp",
        f".{CELL}.seeds-0-4.nc",
        f"{CELL}.seeds--1-4.nc",
        f"{CELL}.seeds-0-9999999999.nc",
        f"../{CELL}.seeds-0-4.nc",
        f"{CELL}.seeds-0-4.nc\n",
        "digits-cnn-0123456789AB.seeds-0-4.nc",
        "digits-cnn-0123456789a.seeds-0-4.nc",
        "digits-0123456789ab.seeds-0-4.nc",
        f"{CELL}.seeds-٣-٤.nc",
        "results.nc",
        "",
    ],
)
def test_other_files_are_no_run_files(name):
    assert parse_run_name(name) is None


def test_a_scan_lists_run_files_by_cell_and_nothing_else(tmp_path):
    runs = tmp_path / "runs"
    runs.mkdir()
    for name in (f"{CELL}.seeds-0-4.nc", f"{CELL}.seeds-5-6.nc", "notes.txt", f"{CELL}.seeds-7-9.nc.tmp"):
        (runs / name).touch()
    assert {cell: sorted(found) for cell, found in scan_runs(tmp_path).items()} == {
        CELL: [Range(0, 4), Range(5, 6)]
    }


def test_a_results_folder_that_is_not_there_holds_nothing(tmp_path):
    assert scan_runs(tmp_path / "nowhere") == {}


def test_a_results_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "runs").touch()
    with pytest.raises(ResultsError, match=r"runs: cannot be listed: Not a directory"):
        scan_runs(tmp_path)


def test_no_job_straddles_two_looks():
    looks = {7, 10, 15}
    assert covering_ranges(range(20), [], 8, looks) == [
        Range(0, 6),
        Range(7, 9),
        Range(10, 14),
        Range(15, 19),
    ]
    assert covering_ranges(range(20), [], 5, looks)[:3] == [Range(0, 4), Range(5, 6), Range(7, 9)]


def test_a_run_file_that_straddles_a_look_stays_as_it_is():
    assert covering_ranges(range(10), [Range(5, 9)], 5, {7}) == [Range(0, 4), Range(5, 9)]
