"""sbatch's refusals in words that name the resource to change and what is valid."""

import getpass
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakemake_executor_plugin_submitit.explain import HOPELESS, _with_user, explain_refusal
from snakemake_executor_plugin_submitit.parameters import sbatch_parameters
from snakemake_executor_plugin_submitit.slurm import Slurm, Unavailable

POLICY = "Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"
ASKED = sbatch_parameters(
    {"slurm_partition": "gup", "slurm_account": "lab1", "qos": "fast", "gres": "gpu:9",
    "constraint": "a100", "mem_mb": 10**9,
     "runtime": 99999}, threads=4
)  # fmt: skip


def listing(command):
    """What a cluster's programs list."""
    if command[0] == "sacctmgr":
        if "qos" in command:
            return "normal\nfaster\n"
        return "lab2\nother\n" if f"user={getpass.getuser()}" in command else ""
    return {"%R": "gpu\ncpu\n", "%G": "gpu:a100:4\n", "%f": "a100,h100\n"}.get(
        command[-1], "gpu: 64 CPUs, 256000 MB, gpu:4\n"
    )


@pytest.mark.parametrize(
    "said, resource, valid",
    [("invalid partition specified: gup; Batch job submission failed: Invalid partition name specified",
     "slurm_partition", "gpu"),
     ("Requested partition configuration not available now", "slurm_partition", "cpu"),
     ("Invalid account or account/partition combination specified", "slurm_account", "lab2"),
     ("Invalid qos specification", "qos", "faster"),
     ("Invalid generic resource (gres) specification", "gres", "gpu:a100:4"),
     ("Invalid feature specification", "constraint", "h100"),
     ("Requested node configuration is not available", "cpus_per_task", "64 CPUs"),
     ("Memory specification can not be satisfied", "mem", "256000 MB"),
     ("CPU count per node can not be satisfied", "cpus_per_task 4", "64 CPUs"),
     ("More processors requested than permitted", "cpus_per_task 4", "64 CPUs"),
     ("Requested time limit is invalid (missing or exceeds some limit)", "runtime", "99999"),
     (f"QOSMaxWallDurationPerJobLimit; {POLICY}", "runtime", "quality of service"),
     (f"AssocMaxWallDurationPerJobLimit; {POLICY}", "runtime", "account"),
     (f"QOSMaxCpuPerJobLimit; {POLICY}", "cpus_per_task 4", "limit"),
     ("Something of tomorrow", "mem 1000000000MB", "Something of tomorrow")],
)  # fmt: skip
def test_a_refusal_names_what_to_change_and_what_is_valid(said, resource, valid):
    message = explain_refusal(said, ASKED, Slurm(listing))
    assert said in message and resource in message and valid in message


def test_the_nearest_valid_name_is_suggested():
    assert "did you mean gpu?" in explain_refusal("invalid partition specified: gup", ASKED, Slurm(listing))
    assert "did you mean" not in explain_refusal(
        "Invalid feature specification", {**ASKED, "constraint": "zzz"}, Slurm(listing)
    )


def test_a_limit_on_processors_is_not_put_down_to_the_time():
    assert "runtime" not in explain_refusal(f"QOSMaxCpuPerJobLimit; {POLICY}", ASKED, Slurm(listing))


def test_a_partition_nobody_asked_for_is_not_blamed():
    assert "slurm_partition" not in explain_refusal(
        "invalid partition specified: (null)", {"time": 60}, Slurm(listing)
    )


@given(
    st.text(), st.sampled_from(["partition", "account", "qos", "gres", "feature", "memory", "time limit", ""])
)
def test_every_refusal_is_explained_though_nobody_answers_what_is_valid(text, word):
    def away(command):
        raise Unavailable("away")

    for slurm in (None, Slurm(away)):
        for parameters in (ASKED, {}):
            assert text in explain_refusal(f"{text} {word}", parameters, slurm)


def test_every_hopeless_reason_has_a_meaning():
    assert all(reason.isalnum() and meaning for reason, meaning in HOPELESS.items())


def test_a_refusal_is_explained_to_a_user_without_a_name(monkeypatch):
    def unknown():
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.setattr(getpass, "getuser", unknown)
    assert _with_user(["user=$USER"]) == [f"user={os.getuid()}"]
