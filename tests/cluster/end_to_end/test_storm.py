"""A storm of kills over a sweep: at the end every result is there, once, as if nothing had happened."""

from collections import Counter

import pytest

from tests.cluster.end_to_end.kills import KILLS
from tests.cluster.end_to_end.storm import Storm, number_of_storms, seed_of, telling

NUM_JOBS, STEPS, SECONDS_A_STEP = 40, 75, 0.2


@pytest.fixture
def slurm(new_bed):
    """A bed for one storm alone."""
    return new_bed()


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("number", range(number_of_storms()))
def test_after_a_storm_every_result_is_there_once(workflow, expected, capsys, number):
    workflow.write(num=NUM_JOBS, steps=STEPS, seconds=SECONDS_A_STEP)
    # As in the profile: an output is written at once, and counts even if nobody could record the end of its job.
    workflow.words[workflow.words.index("--rerun-incomplete")] = "--ignore-incomplete"
    storm = Storm(workflow, seed_of(number), KILLS)
    with telling(storm, capsys):
        storm.rage()
        storm.calm()
        assert workflow.outputs() == {str(i): expected(str(i), STEPS) for i in range(NUM_JOBS)}
        storm.leaves_nothing_queued()
        assert workflow.noted("doubled") == []
        ends = Counter(line[0] for line in workflow.noted("ends"))
        assert [name for name, count in ends.items() if count > 1] == []
        what_is_left_harms_nobody(workflow, expected)


def what_is_left_harms_nobody(workflow, expected) -> None:
    """Records of jobs that Snakemake knew to be done when its head was killed stay, and must not be believed."""
    before = len(workflow.starts())
    for name in ("3", "33"):
        (workflow.folder / "out" / name).unlink()
    again = workflow.run()
    assert again.returncode == 0, again.stdout
    assert sorted(start[0] for start in workflow.starts()[before:]) == ["3", "33"]
    assert workflow.outputs() == {str(i): expected(str(i), STEPS) for i in range(NUM_JOBS)}
    assert "Nothing to be done" in workflow.run().stdout
