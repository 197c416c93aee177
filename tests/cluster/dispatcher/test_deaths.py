"""A head that is killed at any step, and accidents in any order, lose no job and run none twice."""

import itertools
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake_executor_plugin_submitit import dispatcher as dispatcher_module
from snakemake_executor_plugin_submitit.slurm import Accounted, Unavailable


class Death(BaseException):
    """A kill -9: nothing that comes after it has any effect."""


class Steps:
    """Counts what a head does to the disk and the queue, and kills it before the step of a number."""

    CALLS = ("mkdir", "open", "replace", "unlink", "rmdir")

    def __init__(self, monkeypatch, cluster, last):
        self.taken, self.last, self.dead = 0, last, False
        for name in self.CALLS:
            monkeypatch.setattr(os, name, self._counting(getattr(os, name)))
        for name in ("submit", "queued", "find_arrays", "cancel"):
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
    tmp_path, clock, answer, meanwhile, names, new_cluster, new_head
):
    for last in itertools.count():
        folder, cluster = tmp_path / f"{last}", new_cluster()
        folder.mkdir()
        cluster.outcomes.append(answer)
        with pytest.MonkeyPatch.context() as patch:
            steps = Steps(patch, cluster, last)
            with suppress(Death):
                first = new_head(folder, cluster, clock, array_size=2).want(*names(3))
                first.turn(2)
                first.dispatcher.cancel()
        if meanwhile != "nothing":
            for task in cluster.tasks("PENDING"):
                cluster.start(*task)
        if meanwhile == "ends":
            for task in cluster.tasks("RUNNING"):
                cluster.finish(*task)
        second = new_head(folder, cluster, clock, array_size=2).want(*names(3))
        assert second.run() == dict.fromkeys(names(3), "succeeded"), f"killed after {last} steps"
        assert set(cluster.ran) == {(str(folder / name),) for name in names(3)}
        shutil.rmtree(folder)
        if not steps.dead:
            assert last > 20
            return


@pytest.mark.parametrize("meanwhile", ["nothing", "ends"])
def test_a_head_that_is_killed_while_it_collects_neither_loses_nor_doubles_a_job(
    tmp_path, clock, meanwhile, names, new_cluster, new_head
):
    """What it had collected Snakemake has recorded, and does not want again."""
    for last in itertools.count():
        folder, cluster = tmp_path / f"{last}", new_cluster()
        folder.mkdir()
        first = new_head(folder, cluster, clock).want(*names(3)).turn()
        cluster.start("100", 0)
        cluster.finish("100", 0)
        first.turn(2)
        with pytest.MonkeyPatch.context() as patch:
            steps = Steps(patch, cluster, last)
            with suppress(Death):
                first.dispatcher.collect([first.requests["job0"]])
        if meanwhile == "ends":
            cluster.work()
        second = new_head(folder, cluster, clock).want("job1", "job2")
        assert second.run() == {"job1": "succeeded", "job2": "succeeded"}
        assert set(cluster.ran.values()) == {1} and len(cluster.submissions) == 1
        if not steps.dead:
            return


# whatever happens, in whatever order

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
def test_no_job_is_lost_or_runs_twice_whatever_happens(
    names, new_clock, new_cluster, new_head, accidents, num_jobs, array_size, packing
):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        clock, cluster = new_clock(), new_cluster()
        patch.setattr(dispatcher_module, "time", clock)
        patch.setattr(os, "fsync", lambda _: None)
        done = {}

        def next_head():
            """Snakemake wants what it has not recorded."""
            head = new_head(Path(folder), cluster, clock, array_size=array_size, jobs_per_task=packing)
            return head.want(*(name for name in names(num_jobs) if done.get(name) != "succeeded"))

        head = next_head()
        for kind, which in accidents:
            head.turn()
            dies = happen(kind, which, head, cluster)
            done |= head.ends
            head = next_head() if dies else head
        cluster.outcomes.clear()
        cluster.silences = cluster.lagging = 0
        done |= head.run()
        assert done == dict.fromkeys(names(num_jobs), "succeeded")
        assert {Path(outputs[0]).name for outputs in cluster.succeeded} == set(names(num_jobs))
