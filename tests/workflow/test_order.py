"""The order in which jobs start: long ones before short ones, since one that starts last runs alone at the end."""

import os
import threading
from types import SimpleNamespace

import pytest
from snakemake.rules import Rule
from snakemake_executor_plugin_submitit.executor import Executor

SWEEP = """
results: results
seeds: 2
per_job: 1
probes: off
sweeps:
  steps:
    data: {name: [digits, mnist]}
    model: {name: mlp, hidden_nodes: 4}
    training: {steps: [20, 40, 10]}
"""

FAKE = r"""#!/bin/sh
echo "$@" | sed -n 's/.*"data":{"name":"\([a-z]*\)".*"steps":\([0-9]*\).*/\1 \2/p' >> started
touch "$2"
"""


@pytest.mark.skipif(not hasattr(Rule, "expand_priority"), reason="this Snakemake takes no function")
def test_the_longest_job_starts_first_although_its_data_must_be_prepared_before(project, monkeypatch):
    project.configure(SWEEP)
    programs = project.folder / "programs"
    programs.mkdir()
    (programs / "hornlib").write_text(FAKE)
    (programs / "hornlib").chmod(0o755)
    environment = {**project.environment, "PATH": f"{programs}:{os.environ['PATH']}"}
    monkeypatch.setattr(type(project), "environment", environment)
    run = project.snakemake("--cores", "1", "--until", "train")
    assert run.returncode == 0, run.stderr
    assert (project.folder / "started").read_text().splitlines() == [
        f"{dataset} {steps}" for dataset in ("mnist", "digits") for steps in (40, 20, 10) for _ in range(2)
    ]


def test_tasks_of_an_array_are_in_the_order_of_their_priorities():
    jobs = [SimpleNamespace(jobid=number, priority=priority) for number, priority in enumerate([1, 3, 2, 3])]
    executor = SimpleNamespace(
        dispatcher=object(),
        run_job_pre=lambda job: None,
        _request=lambda job: job.jobid,
        lock=threading.Lock(),
        queue=[],
        _wake=lambda: None,
    )
    Executor.run_jobs(executor, jobs)
    assert executor.queue == [1, 3, 2, 0]
