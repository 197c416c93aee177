"""What a log says of progress is read back as it was meant, and nothing else is taken for it."""

import io
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornlib.training.curves import Evaluation
from hornlib.training.progress import Reporter
from hornlib.training.progress_lines import Progress, begin_line, evaluation_line, read_progress

SEEDS = st.tuples(st.integers(0, 10**6), st.integers(1, 40)).map(lambda one: list(range(one[0], sum(one))))
STEPS = st.integers(0, 10**9)
SECONDS = st.floats(0, 1e9)
SCORES = st.text(st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp")))


@given(SEEDS, STEPS, STEPS)
def test_the_beginning_of_a_chunk_is_read_back(seeds, step, total):
    line = begin_line(seeds, step, total) + "\n"
    assert read_progress(line) == Progress(step, total, None, (seeds[0], seeds[-1]))


@given(STEPS, STEPS, SCORES, SECONDS)
def test_an_evaluation_is_read_back_whatever_its_scores_say(step, total, scores, seconds):
    found = read_progress(evaluation_line(step, total, scores, seconds) + "\n")
    assert found is not None
    assert (found.step, found.total_steps, found.seeds) == (step, total, None)
    assert found.seconds_left == pytest.approx(seconds, abs=0.5)


def test_what_the_trainer_writes_is_read_back():
    stream = io.StringIO()
    with Reporter("accuracy", stream) as reporter:
        reporter.say("digits on cpu, 1 thread(s)")
        reporter.begin([0, 1], 0, 300)
        reporter.evaluation(Evaluation(step=300, total_steps=300, loss=1, metric=1, lanes=2, samples=2400), 8)
        reporter.begin([2, 3], 0, 300)
        assert read_progress(stream.getvalue()) == Progress(0, 300, None, (2, 3))
        reporter.evaluation(
            Evaluation(step=100, total_steps=300, loss=float("nan"), metric=0, lanes=2, samples=2400), 8
        )
    found = read_progress(stream.getvalue())
    assert found is not None and found.seconds_left is not None
    assert found._replace(seconds_left=None) == Progress(100, 300, None, (2, 3))


@given(st.text())
def test_any_text_is_survived(text):
    found = read_progress(text)
    assert found is None or found.step >= 0


@pytest.mark.parametrize(
    "torn", ["seeds 0-4: step 0 of 20", "step 9/20  loss 1  3 s left", "step 12", "ep 1/2"]
)
def test_a_line_that_is_cut_off_tells_nothing(torn):
    assert read_progress(torn) is None
    assert read_progress(f"{begin_line([7], 3, 50)}\n{torn}") == Progress(3, 50, None, (7, 7))


def test_a_job_with_further_chunks_takes_longer_than_the_one_in_training():
    halfway = Progress(50, 100, 10.0, (0, 1))
    assert halfway.job_seconds_left(1) == 10
    assert halfway.job_seconds_left(3) == 10 + 20
    assert halfway.job_seconds_left(4) == 10 + 2 * 20  # the last chunk is narrower
    assert Progress(100, 100, 0.0, (0, 1)).job_seconds_left(3) is None
    assert Progress(0, 100, None, (0, 1)).job_seconds_left(1) is None


def test_reading_a_log_loads_no_torch():
    code = "import hornlib.training.progress_lines, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
