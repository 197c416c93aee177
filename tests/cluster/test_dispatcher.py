"""Adopting, submitting, watching and acting, on a cluster in memory whose every answer and accident a test decides."""

import asyncio
import errno
import itertools
import json
import logging
import os
import shutil
import tempfile
import time as real_time
from collections import Counter, deque
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake_executor_plugin_submitit import dispatcher as dispatcher_module
from snakemake_executor_plugin_submitit import submission as submission_module
from snakemake_executor_plugin_submitit.batches import Batch, JobRecord, read_batches
from snakemake_executor_plugin_submitit.dispatcher import Dispatcher
from snakemake_executor_plugin_submitit.parameters import sbatch_parameters
from snakemake_executor_plugin_submitit.requests import Policy, Request, StopSweep
from snakemake_executor_plugin_submitit.slurm import Accounted, Queued, QueueFull, Refused, Unavailable

HEADER = {"shell": "/bin/bash", "directory": "/", "umask": 0o022}


class FakeCluster:
    """SLURM as the dispatcher sees it, and nodes that keep the node program's promises.

    It raises AssertionError when a job would run twice at the same time, or again after it succeeded.

    Attributes:
        outcomes: of the next submissions: ok, full, away, no answer (yet submitted), refused.
        silences: how many of the next queries get no answer.
        lagging: how many of the next looks at the queue miss what runs, as when SLURM is about to requeue it.
    """

    def __init__(self, max_tasks=1000):
        self.size = max_tasks
        self.arrays, self.accounts = {}, {}
        self.outcomes, self.silences, self.lagging, self.refusals = deque(), 0, 0, 0
        self.running, self.succeeded, self.ran = set(), set(), Counter()
        self.submissions, self.looks, self.released = [], 0, []

    # what the dispatcher asks

    def max_tasks(self):
        return self.size

    def submit(self, batch, name, comment):
        outcome = self.outcomes.popleft() if self.outcomes else "ok"
        if outcome == "full":
            raise QueueFull("the queue takes no more for now (AssocMaxSubmitJobLimit)")
        if outcome == "away":
            raise Unavailable("Unable to contact slurm controller (connect failure)")
        if outcome == "refused":
            raise Refused("invalid partition specified: foo")
        array = str(100 + len(self.arrays))
        outputs = [job.outputs for job in batch.jobs]
        self.arrays[array] = SimpleNamespace(
            folder=batch.folder, outputs=outputs, packing=batch.jobs_per_task, comment=comment,
            states=dict.fromkeys(range(batch.num_tasks), "PENDING"),
        )  # fmt: skip
        self.submissions.append((name, batch.num_tasks, batch.parameters))
        if outcome == "no answer":
            raise Unavailable("Socket timed out on send/recv operation")
        return array

    def queued(self, arrays):
        self._ask()
        self.looks += 1
        blind, self.lagging = self.lagging > 0, max(0, self.lagging - 1)
        return {
            (array, task): Queued(state, comment=self.arrays[array].comment)
            for array in arrays
            if array in self.arrays
            for task, state in self.arrays[array].states.items()
            if not (blind and state == "RUNNING")
        }

    def accounted(self, arrays):
        self._ask()
        arrays = set(arrays)
        known = {(array, task): Accounted("RUNNING", 0, 0, "n1") for array, task in self.tasks("RUNNING")}
        return {task: account for task, account in (known | self.accounts).items() if task[0] in arrays}

    def arrays_by_comment(self):
        self._ask()
        return {one.comment.split()[0]: array for array, one in self.arrays.items() if one.states}

    def cancel(self, tasks):
        self._ask()
        for array in tasks:
            states = self.arrays[array].states
            for task, state in list(states.items()):
                if state == "PENDING":
                    self._leave(array, task, Accounted("CANCELLED by 1000", 0, 0, ""))
                else:
                    states[task] = "COMPLETING"  # it saves

    def release(self, task):
        self.released.append(task)

    def _ask(self):
        if self.refusals:
            self.refusals -= 1
            raise Refused("squeue: Incompatible versions of client and server code")
        if self.silences:
            self.silences -= 1
            raise Unavailable("Unable to contact slurm controller (connect failure)")

    # what happens on the cluster

    def tasks(self, *states):
        return [
            (array, task)
            for array, one in self.arrays.items()
            for task, state in one.states.items()
            if state in states
        ]

    def place(self, job):
        """Array and task of a job's latest submission."""
        found = [(array, number) for array, one in self.arrays.items() for number, outputs in enumerate(one.outputs)
                 if Path(outputs[0]).name == job]  # fmt: skip
        array, number = found[-1]
        return array, number // self.arrays[array].packing

    def _numbers(self, array, task):
        one = self.arrays[array]
        return range(task * one.packing, min((task + 1) * one.packing, len(one.outputs)))

    def start(self, array, task):
        one = self.arrays[array]
        if not one.folder.exists():  # it was given up: nothing can start
            return self._leave(array, task, Accounted("FAILED", 1, 0, "n1"))
        fenced = (one.folder / "abandoned").exists()
        for number in self._numbers(array, task):
            if (one.folder / f"{number}.exit").exists():
                continue
            if fenced:
                self._write(one.folder / f"{number}.exit", {"code": 75, "fenced": True})
                continue
            outputs = one.outputs[number]
            assert outputs not in self.running, f"{outputs} runs twice at the same time"
            assert outputs not in self.succeeded, f"{outputs} runs again after its success"
            self.running.add(outputs)
            self.ran[outputs] += 1
            with (one.folder / f"{number}.starts").open("a") as file:
                start = {
                    "job": f"{array}_{task}",
                    "host": "n1",
                    "time": real_time.time(),
                    "mark": None,
                    "restart": 0,
                }
                file.write(json.dumps(start) + "\n")
        if fenced:
            return self._leave(array, task, Accounted("COMPLETED", 0, 0, "n1"))
        one.states[task] = "RUNNING"

    def finish(self, array, task, code=0, **more):
        """The jobs of a task end, and their node records it."""
        for number in self._jobs_running(array, task):
            outputs = self.arrays[array].outputs[number]
            self.running.discard(outputs)
            if code == 0:
                self.succeeded.add(outputs)
                for output in outputs:
                    Path(output).touch()
            self._write(self.arrays[array].folder / f"{number}.exit", {"code": code, "host": "n1", **more})
        self._leave(
            array,
            task,
            Accounted("COMPLETED" if code == 0 else "FAILED", code if code > 0 else 0, max(-code, 0), "n1"),
        )

    def lose(self, array, task, account=None):
        """A task is gone without a record."""
        for number in self._jobs_running(array, task):
            self.running.discard(self.arrays[array].outputs[number])
        self._leave(array, task, account)

    def requeue(self, array, task):
        """A task is back in the queue."""
        for number in self._jobs_running(array, task):
            self.running.discard(self.arrays[array].outputs[number])
        self.arrays[array].states[task] = "PENDING"

    def _jobs_running(self, array, task):
        one = self.arrays[array]
        return [
            n
            for n in self._numbers(array, task)
            if not (one.folder / f"{n}.exit").exists() and one.folder.exists()
        ]

    def _leave(self, array, task, account):
        self.arrays[array].states.pop(task)
        if account is not None:
            self.accounts[array, task] = account

    def _write(self, path, content):
        path.write_text(json.dumps(content))

    def work(self):
        """Everything that waits runs, and all that runs ends well."""
        for task in self.tasks("COMPLETING"):
            self.lose(*task, Accounted("CANCELLED by 1000", 0, 0, "n1"))
        for task in self.tasks("PENDING"):
            self.start(*task)
        for task in self.tasks("RUNNING"):
            self.finish(*task)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now


class Head:
    """A head on a folder and a cluster."""

    def __init__(self, folder, cluster, clock, **policy):
        self.folder, self.cluster, self.clock, self.said = folder, cluster, clock, []
        say = logging.Logger("head")
        say.handle = lambda record: self.said.append(record.getMessage())
        explain = lambda said, parameters: f"explained: {said}"  # noqa: E731
        self.dispatcher = Dispatcher(folder, cluster, Policy(**policy), HEADER, explain, say)
        self.ends, self.messages, self.prepared, self.submitted = {}, {}, Counter(), Counter()
        self.requests = {}

    def want(self, *names, anew=False, logs=(), **resources):
        for name in names:

            async def prepare(name=name):
                self.prepared[name] += 1

            record = JobRecord((str(self.folder / name),), f"job {name}", tuple(logs), "true", {})
            parameters = sbatch_parameters({"mem_mb": 100} | resources, 1)
            self.requests[name] = Request(record, parameters, prepare, not anew, name)
            self.dispatcher.add([self.requests[name]])
        return self

    def turn(self, count=1):
        for _ in range(count):
            self.clock.now += self.dispatcher.seconds_to_next_turn()
            for event in asyncio.run(self.dispatcher.turn()):
                if event.kind == "submitted":
                    self.submitted[event.request.handle] += 1
                else:
                    assert event.request.handle not in self.ends, "an end is told twice"
                    self.ends[event.request.handle], self.messages[event.request.handle] = (
                        event.kind,
                        event.message,
                    )
        return self

    def run(self, work=True, turns=200):
        """Take turns, and let the cluster work, until nothing is wanted."""
        for _ in range(turns):
            if not self.dispatcher.wanted and not self.dispatcher.active:
                return self.ends
            self.turn()
            if work:
                self.cluster.work()
        raise AssertionError(
            f"not done: {len(self.dispatcher.wanted)} wanted, {len(self.dispatcher.active)} active"
        )


class Death(BaseException):
    """A kill -9: nothing that comes after it has any effect."""


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(dispatcher_module, "time", clock)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # the tests' own disk may be slow
    return clock


@pytest.fixture
def cluster():
    return FakeCluster()


@pytest.fixture
def head(tmp_path, cluster, clock):
    """Start a head on this test's folder; a second call is the next head after the first one's death."""
    return lambda **policy: Head(tmp_path, cluster, clock, **policy)


def names(count):
    return [f"job{number}" for number in range(count)]


def all_well(cluster, ends, count):
    """Every job has ended well, by one run alone."""
    assert ends == dict.fromkeys(names(count), "succeeded")
    assert set(cluster.ran.values()) == {1} and len(cluster.ran) == count and not cluster.running


# -- submitting


def test_jobs_that_ask_for_the_same_are_one_array_and_end_well(head, cluster):
    all_well(cluster, head().want(*names(5)).run(), 5)
    assert [num_tasks for _, num_tasks, _ in cluster.submissions] == [5]


def test_jobs_that_ask_for_different_things_are_arrays_of_their_own(head, cluster):
    one = head().want("job0", "job1", mem_mb=100).want("job2", mem_mb=200)
    all_well(cluster, one.run(), 3)
    assert sorted((num, parameters["mem"]) for _, num, parameters in cluster.submissions) == [
        (1, "200MB"),
        (2, "100MB"),
    ]


@pytest.mark.parametrize("max_tasks, array_size, packing, expected", [(4, 0, 1, [4, 4, 2]),
                                                                      (100, 3, 1, [3, 3, 3, 1]),
                                                                      (2, 3, 2, [2, 2, 1]),
                                                                      (100, 0, 4, [3])])  # fmt: skip
def test_no_array_is_larger_than_the_cluster_or_the_user_wants(
    head, cluster, max_tasks, array_size, packing, expected
):
    cluster.size = max_tasks
    all_well(cluster, head(array_size=array_size, jobs_per_task=packing).want(*names(10)).run(), 10)
    assert [num for _, num, _ in cluster.submissions] == expected


def test_outputs_are_prepared_once_before_a_submission_and_never_before_an_adoption(head, cluster):
    first = head().want(*names(3)).turn()
    assert first.prepared == Counter(names(3))
    second = head().want(*names(3))
    all_well(cluster, second.run(), 3)
    assert second.prepared == Counter() and second.submitted == Counter(names(3))


def test_a_job_that_cannot_be_prepared_fails_alone(head, cluster):
    one = head().want(*names(2))

    async def refuse():
        raise PermissionError("no such luck")

    one.requests["job0"].prepare = refuse
    assert one.run() == {"job0": "failed", "job1": "succeeded"} and "no such luck" in one.messages["job0"]


def test_jobs_that_become_ready_later_are_submitted_later(head, cluster):
    one = head().want("job0").turn()
    one.want("job1", "job2")
    all_well(cluster, one.run(), 3)
    assert [num for _, num, _ in cluster.submissions] == [1, 2]


def test_a_refusal_stops_the_sweep_in_words_and_leaves_what_runs(head, cluster, tmp_path):
    one = head().want("job0").turn()
    cluster.work()
    one.want("job1", slurm_partition="foo")
    cluster.outcomes.append("refused")
    with pytest.raises(StopSweep, match="explained: invalid partition specified: foo"):
        one.turn(3)
    assert len(read_batches(tmp_path)) == 1 and "CANCELLED" not in str(cluster.accounts)


def test_a_record_that_cannot_be_written_stops_the_sweep_before_sbatch(head, cluster, monkeypatch):
    def no_space(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(StopSweep, match=r"No space.*--submitit-folder"):
        head().want("job0").turn()
    assert cluster.submissions == []


# -- a controller that is away, a queue that is full


@pytest.mark.parametrize("failures", [1, 3, 9])
def test_a_controller_that_is_away_at_submission_is_waited_for_and_nothing_is_submitted_twice(
    head, cluster, failures
):
    cluster.outcomes.extend(["away"] * failures)
    one = head().want(*names(4))
    all_well(cluster, one.run(), 4)
    assert len(cluster.submissions) == 1 and sum("next try" in said for said in one.said) == failures


@pytest.mark.parametrize("failures", [1, 3])
def test_a_submission_without_an_answer_is_found_by_its_comment(head, cluster, failures):
    cluster.outcomes.extend(["no answer"] * failures)
    all_well(cluster, head(array_size=2).want(*names(6)).run(), 6)
    assert [num for _, num, _ in cluster.submissions] == [2, 2, 2]


def test_a_submission_without_an_answer_whose_jobs_have_long_ended_is_found_by_its_starts(head, cluster):
    cluster.outcomes.append("no answer")
    one = head().want(*names(3)).turn()
    cluster.work()
    assert cluster.arrays_by_comment() == {}
    all_well(cluster, one.run(), 3)


def test_a_submission_that_arrives_after_it_was_given_up_does_nothing(head, cluster, tmp_path):
    cluster.outcomes.append("away")
    one = head().want(*names(2)).turn()
    (late,) = read_batches(tmp_path)
    one.turn()  # it asks, hears no, and submits anew
    cluster.submit(late, "late", f"{late.uuid} late")
    all_well(cluster, one.run(), 2)


def test_a_submission_that_arrives_after_it_was_given_up_does_nothing_under_the_next_head_either(
    head, cluster, tmp_path
):
    cluster.outcomes.append("away")
    one = head().want(*names(2)).turn()
    (late,) = read_batches(tmp_path)
    one.turn()
    cluster.submit(late, "late", f"{late.uuid} late")
    all_well(cluster, head().want(*names(2)).run(), 2)


def test_a_late_submission_of_which_only_a_part_was_submitted_anew_does_nothing(
    head, cluster, tmp_path, monkeypatch
):
    cluster.outcomes.extend(["away", "full"])
    one = head().want(*names(4)).turn()
    (late,) = read_batches(tmp_path)
    one.turn()  # not found, and the queue takes no four
    write, written = submission_module.write_batch, []

    def die_at_the_second(*args, **kwargs):
        written.append(1)
        if len(written) == 2:
            raise Death
        return write(*args, **kwargs)

    monkeypatch.setattr(submission_module, "write_batch", die_at_the_second)
    with suppress(Death):
        one.turn()
    assert [num for _, num, _ in cluster.submissions] == [2]
    cluster.submit(late, "late", f"{late.uuid} late")
    all_well(cluster, head().want(*names(4)).run(), 4)


def test_a_submission_without_an_answer_is_found_though_slurm_is_away_when_it_is_asked(head, cluster):
    cluster.outcomes.append("no answer")
    one = head().want(*names(2)).turn()
    cluster.silences = 3
    one.turn(8)
    assert one.submitted == Counter(names(2)) and len(cluster.submissions) == 1
    all_well(cluster, one.run(), 2)


def test_a_full_disk_between_record_and_submission_loses_and_doubles_nothing(head, cluster, monkeypatch):
    """submitit's script has no room, or what it writes after sbatch has none."""
    submit, full = cluster.submit, [False, True]

    def submit_on_full_disk(batch, name, comment):
        if not full:
            return submit(batch, name, comment)
        if full.pop():
            submit(batch, name, comment)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(cluster, "submit", submit_on_full_disk)
    for _ in range(2):
        with suppress(StopSweep):
            head(array_size=2).want(*names(4)).turn(4)
    all_well(cluster, head(array_size=2).want(*names(4)).run(), 4)


def test_a_job_id_that_cannot_be_recorded_loses_and_doubles_nothing(head, cluster, monkeypatch):
    record_array = Batch.record_array

    def no_space(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Batch, "record_array", no_space)
    one = head().want(*names(2))
    with suppress(StopSweep):
        one.turn()
    monkeypatch.setattr(Batch, "record_array", record_array)
    all_well(cluster, head().want(*names(2)).run(), 2)


def test_a_fence_that_cannot_be_written_stops_the_sweep_in_words(head, cluster, monkeypatch):
    def no_space(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    cluster.outcomes.append("no answer")
    one = head().want("job0").turn()
    monkeypatch.setattr(Batch, "abandon", no_space)
    with pytest.raises(StopSweep, match="No space"):
        one.turn()


def test_a_task_that_starts_while_its_submission_is_being_found_runs_once_all_the_same(
    head, cluster, monkeypatch
):
    """The fence is up for that moment, so the task does nothing, and its job is submitted again."""
    cluster.outcomes.append("no answer")
    one = head().want(*names(2)).turn()
    ask = cluster.arrays_by_comment

    def ask_slowly():
        answer = ask()
        cluster.start("100", 0)
        return answer

    monkeypatch.setattr(cluster, "arrays_by_comment", ask_slowly)
    all_well(cluster, one.run(), 2)


def test_pauses_grow_while_the_queue_is_full_and_it_says_so(head, cluster, clock):
    cluster.outcomes.extend(["full"] * 8)
    one = head().want(*names(100))
    tries = []
    for _ in range(9):
        before = len(cluster.outcomes)
        one.turn()
        if len(cluster.outcomes) < before:
            tries.append(clock.now)
    pauses = [after - before for before, after in itertools.pairwise(tries)]
    assert pauses == pytest.approx([2, 4, 8, 16, 32, 64, 120])
    assert sum("queue takes no more" in said for said in one.said) == 8
    all_well(cluster, one.run(), 100)


def test_arrays_are_halved_until_the_queue_takes_them(head, cluster):
    cluster.outcomes.extend(["full"] * 3)
    all_well(cluster, head().want(*names(100)).run(), 100)
    assert [num for _, num, _ in cluster.submissions][:2] == [12, 24]


def test_a_queue_that_takes_one_task_at_a_time_gets_them_all(head, cluster):
    submit = cluster.submit

    def one_at_a_time(batch, name, comment):
        if batch.num_tasks > 1 or cluster.tasks("PENDING", "RUNNING"):
            raise QueueFull("the queue takes no more for now")
        return submit(batch, name, comment)

    cluster.submit = one_at_a_time
    all_well(cluster, head().want(*names(7)).run(), 7)


def test_a_job_that_is_lost_while_the_queue_is_full_is_noticed(head, cluster):
    one = head().want("job0").turn()
    cluster.start("100", 0)
    one.want("job1")
    cluster.outcomes.extend(["full"] * 50)
    one.turn(2)
    cluster.lose("100", 0, Accounted("OUT_OF_MEMORY", 0, 9, "n1"))
    looks = cluster.looks
    one.turn(8)
    assert cluster.looks >= looks + 2


def test_turns_in_which_nothing_is_due_do_not_shorten_the_pauses(head, cluster, clock):
    cluster.outcomes.extend(["away"] * 4)
    one = head().want("job0")
    tries = []
    while cluster.outcomes:
        before = len(cluster.outcomes)
        asyncio.run(one.dispatcher.turn())
        if len(cluster.outcomes) < before:
            tries.append(clock.now)
        clock.now += 1.0
    assert [after - before for before, after in itertools.pairwise(tries)] == pytest.approx(
        [2, 4, 8], abs=1.0
    )


def test_a_controller_that_is_away_while_jobs_run_loses_none_and_their_ends_are_seen_on_the_disk(
    head, cluster
):
    one = head().want(*names(3)).turn()
    cluster.silences = 5
    cluster.work()
    one.turn(4)
    assert cluster.silences > 0 and one.ends == dict.fromkeys(names(3), "succeeded")


def test_a_query_that_slurm_refuses_is_tried_again_too(head, cluster):
    one = head().want(*names(2)).turn()
    cluster.refusals = 3
    all_well(cluster, one.run(), 2)


# -- taking over


@pytest.mark.parametrize("state", ["waiting", "running", "ended"])
def test_the_next_head_takes_over_whatever_its_predecessor_left(head, cluster, state):
    head().want(*names(3)).turn()
    if state != "waiting":
        for task in cluster.tasks("PENDING"):
            cluster.start(*task)
    if state == "ended":
        for task in cluster.tasks("RUNNING"):
            cluster.finish(*task)
    second = head().want(*names(3))
    all_well(cluster, second.run(), 3)
    assert len(cluster.submissions) == 1 and any("taken over" in said for said in second.said)


def test_what_the_workflow_wants_anew_is_run_anew(head, cluster):
    head().want("job0").turn()
    cluster.work()
    cluster.succeeded.clear()
    assert head().want("job0", anew=True).run() == {"job0": "succeeded"}
    assert len(cluster.submissions) == 2


def test_a_success_whose_output_is_gone_is_none(head, cluster, tmp_path):
    head().want("job0").turn()
    cluster.work()
    (tmp_path / "job0").unlink()
    cluster.succeeded.clear()
    head().want("job0").run()
    assert len(cluster.submissions) == 2


def test_a_failure_on_record_is_tried_again_by_the_next_head(head, cluster):
    head().want("job0").turn()
    cluster.start("100", 0)
    cluster.finish("100", 0, code=1)
    assert head().want("job0").run() == {"job0": "succeeded"}


def test_what_was_recorded_leaves_no_record_and_is_not_taken_over(head, cluster, tmp_path):
    one = head().want(*names(2))
    one.run()
    one.dispatcher.collect(one.requests.values())
    assert read_batches(tmp_path) == []
    cluster.succeeded.clear()
    head().want("job0").run()
    assert len(cluster.submissions) == 2


def test_batches_that_nobody_needs_are_removed_at_the_next_start(head, cluster, tmp_path):
    head().want("job0").turn()
    cluster.start("100", 0)
    cluster.finish("100", 0, code=1)
    head().want("job0").turn()
    assert len(read_batches(tmp_path)) == 2
    head().want("job0").turn()
    assert len(read_batches(tmp_path)) == 1


def test_a_cancelled_job_that_still_saves_is_waited_for(head, cluster):
    first = head().want(*names(2)).turn()
    cluster.start("100", 0)
    assert first.dispatcher.cancel() == 2
    second = head().want(*names(2)).turn(3)
    assert cluster.arrays["100"].states == {0: "COMPLETING"}
    assert second.submitted == Counter(["job1"])
    cluster.lose("100", 0, Accounted("CANCELLED by 1000", 0, 0, "n1"))
    assert second.run() == dict.fromkeys(names(2), "succeeded")
    assert len(cluster.submissions) == 3 - 1 + 1


def test_a_cancelled_task_that_starts_after_all_does_nothing(head, cluster):
    first = head().want("job0").turn()
    cluster.silences = 1
    with pytest.raises(Unavailable):
        first.dispatcher.cancel()
    cluster.start("100", 0)
    assert cluster.ran == Counter()
    assert head().want("job0").run() == {"job0": "succeeded"}


def test_cancelling_reaches_a_submission_that_had_no_answer(head, cluster):
    cluster.outcomes.append("no answer")
    first = head().want("job0").turn()
    assert first.dispatcher.cancel() == 1
    assert not cluster.tasks("PENDING") and cluster.ran == Counter()


def test_an_id_that_was_given_out_twice_is_not_taken_for_ours(head, cluster, tmp_path):
    head().want("job0").turn()
    cluster.arrays["100"] = SimpleNamespace(
        folder=tmp_path, outputs=[("theirs",)], packing=1, comment="of_another_batch", states={0: "PENDING"}
    )
    second = head().want("job0").turn()
    assert [num for _, num, _ in cluster.submissions] == [1, 1]
    cluster.start("101", 0)
    cluster.finish("101", 0)
    assert second.run(work=False) == {"job0": "succeeded"}


# -- ends


def lost(head, cluster, account, **policy):
    """A job runs and is gone without a record; return its head after enough turns to believe it."""
    one = head(**policy).want("job0", logs=["theirs.log"]).turn()
    cluster.start("100", 0)
    one.turn()
    cluster.lose("100", 0, account)
    return one


@pytest.mark.parametrize("state", ["NODE_FAIL", "BOOT_FAIL", "TIMEOUT", "DEADLINE", "PREEMPTED", "FAILED"])
def test_what_is_not_the_jobs_fault_is_submitted_again(head, cluster, state):
    one = lost(head, cluster, Accounted(state, 0, 9 if state == "FAILED" else 0, "n7"))
    assert one.run() == {"job0": "succeeded"}
    assert len(cluster.submissions) == 2 and any("submitted again" in said for said in one.said)
    exclude = cluster.submissions[1][2].get("exclude")
    assert exclude == ("n7" if state in ("NODE_FAIL", "BOOT_FAIL") else None)


def test_out_of_memory_gets_twice_as_much_so_many_times(head, cluster):
    one = head(memory_retries=2).want("job0", mem_mb=100).turn()
    for array in ("100", "101", "102"):
        cluster.start(array, 0)
        one.turn()
        cluster.lose(array, 0, Accounted("OUT_OF_MEMORY", 0, 9, "n1"))
        one.turn(4)
    assert [parameters["mem"] for _, _, parameters in cluster.submissions] == ["100MB", "200MB", "400MB"]
    assert one.ends == {"job0": "failed"} and "400 MB" in one.messages["job0"]


def test_more_memory_than_any_node_has_fails_the_job_and_not_the_sweep(head, cluster):
    one = lost(head, cluster, Accounted("OUT_OF_MEMORY", 0, 9, "n1"))
    cluster.outcomes.append("refused")
    assert one.run() == {"job0": "failed"} and "out of memory" in one.messages["job0"]


def test_scancel_ends_a_job_for_good(head, cluster):
    one = lost(head, cluster, Accounted("CANCELLED by 1000", 0, 0, "n1"))
    assert one.run() == {"job0": "failed"} and "scancel" in one.messages["job0"]


@pytest.mark.parametrize(
    "code, more, word", [(3, {}, "exit code 3"), (-11, {}, "SIGSEGV"), (75, {"stuck": True}, "checkpoint")]
)
def test_a_jobs_own_failure_is_told_with_name_id_cause_log_and_last_lines(
    head, cluster, tmp_path, code, more, word
):
    log = tmp_path / "theirs.log"
    log.write_text("".join(f"line {n}\n" for n in range(50)))
    one = head().want("job0", logs=[str(log)]).turn()
    cluster.start("100", 0)
    cluster.finish("100", 0, code, **more)
    assert one.run() == {"job0": "failed"} and len(cluster.submissions) == 1
    told = one.messages["job0"]
    assert "job job0" in told and "100_0" in told and word in told and str(log) in told and "line 49" in told
    assert "line 40" not in told


def test_an_interrupted_job_whose_requeue_was_refused_goes_on_with_its_marks(head, cluster, tmp_path):
    one = head().want("job0").turn()
    cluster.start("100", 0)
    cluster.finish("100", 0, 75, refused="disabled")
    assert one.run() == {"job0": "succeeded"}
    assert len(one.requests["job0"].record.earlier_marks) == 1
    assert read_batches(tmp_path)[-1].jobs[0].earlier_marks == (None,)


def test_restarts_have_an_end(head, cluster):
    one = head(requeues=2).want("job0")
    for _ in range(60):
        if one.ends:
            break
        one.turn()
        for task in cluster.tasks("PENDING"):
            cluster.start(*task)
            cluster.finish(*task, 75, refused="disabled")
    assert one.ends == {"job0": "failed"} and len(cluster.submissions) == 1 + 4 * 2


def test_a_failure_without_a_record_is_believed_after_two_looks(head, cluster):
    one = lost(head, cluster, Accounted("CANCELLED by 1000", 0, 0, "n1"))
    looks = cluster.looks
    while not one.ends:
        one.turn()
    assert cluster.looks == looks + 2


@pytest.mark.parametrize("state", ["NODE_FAIL", "FAILED", "PREEMPTED"])
def test_a_failure_that_slurm_takes_back_was_none(head, cluster, state):
    one = head().want("job0").turn()
    cluster.start("100", 0)
    one.turn()
    cluster.lagging = 1
    cluster.accounts["100", 0] = Accounted(state, 0, 0, "n1")
    one.turn()
    cluster.requeue("100", 0)
    one.turn(3)
    assert one.ends == {} and len(cluster.submissions) == 1
    assert one.run() == {"job0": "succeeded"} and any("back in the queue" in said for said in one.said)


def test_a_record_that_appears_late_is_the_jobs_end(head, cluster, tmp_path):
    one = lost(head, cluster, None)
    one.turn(2)
    (batch,) = read_batches(tmp_path)
    (batch.folder / "0.exit").write_text('{"code": 3, "host": "n1"}')
    assert one.run(work=False) == {"job0": "failed"} and "exit code 3" in one.messages["job0"]


def test_a_record_that_a_stale_listing_lacks_is_found_by_its_name(head, cluster, monkeypatch):
    one = head().want("job0").turn()
    cluster.work()
    monkeypatch.setattr(Batch, "list_ended", lambda _: set())
    assert one.run() == {"job0": "succeeded"}


def test_a_job_of_which_nobody_knows_counts_as_gone_after_a_while(head, cluster, clock):
    one = lost(head, cluster, None, vanished_after=30)
    begun = clock.now
    while len(cluster.submissions) == 1:
        one.turn()
    assert 30 < clock.now - begun < 60
    assert one.run() == {"job0": "succeeded"}


def test_an_account_that_lags_behind_is_no_end(head, cluster):
    one = lost(head, cluster, Accounted("RUNNING", 0, 0, "n1"), vanished_after=30)
    one.turn(4)
    assert one.ends == {} and len(cluster.submissions) == 1
    assert one.run() == {"job0": "succeeded"} and len(cluster.submissions) == 2


def test_accounts_that_cannot_be_asked_for_decide_nothing(head, cluster, monkeypatch):
    one = lost(head, cluster, Accounted("CANCELLED by 1000", 0, 0, "n1"))
    accounted, asked = cluster.accounted, []

    def away(arrays):
        asked.append(1)
        if len(asked) < 4:
            raise Unavailable("slurmdbd is away")
        return accounted(arrays)

    monkeypatch.setattr(cluster, "accounted", away)
    one.turn(4)
    assert one.ends == {}
    assert one.run() == {"job0": "failed"}


def test_a_folder_that_the_nodes_do_not_see_stops_the_sweep_and_cancels_the_rest(head, cluster):
    one = head().want(*names(3)).turn()
    cluster.lose("100", 0, Accounted("FAILED", 1, 0, "n1"))
    with pytest.raises(StopSweep, match="--submitit-folder"):
        one.turn(6)
    assert cluster.tasks("PENDING") == []


def test_packed_jobs_have_ends_of_their_own(head, cluster, tmp_path):
    one = head(jobs_per_task=2).want(*names(4)).turn()
    cluster.start("100", 0)
    cluster.start("100", 1)
    batch = read_batches(tmp_path)[0]
    (batch.folder / "1.exit").write_text('{"code": 3, "host": "n1"}')
    one.turn(2)
    assert one.ends == {"job1": "failed"}
    assert one.run() == {"job0": "succeeded", "job1": "failed", "job2": "succeeded", "job3": "succeeded"}


def test_a_job_that_may_wait_for_ever_is_told_once(head, cluster, monkeypatch):
    one = head().want(*names(3)).turn()
    queued = cluster.queued

    def hopeless(arrays):
        return {task: one._replace(reason="PartitionNodeLimit") for task, one in queued(arrays).items()}

    monkeypatch.setattr(cluster, "queued", hopeless)
    one.turn(4)
    assert sum("PartitionNodeLimit" in said for said in one.said) == 1


def test_a_clock_that_is_wrong_is_told_once_a_host(head, cluster, monkeypatch):
    monkeypatch.setattr(real_time, "time", lambda now=real_time.time: now() + 300)
    one = head().want(*names(3)).turn()
    for task in cluster.tasks("PENDING"):
        cluster.start(*task)
    one.turn(3)
    assert sum("clock of n1" in said for said in one.said) == 1


# -- deaths at every step


class Steps:
    """Counts what a head does to the disk and the queue, and kills it before the step of a number."""

    CALLS = ("mkdir", "open", "replace", "unlink", "rmdir")

    def __init__(self, monkeypatch, cluster, last):
        self.taken, self.last, self.dead = 0, last, False
        for name in self.CALLS:
            monkeypatch.setattr(os, name, self._counting(getattr(os, name)))
        for name in ("submit", "queued", "arrays_by_comment", "cancel"):
            monkeypatch.setattr(cluster, name, self._counting(getattr(cluster, name)))

    def _counting(self, call):
        def counted(*args, **kwargs):
            self.taken += 1
            if self.dead or self.taken > self.last:
                self.dead = True
                raise Death
            return call(*args, **kwargs)

        return counted


@pytest.mark.parametrize("answer", ["ok", "no answer", "full"])
@pytest.mark.parametrize("meanwhile", ["nothing", "starts", "ends"])
def test_a_head_that_is_killed_at_any_step_neither_loses_nor_doubles_a_job(
    tmp_path, clock, answer, meanwhile
):
    for last in itertools.count():
        folder, cluster = tmp_path / f"{last}", FakeCluster()
        folder.mkdir()
        cluster.outcomes.append(answer)
        with pytest.MonkeyPatch.context() as patch:
            steps = Steps(patch, cluster, last)
            with suppress(Death):
                first = Head(folder, cluster, clock, array_size=2).want(*names(3))
                first.turn(2)
                first.dispatcher.cancel()
        if meanwhile != "nothing":
            for task in cluster.tasks("PENDING"):
                cluster.start(*task)
        if meanwhile == "ends":
            for task in cluster.tasks("RUNNING"):
                cluster.finish(*task)
        second = Head(folder, cluster, clock, array_size=2).want(*names(3))
        assert second.run() == dict.fromkeys(names(3), "succeeded"), f"killed after {last} steps"
        assert set(cluster.ran) == {(str(folder / name),) for name in names(3)}
        shutil.rmtree(folder)
        if not steps.dead:
            assert last > 20
            return


@pytest.mark.parametrize("meanwhile", ["nothing", "ends"])
def test_a_head_that_is_killed_while_it_collects_neither_loses_nor_doubles_a_job(tmp_path, clock, meanwhile):
    """What it had collected Snakemake has recorded, and does not want again."""
    for last in itertools.count():
        folder, cluster = tmp_path / f"{last}", FakeCluster()
        folder.mkdir()
        first = Head(folder, cluster, clock).want(*names(3)).turn()
        cluster.start("100", 0)
        cluster.finish("100", 0)
        first.turn(2)
        with pytest.MonkeyPatch.context() as patch:
            steps = Steps(patch, cluster, last)
            with suppress(Death):
                first.dispatcher.collect([first.requests["job0"]])
        if meanwhile == "ends":
            cluster.work()
        second = Head(folder, cluster, clock).want("job1", "job2")
        assert second.run() == {"job1": "succeeded", "job2": "succeeded"}
        assert set(cluster.ran.values()) == {1} and len(cluster.submissions) == 1
        if not steps.dead:
            return


# -- whatever happens, in whatever order

ACCIDENTS = st.one_of(
    st.sampled_from(["full", "away", "no answer"]).map(lambda outcome: ("submission", outcome)),
    st.integers(1, 3).map(lambda count: ("silence", count)),
    st.tuples(
        st.sampled_from(["start", "finish", "interrupt", "requeue", "vanish", "time out", "node"]),
        st.integers(0, 9),
    ),
    st.sampled_from([("blink", 0), ("death", 0), ("cancel", 0)]),
    st.integers(1, 4).map(lambda turns: ("turns", turns)),
)


def happen(kind, which, head, cluster):
    """Let one thing happen; say whether the head dies of it."""
    waiting, running = cluster.tasks("PENDING"), cluster.tasks("RUNNING")
    if kind == "submission":
        cluster.outcomes.append(which)
    elif kind == "silence":
        cluster.silences += which
    elif kind == "start" and waiting:
        cluster.start(*waiting[which % len(waiting)])
    elif kind in ("death", "cancel"):
        if kind == "cancel":
            with suppress(Unavailable):
                head.dispatcher.cancel()
        return True
    elif kind == "turns":
        head.turn(which)
    elif kind == "blink":
        cluster.lagging += 1
    elif kind != "start" and (running or waiting):
        task = (running or waiting)[which % len(running or waiting)]
        if not running:
            cluster.start(*task)
            head.turn()
        if task not in cluster.tasks("RUNNING"):
            return False
        if kind == "finish":
            cluster.finish(*task)
        elif kind == "interrupt":
            cluster.finish(*task, 75, refused="disabled")
        elif kind == "requeue":
            cluster.requeue(*task)
        else:
            states = {"vanish": None, "time out": "TIMEOUT", "node": "NODE_FAIL"}
            cluster.lose(*task, states[kind] and Accounted(states[kind], 0, 0, "n1"))
    return False


@settings(max_examples=150)
@given(st.lists(ACCIDENTS, max_size=14), st.integers(1, 7), st.integers(0, 3), st.integers(1, 2))
def test_no_job_is_lost_or_runs_twice_whatever_happens(accidents, num_jobs, array_size, packing):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        clock, cluster = Clock(), FakeCluster()
        patch.setattr(dispatcher_module, "time", clock)
        patch.setattr(os, "fsync", lambda _: None)
        done = {}

        def new_head():
            """Snakemake wants what it has not recorded."""
            head = Head(Path(folder), cluster, clock, array_size=array_size, jobs_per_task=packing)
            return head.want(*(name for name in names(num_jobs) if done.get(name) != "succeeded"))

        head = new_head()
        for kind, which in accidents:
            head.turn()
            dies = happen(kind, which, head, cluster)
            done |= head.ends
            head = new_head() if dies else head
        cluster.outcomes.clear()
        cluster.silences = cluster.lagging = 0
        done |= head.run()
        assert done == dict.fromkeys(names(num_jobs), "succeeded")
        assert {Path(outputs[0]).name for outputs in cluster.succeeded} == set(names(num_jobs))


# -- what looks alike and is not


def test_one_node_that_does_not_see_the_folder_is_left_aside_while_others_do(head, cluster):
    one = head().want(*names(3)).turn()
    for task in (0, 1):
        cluster.start("100", task)
    cluster.lose("100", 2, Accounted("FAILED", 0, 53, "n7"))
    one.turn(3)
    assert cluster.arrays["100"].states == {0: "RUNNING", 1: "RUNNING"}, "nothing was cancelled"
    assert one.run() == dict.fromkeys(names(3), "succeeded")
    assert cluster.submissions[1][2]["exclude"] == "n7"


@pytest.mark.parametrize(
    "account, end",
    [(Accounted("OUT_OF_MEMORY", 0, 9, "n1"), "succeeded"), (Accounted("FAILED", 137, 0, "n1"), "failed")],
)
def test_a_kill_on_record_waits_for_slurms_word_on_memory(head, cluster, account, end):
    one = head().want("job0").turn()
    cluster.start("100", 0)
    folder = cluster.arrays["100"].folder
    (folder / "0.exit").write_text(json.dumps({"code": 137, "host": "n1"}))
    one.turn(3)
    assert one.ends == {}, "the task is still in the queue"
    cluster.running.clear()
    cluster.lose("100", 0, account)
    assert one.run() == {"job0": end}
    assert len(cluster.submissions) == (2 if end == "succeeded" else 1)


def test_the_last_node_that_is_excluded_is_asked_again_instead_of_ending_the_sweep(head, cluster):
    one = head().want("job0").turn()
    cluster.start("100", 0)
    cluster.lose("100", 0, Accounted("NODE_FAIL", 0, 0, "n1"))
    cluster.outcomes.append("refused")
    assert one.run() == {"job0": "succeeded"}
    assert "exclude" not in cluster.submissions[-1][2]


def test_a_job_that_a_new_head_submits_again_keeps_its_predecessor_from_coming_back(head, cluster):
    head().want("job0").turn()
    cluster.start("100", 0)
    cluster.lose("100", 0, Accounted("FAILED", 1, 0, "n1"))
    one = head().want("job0").turn()
    cluster.arrays["100"].states[0] = "PENDING"  # SLURM requeues it after all
    cluster.start("100", 0)
    assert not cluster.running, "it finds that it was given up"
    assert one.run() == {"job0": "succeeded"}


def test_records_that_cannot_be_read_are_not_taken_for_none(head, cluster, monkeypatch):
    head().want("job0").turn()
    listing = Path.iterdir

    def unreadable(path):
        if path.name == "batches":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", unreadable)
    with pytest.raises(StopSweep, match="Input/output error"):
        head().want("job0").turn()
    assert len(cluster.submissions) == 1


def test_a_job_that_nodes_refuse_again_and_again_is_left_to_a_person(head, cluster):
    one = head(requeues=2).want("job0").turn()
    cluster.queued = lambda arrays: {("100", 0): Queued("PENDING", "launch failed requeued held")}
    one.turn(8)
    assert cluster.released == ["100_0", "100_0"]
    assert sum("scontrol release 100_0" in said for said in one.said) == 1


def test_nothing_more_is_submitted_once_the_head_is_to_stop(head, cluster):
    one = head(array_size=1).want(*names(5))
    submit = cluster.submit

    def submit_and_stop(batch, name, comment):
        one.dispatcher.stop()
        return submit(batch, name, comment)

    cluster.submit = submit_and_stop
    one.turn()
    assert len(cluster.submissions) == 1


def test_all_records_are_gone_when_a_job_that_was_submitted_again_is_done(head, cluster, tmp_path):
    one = head().want(*names(2)).turn()
    cluster.start("100", 0)
    cluster.start("100", 1)
    cluster.finish("100", 0)
    cluster.lose("100", 1, Accounted("NODE_FAIL", 0, 0, "n1"))
    assert one.run() == dict.fromkeys(names(2), "succeeded")
    one.dispatcher.collect(one.requests.values())
    assert read_batches(tmp_path) == []
