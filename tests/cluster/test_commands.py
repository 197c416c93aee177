"""What a job runs on a node, and when its shell command alone does not do."""

import asyncio
import os
from types import SimpleNamespace

import pytest
from snakemake_executor_plugin_submitit.commands import (
    THREAD_VARIABLES,
    describe_job,
    job_environment,
    needs_snakemake,
    prepare,
)


def job(**more):
    """A job of Snakemake's that its shell command alone can run."""
    plain = {
        "is_shell": True, "benchmark": None, "is_shadow": False, "conda_env_spec": None, "container_img_url": None,
        "env_modules": None, "rule": SimpleNamespace(shellcmd="train {input}", name="train"), "input": ["a"],
        "output": [SimpleNamespace(is_storage=False)], "message": None, "wildcards_dict": {},
    }  # fmt: skip
    return SimpleNamespace(**plain | more)


def test_a_plain_shell_command_starts_no_snakemake():
    assert needs_snakemake(job()) is None


@pytest.mark.parametrize(
    "more, word",
    [({"is_shell": False}, "shell"), ({"benchmark": "b.txt"}, "benchmark"), ({"is_shadow": True}, "shadow"),
     ({"conda_env_spec": object()}, "conda"), ({"container_img_url": "docker://x"}, "container"),
     ({"env_modules": ["cuda"]}, "envmodules"), ({"input": [SimpleNamespace(is_storage=True)]}, "storage"),
     ({"output": [SimpleNamespace(is_storage=True)]}, "storage"),
     ({"rule": SimpleNamespace(shellcmd="train --tmp {resources.tmpdir}")}, "tmpdir")],
)  # fmt: skip
def test_what_only_snakemake_can_do_is_left_to_it_with_the_reason(more, word):
    assert word in needs_snakemake(job(**more))


def test_what_is_asked_of_a_job_is_what_snakemakes_jobs_have():
    from snakemake.jobs import Job

    asked = {"is_shell", "benchmark", "is_shadow", "conda_env_spec", "container_img_url", "env_modules",
    "message",
             "wildcards_dict"}  # fmt: skip
    assert {name for name in asked if not hasattr(Job, name)} == set()


def test_a_jobs_threads_reach_every_library_that_counts_its_own():
    variables = job_environment(3, "", {"PYTHONPATH": "/theirs"})
    assert variables == dict.fromkeys(THREAD_VARIABLES, "3")


@pytest.mark.parametrize("before, after", [({}, "/a.zip"), ({"PYTHONPATH": ""}, "/a.zip"),
                                           ({"PYTHONPATH": "/theirs"}, f"/a.zip{os.pathsep}/theirs")])  # fmt: skip
def test_snapshots_come_before_the_users_own_python_path(before, after):
    assert job_environment(1, "/a.zip", before)["PYTHONPATH"] == after


def test_a_job_is_described_by_its_message_on_one_line_else_by_rule_and_wildcards():
    assert describe_job(job(message="train  horn\n seed 1 ")) == "train horn seed 1"
    assert describe_job(job(wildcards_dict={"cell": "c1", "seed": "2"})) == "train cell=c1, seed=2"
    assert describe_job(job()) == "train"


@pytest.mark.parametrize(
    ("existing", "keeps_outputs", "prepares"),
    [("ab", True, False), ("ab", False, True), ("a", True, True), ("", True, True)],
)
def test_a_result_that_appeared_while_the_head_waited_is_not_removed(
    tmp_path, existing, keeps_outputs, prepares
):
    async def remove_outputs():
        for output in outputs:
            output.unlink(missing_ok=True)
        prepared.append(True)

    prepared = []
    outputs = [tmp_path / name for name in "ab"]
    for name in existing:
        (tmp_path / name).touch()
    asyncio.run(prepare(job(output=outputs, prepare=remove_outputs), keeps_outputs))
    assert bool(prepared) == prepares
    assert all(output.exists() for output in outputs) != prepares
