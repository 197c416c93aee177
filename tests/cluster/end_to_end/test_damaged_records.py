"""Damaged records on a real SLURM: known jobs are taken over; an array of unknown jobs is cancelled and waited for."""

import shutil
import signal

import pytest

NUM = 3


@pytest.fixture
def abandoned(workflow, until):
    """A workflow whose head was killed while its jobs run, and the folder of the batch."""
    workflow.write(num=NUM, steps=120)
    head = workflow.start()
    until(lambda: len(workflow.starts()) == NUM, what="the workers to start")
    workflow.stop(head, signal.SIGKILL)
    (place,) = (workflow.folder / ".snakemake/submitit/batches").iterdir()
    return workflow, place


def tear(*files):
    for file in files:
        file.write_bytes(file.read_bytes()[:40])


@pytest.mark.parametrize("name", ["batch.json", "jobs.jsonl", "array.json"])
def test_jobs_that_are_known_are_taken_over_and_the_file_is_named(abandoned, expected, name):
    workflow, place = abandoned
    tear(place / name)
    done = workflow.run()
    assert done.returncode == 0, done.stdout
    assert f"{place / name} is damaged" in done.stdout and "taken over" in done.stdout
    assert workflow.outputs() == {str(i): expected(str(i), 120) for i in range(NUM)}
    assert set(workflow.times_started().values()) == {1}


@pytest.mark.slow
@pytest.mark.parametrize("harm", ["torn twice", "removed"])
def test_an_array_whose_jobs_are_unknown_is_cancelled_before_they_are_submitted_again(
    abandoned, expected, harm
):
    workflow, place = abandoned
    (array,) = workflow.arrays()
    if harm == "removed":
        shutil.rmtree(place)
    else:
        tear(place / "jobs.jsonl", place / "jobs.jsonl.copy")
    done = workflow.run()
    assert done.returncode == 0, done.stdout
    assert f"unknown jobs of this sweep: array {array} (" in done.stdout
    assert str(place) in done.stdout
    assert workflow.outputs() == {str(i): expected(str(i), 120) for i in range(NUM)}
    states = workflow.slurm.output("sacct", "-n", "-X", "-P", "-j", array, "-o", "State,End").splitlines()
    assert len(states) == NUM and all(state.startswith("CANCELLED") for state in states)
    again = workflow.slurm.output(
        "sacct", "-n", "-X", "-P", "-o", "JobID,Start", "-j", max(workflow.arrays(), key=int)
    )
    ended, begun = (line.split("|")[1] for line in (max(states), min(again.splitlines())))
    assert ended <= begun, "none runs beside its successor"
