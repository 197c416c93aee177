"""A cluster in memory whose every answer and accident a test decides, and a head that works on it."""

import asyncio
import json
import logging
import os
import time as real_time
from collections import Counter, deque
from pathlib import Path
from types import MappingProxyType, SimpleNamespace

import pytest
from snakemake_executor_plugin_submitit import dispatcher as dispatcher_module
from snakemake_executor_plugin_submitit import observer as observer_module
from snakemake_executor_plugin_submitit.batches import JobRecord
from snakemake_executor_plugin_submitit.dispatcher import Dispatcher
from snakemake_executor_plugin_submitit.parameters import sbatch_parameters
from snakemake_executor_plugin_submitit.requests import Policy, Request
from snakemake_executor_plugin_submitit.slurm import (
    Accounted,
    ListedArray,
    Queued,
    QueueFull,
    Refused,
    Unavailable,
)

HEADER = {"shell": "/bin/bash", "directory": "/", "umask": 0o022}


class FakeCluster:
    """SLURM as the dispatcher sees it, and nodes that keep the node program's promises.

    It raises AssertionError when a job would run twice at the same time, or again after it succeeded.

    Attributes:
        outcomes: of the next submissions: ok, full, away, no answer (yet submitted), refused.
        silences: how many of the next queries get no answer.
        reason, unavailable: why tasks wait, and the nodes that take no jobs.
        lagging: how many of the next looks at the queue miss what runs, as when SLURM is about to requeue it.
    """

    def __init__(self, max_tasks=1000):
        self.size = max_tasks
        self.arrays, self.accounts = {}, {}
        self.outcomes, self.silences, self.lagging, self.refusals = deque(), 0, 0, 0
        self.running, self.succeeded, self.ran = set(), set(), Counter()
        self.submissions, self.looks, self.released = [], 0, []
        self.reason, self.unavailable, self.sinfo_fails = "", [], None
        self.cancelled = []

    # what the dispatcher asks

    def max_tasks(self):
        return self.size

    def submit(self, batch, name, comment):
        outcome = self.outcomes.popleft() if self.outcomes else "ok"
        if outcome == "full":
            raise QueueFull("the queue takes no more for now (AssocMaxSubmitJobLimit)")
        if outcome == "away":
            raise Unavailable("Unable to contact slurm controller (connect failure)")
        if outcome == "broken":
            raise Unavailable("sbatch: Batch job submission failed: Unexpected missing socket error")
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
        if outcome == "broken, yet submitted":
            raise Unavailable("sbatch: Batch job submission failed: Unexpected missing socket error")
        return array

    def queued(self, arrays):
        self._ask()
        self.looks += 1
        blind, self.lagging = self.lagging > 0, max(0, self.lagging - 1)
        return {
            (array, task): Queued(state, self.reason, comment=self.arrays[array].comment)
            for array in arrays
            if array in self.arrays
            for task, state in self.arrays[array].states.items()
            if not (blind and state == "RUNNING")
        }

    def accounted(self, arrays):
        self._ask()
        arrays = set(arrays)
        accounts = {(array, task): Accounted("RUNNING", 0, 0, "n1") for array, task in self.tasks("RUNNING")}
        return {task: account for task, account in (accounts | self.accounts).items() if task[0] in arrays}

    def look_up(self, arrays):
        self._ask()
        return {
            (array, task): Queued(state, comment=self.arrays[array].comment)
            for array in arrays
            if array in self.arrays
            for task, state in self.arrays[array].states.items()
        }

    def find_arrays(self, folder, uuids):
        self._ask()
        ids = {one.comment.split()[0]: array for array, one in self.arrays.items() if one.states}
        return {
            uuid: ListedArray(array, frozenset(self.arrays[array].states.values()))
            for uuid, array in ids.items()
            if uuid in uuids or self.arrays[array].folder.parent == folder / "batches"
        }

    def cancel(self, tasks):
        self._ask()
        self.cancelled += tasks
        for name in tasks:
            array, _, number = name.partition("_")
            states = self.arrays[array].states
            for task, state in list(states.items()):
                if number not in ("", str(task)):
                    continue
                if state == "PENDING":
                    self._leave(array, task, Accounted("CANCELLED by 1000", 0, 0, ""))
                else:
                    states[task] = "COMPLETING"  # it saves

    def release(self, task):
        self.released.append(task)

    def unavailable_nodes(self, partitions):
        self._ask()
        if self.sinfo_fails:
            raise self.sinfo_fails
        return self.unavailable, 2

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
        places = [(array, number) for array, one in self.arrays.items() for number, outputs in enumerate(one.outputs)
                 if Path(outputs[0]).name == job]  # fmt: skip
        array, number = places[-1]
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

    def __init__(self, folder, cluster, clock, code=MappingProxyType({}), **policy):
        self.folder, self.cluster, self.clock, self.said = folder, cluster, clock, []
        say = logging.Logger("head")
        say.handle = lambda record: self.said.append(record.getMessage())
        explain = lambda said, parameters: f"explained: {said}"  # noqa: E731
        self.dispatcher = Dispatcher(folder, cluster, Policy(**policy), HEADER, explain, say, code)
        self.ends, self.messages, self.prepared, self.submitted = {}, {}, Counter(), Counter()
        self.requests = {}

    def want(self, *names, anew=False, logs=(), keeps_outputs=False, **resources):
        for name in names:

            async def prepare(name=name):
                self.prepared[name] += 1

            record = JobRecord((str(self.folder / name),), f"job {name}", tuple(logs), "true", {})
            parameters = sbatch_parameters({"mem_mb": 100} | resources, 1)
            self.requests[name] = Request(
                record, parameters, prepare, not anew, name, keeps_outputs=keeps_outputs
            )
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


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(dispatcher_module, "time", clock)
    monkeypatch.setattr(observer_module, "time", clock)
    monkeypatch.setattr(os, "fsync", lambda _: None)  # the tests' own disk may be slow
    return clock


@pytest.fixture
def cluster():
    return FakeCluster()


@pytest.fixture
def head(tmp_path, cluster, clock):
    """Start a head on this test's folder; a second call is the next head after the first one's death."""
    return lambda **policy: Head(tmp_path, cluster, clock, **policy)


@pytest.fixture(scope="session")
def names():
    """The names of the first jobs."""
    return lambda count: [f"job{number}" for number in range(count)]


@pytest.fixture(scope="session")
def assert_all_well(names):
    """Check that every job has ended well, by one run alone."""

    def check(cluster, ends, count):
        assert ends == dict.fromkeys(names(count), "succeeded")
        assert set(cluster.ran.values()) == {1} and len(cluster.ran) == count and not cluster.running

    return check


@pytest.fixture(scope="session")
def new_cluster():
    return FakeCluster


@pytest.fixture(scope="session")
def new_clock():
    return Clock


@pytest.fixture(scope="session")
def new_head():
    return Head
