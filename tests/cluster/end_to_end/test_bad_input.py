"""Input that cannot work: a message says what to change, nothing is left stuck in the queue, nothing is lost."""

import json
import logging
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from snakemake_executor_plugin_submitit.batches import JobRecord, Place, write_batch
from snakemake_executor_plugin_submitit.clusters import DebugCluster
from snakemake_executor_plugin_submitit.observer import Observer
from snakemake_executor_plugin_submitit.requests import Request
from snakemake_executor_plugin_submitit.slurm import Queued

SUBMITIT = ".snakemake/submitit"


def edit(workflow, pattern: str, replacement: str) -> None:
    file = workflow.folder / "Snakefile"
    text, count = re.subn(pattern, lambda match: replacement, file.read_text())
    assert count, pattern
    file.write_text(text)


def ask_for(workflow, resources: str) -> None:
    edit(workflow, "resources: .*", f"resources: {resources}")


def is_refused(workflow, *words: str, **environment: str) -> str:
    """Run, check that nothing was submitted, and return what was said, in one line."""
    done = workflow.run(*words, **environment)
    assert done.returncode != 0, done.stdout
    assert not workflow.starts()
    assert str(workflow.folder.name) not in workflow.slurm.output("squeue", "--noheader", "--format=%Z")
    batches = workflow.folder / SUBMITIT / "batches"
    assert not batches.exists() or not list(batches.iterdir()), "no record of what was not submitted"
    assert "Traceback" not in done.stdout
    return " ".join(done.stdout.split())


def test_without_sbatch_the_message_says_where_this_runs(workflow, tmp_path):
    workflow.write()
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("bash", "sh", "env"):
        (programs / name).symlink_to(f"/bin/{name}" if Path(f"/bin/{name}").exists() else f"/usr/bin/{name}")
    done = workflow.run(PATH=str(programs))
    assert done.returncode != 0
    assert "sbatch is not on the PATH" in done.stdout and "no login node" in done.stdout
    assert not workflow.starts()


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (
            'slurm_partition="gpuu"',
            ["slurm_partition, now 'gpuu'", "did you mean gpu?", "cpu, gpu, preemptible"],
        ),
        (
            "mem_mb=10**7",
            ["No node has what was asked for", "mem 10000000MB", "8000 MB", "Change the resources"],
        ),
        (
            'gpus_per_node=3, slurm_partition="gpu", mem_mb=50',
            ["No node has what was asked for", "gpus_per_node 3", "gpu: 4 CPUs, 8000 MB, gpu:2"],
        ),
        ('gres="gpu:9", slurm_partition="gpu"', ["gres gpu:9", "gpu:2"]),
        ('constraint="a100"', ["Change the resource constraint, now 'a100'"]),
    ],
)
def test_what_sbatch_refuses_is_told_with_what_is_there(workflow, resources, message):
    workflow.write()
    ask_for(workflow, resources)
    said = is_refused(workflow)
    for words in message:
        assert words in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--submitit-array-size=-1"], "--submitit-array-size: -1 is less than 0"),
        (["--submitit-poll-min=0"], "--submitit-poll-min: 0.0 is less than 0.05"),
        (
            ["--submitit-snapshot", "no_such_package"],
            "--submitit-snapshot no_such_package: there is no package",
        ),
        (["--submitit-folder", "/proc/here"], "/proc/here: the executor's folder cannot be written"),
        (["--submitit-folder", "~nobody_of_this_name/here"], "there is no such home folder"),
    ],
)
def test_a_setting_that_cannot_be_is_named(workflow, words, message):
    workflow.write()
    assert message in is_refused(workflow, *words)


def test_a_group_job_is_refused_with_what_does_instead(workflow):
    workflow.write()
    edit(workflow, "resources:", 'group: "together"\n    resources:')
    assert "group jobs are not supported" in (said := is_refused(workflow))
    assert "--submitit-jobs-per-task" in said


def test_a_machine_that_knows_of_no_cluster_is_told_of_at_once(workflow, tmp_path):
    workflow.write()
    said = is_refused(workflow, SLURM_CONF=str(tmp_path / "slurm.conf"))
    assert "find no cluster here" in said and "SLURM_CONF" in said


@pytest.mark.parametrize("content", [None, "jobs: 3\n  : ["])
def test_a_profile_that_cannot_be_read_is_named(workflow, content):
    workflow.write()
    if content is not None:
        (workflow.folder / "mine").mkdir()
        (workflow.folder / "mine/config.yaml").write_text(content)
    message = "profile directory given (mine)" if content is None else 'in "mine/config.yaml", line 2'
    assert message in is_refused_by_snakemake(workflow, "--profile", "mine")


def is_refused_by_snakemake(workflow, *words: str) -> str:
    done = workflow.run(*words)
    assert done.returncode != 0 and not workflow.starts()
    return done.stdout


def test_a_time_limit_that_the_partition_does_not_allow_is_told_of_while_the_job_waits(workflow, until):
    workflow.write(num=2)
    ask_for(workflow, "mem_mb=50, runtime=100000")
    head = workflow.start()
    warning = r"array (\d+) may wait for ever \(PartitionTimeLimit\).*runtime"
    until(lambda: re.search(warning, workflow.said()), 30, what="the head to say why it waits")
    array = re.search(warning, workflow.said())[1]
    assert workflow.stop(head, signal.SIGINT, group=True) != 0
    until(lambda: array not in workflow.queue(), 20, what="Ctrl-C to cancel what waits")
    assert workflow.said().count("may wait for ever") == 1


def test_outputs_may_have_spaces_and_quotes_in_their_names(workflow, expected):
    workflow.write(num=2)
    name = """it's a "file" $HOME"""
    edit(workflow, "input: .*", f"input: expand('out/{{i}} ' + {name!r}, i=range(2))")
    edit(workflow, "output: .*", f"output: 'out/{{i}} ' + {name!r}")
    edit(workflow, r"\{output\}", "{output:q}")
    done = workflow.run()
    assert done.returncode == 0, done.stdout
    names = [f"{i} {name}" for i in range(2)]
    assert workflow.outputs() == {name: expected(name, 3) for name in names}


def test_a_command_of_200_kilobytes_runs(workflow, expected):
    workflow.write(num=2)
    edit(workflow, "params: ", 'params: long="x" * 200_000, ')
    edit(workflow, 'shell: "', 'shell: "long={params.long}; test ${{#long}} = 200000; ')
    done = workflow.run("--quiet", "rules")
    assert done.returncode == 0, done.stdout[-3000:]
    assert workflow.outputs() == {str(i): expected(str(i), 3) for i in range(2)}


def test_a_clock_that_is_wrong_is_told_of_once_a_host(tmp_path, caplog):
    """A node's clock cannot be set here: its record of a start is written as such a node would write it."""
    jobs = [JobRecord((f"out/{i}",), f"number {i}", (), "true", {}) for i in range(3)]
    batch = write_batch(tmp_path, jobs, {}, 1)
    batch.record_array("7")
    for number, (host, ahead) in enumerate([("fast", 120), ("fast", 120), ("right", 0)]):
        start = {"job": f"7_{number}", "host": host, "time": time.time() + ahead, "mark": None, "restart": 0}
        (batch.folder / f"{number}.starts").write_text(json.dumps(start) + "\n")
    observer = Observer(DebugCluster(), 5, logging.getLogger("clock"))
    for number, job in enumerate(jobs):
        request = Request(job, {}, prepare=None, adopts_success=True, handle=None)
        request.submitted(Place(batch, number))
        observer.observe(request, Queued("RUNNING"))
    assert len(caplog.messages) == 1
    assert re.search(r"the clock of fast is 1(19|20) s ahead", caplog.text)


# -- slow ones


@pytest.fixture
def strict_bed(new_bed, tmp_path):
    """A site that checks accounts and time limits at submission, and requeues nothing unless it is asked to."""
    extra = tmp_path / "extra.conf"
    extra.write_text("JobRequeue=0\nEnforcePartLimits=ALL\nAccountingStorageEnforce=associations\n")
    bed = new_bed(HORNLIB_TESTBED_EXTRA=str(extra))
    user = bed.output("id", "-un")
    bed.run(["sacctmgr", "-i", "add", "account", "physics"])
    bed.run(["sacctmgr", "-i", "add", "user", user, "account=physics"])
    return bed


@pytest.mark.slow
def test_an_account_or_a_time_limit_that_is_not_allowed_is_refused_at_once(strict_bed, workflow):
    workflow.slurm = strict_bed
    workflow.write(num=2)
    ask_for(workflow, 'mem_mb=50, slurm_account="psychics"')
    said = is_refused(workflow)
    assert "slurm_account, now 'psychics' (did you mean physics?)" in said
    ask_for(workflow, 'mem_mb=50, slurm_account="physics", runtime=100000')
    assert "runtime" in is_refused(workflow)


@pytest.mark.slow
def test_where_jobs_are_not_requeued_by_default_ours_are(strict_bed, workflow, expected, until):
    workflow.slurm = strict_bed
    workflow.write(num=2, steps=60)
    head = workflow.start()
    until(lambda: len(workflow.starts()) == 2, what="two starts")
    workflow.slurm.output("scancel", "--signal=USR2", f"{workflow.starts()[0][1]}_1")
    assert head.wait(120) == 0, workflow.said()
    assert workflow.outputs() == {str(i): expected(str(i), 60) for i in range(2)}
    assert workflow.times_started() == {"0": 1, "1": 2} and len(workflow.arrays()) == 1


@pytest.mark.slow
def test_where_a_requeue_is_refused_the_head_submits_again(workflow, expected, until, tmp_path):
    workflow.write(num=2, steps=60)
    programs = tmp_path / "programs"
    programs.mkdir()
    real = workflow.slurm.output("which", "scontrol")
    fake = programs / "scontrol"
    fake.write_text(
        f'#!/bin/sh\n[ "$1" != requeue ] || {{ echo not allowed >&2; exit 1; }}\nexec {real} "$@"\n'
    )
    fake.chmod(0o755)
    head = workflow.start("--submitit-setup", f"export PATH={programs}:$PATH")
    until(lambda: len(workflow.starts()) == 2, what="two starts")
    array = workflow.starts()[0][1]
    workflow.slurm.output("scancel", "--signal=USR2", f"{array}_1")
    assert head.wait(120) == 0, workflow.said()
    assert "its requeue was refused: not allowed; submitted again" in workflow.said()
    assert workflow.outputs() == {str(i): expected(str(i), 60) for i in range(2)}
    assert workflow.times_started() == {"0": 1, "1": 2}
    assert len(workflow.arrays()) == 2
    assert int(workflow.starts()[-1][3]) > 0, "it goes on from its checkpoint"


def needs_mounts() -> None:
    done = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("no right to mount a file system here (root only)")


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 1 MB: every record takes 4 kB of it, and twelve jobs have more records than 256 kB hold."""
    needs_mounts()
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path) -> Path:
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(b"x" * 512):
                pass
        except OSError:
            return ballast


@pytest.mark.slow
def test_a_folder_that_the_nodes_do_not_see_ends_the_sweep_with_the_first_job(workflow, expected, until):
    """The head alone has a file system of its own over its folder, as with a home that is not shared."""
    needs_mounts()
    workflow.write(num=20, steps=20)
    ours = workflow.folder / "ours"
    ours.mkdir()
    command = workflow.command("--submitit-folder", str(ours))
    alone = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs none {ours} && exec "$@"', "head", *command]
    done = workflow.slurm.run(alone, cwd=workflow.folder, env=workflow.environment(), timeout=200)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert "left no trace" in said and "--submitit-folder" in said and str(ours) in said, said
    assert "all 20 jobs are cancelled" in said and "in the queue" not in said, said
    array = re.search(r"as array (\d+)", said)[1]
    until(lambda: array not in workflow.queue(), 30, what="the rest to be cancelled")
    assert not workflow.starts()
    again = workflow.run()
    assert again.returncode == 0, again.stdout
    assert workflow.outputs() == {str(i): expected(str(i), 20) for i in range(20)}


@pytest.mark.slow
def test_a_full_disk_for_the_records_is_told_and_nothing_submitted(workflow, expected, small_disk):
    workflow.write(num=3)
    ballast = fill(small_disk)
    words = ("--submitit-folder", str(small_disk / "records"))
    said = is_refused(workflow, *words)
    assert "cannot be written (No space left on device)" in said and "--submitit-folder" in said
    ballast.unlink()
    done = workflow.run(*words)
    assert done.returncode == 0, done.stdout
    assert workflow.outputs() == {str(i): expected(str(i), 3) for i in range(3)}


@pytest.mark.slow
def test_a_disk_that_fills_up_in_the_middle_costs_nothing(workflow, expected, until, small_disk):
    """Nodes cannot record starts and ends any more; SLURM's own record has to do."""
    workflow.write(num=12, steps=60)
    head = workflow.start("--submitit-folder", str(small_disk / "records"))
    until(lambda: len(workflow.starts()) >= 8, what="workers")
    ballast = fill(small_disk)
    head.wait(120)
    ballast.unlink()
    done = workflow.run("--submitit-folder", str(small_disk / "records"))
    assert done.returncode == 0, done.stdout
    assert workflow.outputs() == {str(i): expected(str(i), 60) for i in range(12)}


@pytest.mark.slow
def test_a_full_disk_for_results_fails_the_jobs_that_meet_it_alone(workflow, expected, small_disk):
    workflow.write(num=4)
    edit(workflow, "expand.*", 'expand("out/{i}", i=range(3)), "small/3"')
    text = (workflow.folder / "Snakefile").read_text()
    rule = text[text.index("rule work") :].replace("rule work", "rule more").replace("out/{i}", "small/{i}")
    (workflow.folder / "Snakefile").write_text(text + "\n" + rule)
    ballast = fill(small_disk)
    done = workflow.run()
    assert done.returncode != 0
    assert re.search(r"work on number 3 \(job \d+_3\): exit code 1 .*logs/3.log", done.stdout)
    assert "No space left on device" in done.stdout
    assert workflow.outputs() == {str(i): expected(str(i), 3) for i in range(3)}
    ballast.unlink()
    again = workflow.run()
    assert again.returncode == 0, again.stdout
    assert (small_disk / "3").read_text() == expected("3", 3)


@pytest.mark.slow
def test_rules_that_need_a_snakemake_on_the_node_get_one(workflow):
    (workflow.folder / "make.py").write_text("open(snakemake.output[0], 'w').write(snakemake.wildcards.i)\n")
    rules = """
rule all:
    localrule: True
    input: "out/script-1", "out/timed-1"

rule script:
    output: "out/script-{i}"
    resources: mem_mb=200
    script: "make.py"

rule timed:
    output: "out/timed-{i}"
    benchmark: "times/{i}.tsv"
    resources: mem_mb=200
    shell: "echo {wildcards.i} > {output}"
"""
    workflow.write(rules)
    done = workflow.run()
    assert done.returncode == 0, done.stdout
    assert {name: text.strip() for name, text in workflow.outputs().items()} == {
        "script-1": "1",
        "timed-1": "1",
    }
    assert "max_rss" in (workflow.folder / "times/1.tsv").read_text()
    assert "rule script starts a Snakemake of its own" in done.stdout
    assert "Nothing to be done" in workflow.run().stdout
