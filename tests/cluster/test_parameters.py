"""From resources to sbatch: each one understood, contradictions refused, and nothing that could become another line."""

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st
from snakemake_executor_plugin_submitit.parameters import (
    ParameterError,
    describe_array,
    sbatch_parameters,
    with_more_memory,
    without_nodes,
)


def parameters(threads=1, jobs_per_task=1, signal_seconds=120, **resources):
    return sbatch_parameters(resources, threads, jobs_per_task, signal_seconds)


@pytest.mark.parametrize(
    "resource, value, key, expected",
    [("mem_mb", 500, "mem", "500MB"), ("mem_mb", "500", "mem", "500MB"), ("mem_mb", 500.0, "mem", "500MB"),
     ("mem_mb_per_cpu", 100, "mem_per_cpu", "100MB"), ("runtime", 90, "time", 90), ("runtime", "90",
     "time", 90),
     ("cpus_per_task", 8, "cpus_per_task", 8), ("slurm_partition", "gpu,cpu", "partition", "gpu,cpu"),
     ("slurm_account", "my_lab", "account", "my_lab"), ("constraint", "a100|h100", "constraint", "a100|h100"),
     ("qos", "normal", "qos", "normal"), ("gres", "gpu:1", "gres", "gpu:1"), ("gres", "gpu:a100:2", "gres",
     "gpu:a100:2"),
     ("gres", "gpu:1,shard:2", "gres", "gpu:1,shard:2"), ("gpu", 1, "gpus_per_node", "1"), ("gpu", "2",
     "gpus_per_node", "2"),
     ("gpus_per_node", "a100:4", "gpus_per_node", "a100:4"), ("gpus_per_node", 1, "gpus_per_node", "1")],
)  # fmt: skip
def test_each_resource_becomes_its_parameter(resource, value, key, expected):
    assert parameters(**{resource: value})[key] == expected


def test_what_is_not_asked_for_is_not_in_the_script():
    assert parameters(threads=3, mem_mb="", slurm_account=None, gpu=0, disk_mb=1000, tmpdir="/tmp", _nodes=1) == {
        "time": 60, "cpus_per_task": 3, "signal_delay_s": 120, "stderr_to_stdout": True,
        "additional_parameters": {"requeue": True}}  # fmt: skip


def test_packing_multiplies_processors_and_memory_and_nothing_else():
    one = parameters(threads=2, mem_mb=300, gpu=1, runtime=30)
    four = parameters(threads=2, mem_mb=300, gpu=1, runtime=30, jobs_per_task=4)
    assert {key for key in one if one[key] != four[key]} == {"cpus_per_task", "mem"}
    assert four["cpus_per_task"] == 8 and four["mem"] == "1200MB"
    assert parameters(mem_mb_per_cpu=300, jobs_per_task=4)["mem_per_cpu"] == "300MB"


@pytest.mark.parametrize(
    "minutes, asked, signal", [(60, 120, 120), (1, 120, 20), (6, 120, 120), (5, 120, 100), (60, 7200, 1200)]
)
def test_the_signal_comes_at_most_a_third_before_the_limit(minutes, asked, signal):
    assert parameters(runtime=minutes, signal_seconds=asked)["signal_delay_s"] == signal


@pytest.mark.parametrize(
    "resources, words",
    [({"mem_mb": 1, "mem_mb_per_cpu": 1}, "mem_mb and mem_mb_per_cpu"), ({"gres": "gpu:1",
     "gpu": 1}, "gres and gpu"),
     ({"gpu": 1, "gpus_per_node": 1}, "gpu and gpus_per_node"), ({"gres": "gpu:1",
     "gpus_per_node": "a:1"}, "twice")],
)  # fmt: skip
def test_contradictions_are_refused(resources, words):
    with pytest.raises(ParameterError, match=words):
        parameters(**resources)


@pytest.mark.parametrize("name", ["mem_mb", "mem_mb_per_cpu", "runtime", "cpus_per_task"])
@pytest.mark.parametrize(
    "value",
    ["four", "1h", -1, 0, "0", 1.5, True, [4], "4 GB", "1e3", "+4", "٣", "9" * 400, 10**400, float("inf")],
)
def test_a_number_is_a_whole_number_above_nought(name, value):
    with pytest.raises(ParameterError, match=name):
        parameters(**{name: value})


@pytest.mark.parametrize("name, value", [("gpu", "many"), ("gpu", -1), ("gpu", "a100"), ("gpu", 1.5),
                                         ("gpus_per_node", "1 2"),
                                         ("gpus_per_node", "a:b:1"), ("gres", "gpu 1"), ("gres", "gpu:1;x"),
                                         ("gres", "$(x)"),
                                         ("gres", "gpu:1,")])  # fmt: skip
def test_a_request_for_gpus_has_a_form(name, value):
    with pytest.raises(ParameterError, match=name):
        parameters(**{name: value})


@pytest.mark.parametrize(
    "name", ["slurm_partition", "slurm_account", "constraint", "qos", "slurm_extra", "gres", "mem_mb"]
)
@pytest.mark.parametrize("character", ["\n", "\r", "\0", "\t", "\x1b", "\u2028", "\x85"])
def test_control_characters_are_refused_with_the_resources_name(name, character):
    with pytest.raises(ParameterError, match=f"{name}.*control"):
        parameters(**{name: f"a{character}touch x"})


# -- slurm_extra


def test_further_options_reach_sbatch():
    extra = parameters(slurm_extra="--nice=100 --exclude=n[1-2] --exclusive '--mail-user=a b@c.d'")[
        "additional_parameters"
    ]
    assert extra == {
        "requeue": True,
        "nice": "100",
        "exclude": "n[1-2]",
        "exclusive": True,
        "mail-user": "a b@c.d",
    }


@pytest.mark.parametrize("option", ["array=0-5", "comment=x", "job-name=x", "output=x", "no-requeue",
                                    "requeue", "signal=9@1",
                                    "time=5", "mem=5", "partition=x", "qos=x", "wrap=ls", "export=NONE",
                                    "dependency=x",
                                    "ntasks=4", "nodes=2", "ntasks-per-node=2", "gres=gpu:1",
                                    "parsable"])  # fmt: skip
def test_what_is_the_executors_own_or_would_run_a_job_twice_is_refused(option):
    with pytest.raises(ParameterError, match=f"--{option.partition('=')[0]} "):
        parameters(slurm_extra=f"--nice=1 --{option}")


@pytest.mark.parametrize(
    "text",
    ["-p gpu", "nice=100", "--nice 100", "--", "--=3", "--nice='100", "--Nice=1", "; touch x", "$(touch x)"],
)
def test_what_is_no_option_is_refused(text):
    with pytest.raises(ParameterError, match="slurm_extra"):
        parameters(slurm_extra=text)


@given(st.dictionaries(st.sampled_from(["slurm_partition", "slurm_account", "constraint", "qos",
                                        "slurm_extra", "gres", "gpu",
                                        "gpus_per_node", "mem_mb",
                                        "runtime"]), st.text() | st.integers() | st.booleans()))  # fmt: skip
def test_whatever_is_asked_for_is_refused_or_has_no_control_character(resources):
    try:
        asked = parameters(**resources)
    except ParameterError:
        return
    values = [*asked.values(), *asked["additional_parameters"], *asked["additional_parameters"].values()]
    assert all(str(value).isprintable() for value in values)


# -- resubmissions


def test_more_memory_keeps_all_else():
    before = parameters(mem_mb=300, gpu=1)
    assert with_more_memory(before, 2) == {**before, "mem": "600MB"}
    assert with_more_memory(parameters(mem_mb_per_cpu=300), 2)["mem_per_cpu"] == "600MB"
    assert with_more_memory(parameters(), 2) is None
    assert before["mem"] == "300MB"


def test_excluded_nodes_are_added_to_the_users_own():
    before = parameters(slurm_extra="--exclude=n7 --nice=1")
    once = without_nodes(before, ["n1"])
    twice = without_nodes(once, ["n1", "n2"])
    assert once["exclude"] == "n7,n1" and twice["exclude"] == "n7,n1,n2"
    assert twice["additional_parameters"] == {"requeue": True, "nice": "1"}
    assert before["additional_parameters"]["exclude"] == "n7"
    assert without_nodes(parameters(), ["n1"])["exclude"] == "n1"


# -- names


@given(
    st.text(alphabet="0123456789abcdef", min_size=16, max_size=16),
    st.lists(st.text(), min_size=1, max_size=5),
)
def test_name_and_comment_are_one_short_line_and_the_comment_begins_with_the_uuid(uuid, names):
    name, comment = describe_array(uuid, names)
    assert name.isprintable() and comment.isprintable() and name.strip()
    assert comment.split()[0] == uuid
    assert 0 < len(name) <= 70 and len(comment) <= 400


@given(st.lists(st.text(max_size=2000), min_size=1, max_size=3))
def test_name_and_comment_are_bounded_however_long_the_jobs_names_are(names):
    name, comment = describe_array("0" * 16, [40 * one for one in names])
    assert len(name) <= 70 and len(comment) <= 400 and shlex.split(shlex.quote(comment)) == [comment]


@pytest.mark.parametrize(
    "names", [[""], [" "], ["\n"], ["\n", "a b"], ["\0\0", "\0"], [",", ":"], ["x" * 500]]
)
def test_an_array_of_jobs_without_a_proper_name_has_one(names):
    name, comment = describe_array("0" * 16, names)
    assert name.strip() and comment.startswith("0" * 16)


def test_an_array_is_named_by_what_its_jobs_have_in_common_and_told_from_first_to_last():
    name, comment = describe_array(
        "0" * 16, ["train horn seed=1 now", "train horn seed=2 now", "train horn seed=3 now"]
    )
    assert name == "train horn now x3"
    assert comment == f"{'0' * 16} train horn seed=1 now ... train horn seed=3 now"
    assert describe_array("0" * 16, ["train horn"])[0] == "train horn"
