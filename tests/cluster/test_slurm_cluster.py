"""Submission through the real submitit, with sbatch and its kin faked: the script, the refusals, the environment."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from snakemake_executor_plugin_submitit import task as task_module
from snakemake_executor_plugin_submitit.batches import JobRecord, write_batch
from snakemake_executor_plugin_submitit.clusters import (
    SlurmCluster,
    install_runner,
    make_cluster,
    program_missing,
)
from snakemake_executor_plugin_submitit.parameters import describe_array, sbatch_parameters
from snakemake_executor_plugin_submitit.slurm import QueueFull, Refused, Slurm, Unavailable
from snakemake_executor_plugin_submitit.snapshots import LAUNCHER

PROGRAM = """#!{python} -IS
import json, os, re, shutil, sys
from pathlib import Path
state = Path(os.environ["FAKE_SLURM"])
name, words = Path(sys.argv[0]).name, sys.argv[1:]
told = json.loads((state / "told.json").read_text())
queue = told["queue"]
if name in told["fails"]:
    print(told["fails"][name], file=sys.stderr)
    sys.exit(1)
if name == "sbatch":
    text = Path(words[0]).read_text()
    array = str(100 + len(queue))
    comment = re.search("^#SBATCH --comment=(.*)$", text, re.M)[1].strip("'")
    queue[array] = {{"script": text, "comment": comment, "environment": dict(os.environ), "words": words}}
    (state / "told.json").write_text(json.dumps(told))
    print(told["sbatch_says"].format(array))
elif name == "squeue":
    for array, job in queue.items():
        print(words[-1].replace("%F", array).replace("%k", job["comment"]).replace("%i", array + "_[0-1]")
              .replace("%o", job["words"][0])
              .replace("%T", "PENDING").replace("%L", "1:00").replace("%N", "").replace("%r", "Priority"))
elif name == "scancel":
    for array in words:
        queue.pop(array)
    (state / "told.json").write_text(json.dumps(told))
elif name == "srun":
    (state / "srun.json").write_text(json.dumps(words))
elif name == "scontrol":
    print("MaxArraySize = 17")
"""


class FakeSlurm:
    """SLURM's programs, with what they were told in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.programs = folder, folder / "bin"
        self.programs.mkdir(parents=True)
        self.write({"queue": {}, "fails": {}, "sbatch_says": "Submitted batch job {}"})
        (self.programs / "program").write_text(PROGRAM.format(python=sys.executable))
        (self.programs / "program").chmod(0o755)
        for name in ("sbatch", "squeue", "sacct", "scancel", "scontrol", "srun"):
            (self.programs / name).symlink_to("program")

    def read(self):
        return json.loads((self.folder / "told.json").read_text())

    def write(self, state):
        (self.folder / "told.json").write_text(json.dumps(state))

    def say(self, **changes):
        self.write(self.read() | changes)

    @property
    def queue(self):
        return self.read()["queue"]


@pytest.fixture
def fake(tmp_path, monkeypatch):
    fake = FakeSlurm(tmp_path / "fake")
    monkeypatch.setenv("PATH", f"{fake.programs}:{os.environ['PATH']}")
    monkeypatch.setenv("FAKE_SLURM", str(fake.folder))
    monkeypatch.chdir(tmp_path)
    return fake


@pytest.fixture
def cluster(fake, tmp_path):
    """Return a cluster whose programs are faked."""
    folder = tmp_path / "executor"
    folder.mkdir()
    return lambda setup=(), parallelism=0: make_cluster(
        "slurm", install_runner(folder), list(setup), parallelism, Slurm()
    )


def batch_of(folder, names=("a", "b", "c"), jobs_per_task=1, **resources):
    jobs = [JobRecord((str(n),), name, (), "true", {}) for n, name in enumerate(names)]
    parameters = sbatch_parameters(resources, 1, jobs_per_task)
    return write_batch(
        folder, jobs, parameters, jobs_per_task, shell="/bin/bash", directory="/", umask=0, requeues=5
    )


def submit(cluster, batch):
    """Submit as the dispatcher does; return the id."""
    return cluster.submit(batch, *describe_array(batch.uuid, [job.name for job in batch.jobs]))


def directives(script):
    """Options of a batch script, read as a shell reads words: each line is one option."""
    options = {}
    for line in script.splitlines():
        if line.startswith("#SBATCH"):
            (option,) = shlex.split(line.removeprefix("#SBATCH"))
            name, _, value = option.partition("=")
            assert name not in options
            options[name] = value
    return options


# -- the script


def test_the_script_is_one_array_that_is_requeued_signalled_and_known_by_its_comment(cluster, fake, tmp_path):
    batch = batch_of(tmp_path, mem_mb=500, runtime=30, slurm_partition="cpu", gpu=2, slurm_extra="--nice=5")
    assert submit(cluster(), batch) == "100"
    options = directives(fake.queue["100"]["script"])
    comment = options.pop("--comment")
    assert comment.split()[0] == batch.uuid
    assert options.pop("--output") == f"{batch.folder}/%A_%a_0_log.out"
    assert options == {
        "--array": "0-2%3", "--requeue": "", "--signal": "USR2@120", "--open-mode": "append",
        "--time": "30", "--nodes": "1",
        "--cpus-per-task": "1", "--mem": "500MB", "--partition": "cpu", "--gpus-per-node": "2", "--nice": "5",
        "--job-name": "a x3"}  # fmt: skip


@pytest.mark.parametrize("num, jobs_per_task, parallelism, array", [(1, 1, 0, "0-0%1"), (5, 1, 2, "0-4%2"),
                                                                    (5, 2, 0, "0-2%3"),
                                                                    (5, 2, 50, "0-2%3"),
                                                                    (3, 9, 1, "0-0%1")])  # fmt: skip
def test_the_array_counts_tasks_and_is_throttled(
    cluster, fake, tmp_path, num, jobs_per_task, parallelism, array
):
    batch = batch_of(tmp_path, "abcdefgh"[:num], jobs_per_task)
    submit(cluster(parallelism=parallelism), batch)
    assert directives(fake.queue["100"]["script"])["--array"] == array


def test_setup_lines_run_before_the_job_in_their_order(cluster, fake, tmp_path):
    submit(cluster(setup=["module load cuda", "export A='b c'"]), batch_of(tmp_path))
    lines = fake.queue["100"]["script"].splitlines()
    srun = next(number for number, line in enumerate(lines) if line.startswith("srun"))
    assert lines.index("module load cuda") < lines.index("export A='b c'") < srun
    assert not any(line.startswith("#SBATCH") for line in lines[lines.index("module load cuda") :])


def run_script(fake, script, folder):
    """Run a batch script with srun faked; return srun's words."""
    folder.mkdir(exist_ok=True)
    subprocess.run(["bash", "-n"], input=script, text=True, check=True)
    done = subprocess.run(["bash"], input=script, text=True, cwd=folder, capture_output=True)
    assert done.returncode == 0 and done.stderr == ""
    assert list(folder.iterdir()) == []
    return json.loads((fake.folder / "srun.json").read_text())


def test_the_script_starts_our_program_on_the_batchs_folder_and_processors(cluster, fake, tmp_path):
    batch = batch_of(tmp_path, jobs_per_task=2, cpus_per_task=2)
    submit(cluster(), batch)
    words = run_script(fake, fake.queue["100"]["script"], tmp_path / "run")
    assert words[words.index("--cpus-per-task") + 1] == "4"  # srun takes one CPU unless it is told
    assert (
        words[words.index("--ntasks") + 1] == "1"
    )  # with --exclusive it starts one task for each CPU of the node
    runner, folder = words[-2:]
    assert (
        folder == str(batch.folder)
        and Path(runner).read_bytes() == Path(install_runner(tmp_path)).read_bytes()
    )
    assert words[words.index(runner) - 6 :][:6] == [sys.executable, "-I", "-S", "-u", "-c", LAUNCHER]


NASTY = ['$(touch x); "', "`touch x`", "a\n#SBATCH --wrap=touch\ntouch x", "a\r\ntouch x",
         "'; touch x; '", '"; touch x; "', "\\",
         "a\\", "'", '"', "$HOME", "; touch x", "a\0b", "\u2028touch x", "&& touch x", "# touch x", "-h",
         "--wrap=touch x", "%j%A",
         "{uuid}", "é 漢字", "a\x85touch x"]  # fmt: skip


@pytest.mark.parametrize("name", NASTY)
def test_no_name_does_anything(cluster, fake, tmp_path, name):
    batch = batch_of(tmp_path, [name, "b"])
    submit(cluster(), batch)
    script = fake.queue["100"]["script"]
    options = directives(script)
    assert set(options) == {"--array", "--comment", "--cpus-per-task", "--job-name", "--nodes",
    "--open-mode", "--output",
                            "--requeue", "--signal", "--time"}  # fmt: skip
    assert options["--comment"].split()[0] == batch.uuid
    assert run_script(fake, script, tmp_path / "run")[-1] == str(batch.folder)


@pytest.mark.parametrize("text", [text for text in NASTY if text.isprintable()])
def test_no_resource_does_anything(cluster, fake, tmp_path, text):
    resources = dict.fromkeys(["slurm_partition", "slurm_account", "constraint", "qos"], text)
    submit(cluster(), batch_of(tmp_path, **resources, slurm_extra=shlex.quote(f"--mail-user={text}")))
    script = fake.queue["100"]["script"]
    options = directives(script)
    assert [
        options[name] for name in ("--partition", "--account", "--constraint", "--qos", "--mail-user")
    ] == 5 * [text]
    run_script(fake, script, tmp_path / "run")


@pytest.mark.parametrize("name", ["a b", "$(touch x)", "a'b\"c", "a;b", "é"])
def test_no_folder_does_anything(fake, tmp_path, name):
    folder = tmp_path / name
    batch = batch_of(folder)
    submit(make_cluster("slurm", install_runner(folder), [], 0, Slurm()), batch)
    words = run_script(fake, fake.queue["100"]["script"], tmp_path / "run")
    assert words[-1] == str(batch.folder) and Path(words[-2]).exists()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(), min_size=1, max_size=3))
def test_whatever_its_jobs_are_called_an_array_is_found_by_its_comment(cluster, fake, tmp_path, names):
    fake.say(queue={})
    batch = batch_of(tmp_path, names)
    one = cluster()
    array = submit(one, batch)
    assert one.find_arrays(Path("/elsewhere"), [batch.uuid])[batch.uuid].id == array


def test_an_array_is_found_by_its_script_though_its_record_is_gone(cluster, tmp_path):
    batch, other = batch_of(tmp_path / "executor"), batch_of(tmp_path / "other executor")
    one = cluster()
    array, _ = submit(one, batch), submit(one, other)
    shutil.rmtree(batch.folder)
    assert {uuid: one.id for uuid, one in one.find_arrays(tmp_path / "executor", []).items()} == {
        batch.uuid: array
    }


def test_a_batch_leaves_few_files_no_pickle_and_nothing_that_others_may_read(cluster, tmp_path):
    batch = batch_of(tmp_path)
    old = os.umask(0o077)  # the head's
    try:
        submit(cluster(), batch)
    finally:
        os.umask(old)
    files = [path for path in batch.folder.iterdir() if not path.is_symlink()]
    assert {path.name for path in files} == {
        *("batch.json", "batch.json.copy", "jobs.jsonl", "jobs.jsonl.copy", "100_submission.sh")
    }
    assert not any(path.stat().st_mode & 0o077 for path in [batch.folder, *files])


# -- refusals


POLICY = (
    "Batch job submission failed: Job violates accounting/QOS policy (job submit limit, "
    "user's size and/or time limits)"
)


@pytest.mark.parametrize(
    "said, kind",
    [(f"AssocMaxSubmitJobLimit\nsbatch: error: {POLICY}", QueueFull),
     (f"QOSMaxSubmitJobPerUserLimit\nsbatch: error: {POLICY}", QueueFull),
     (f"AssocGrpSubmitJobsLimit\nsbatch: error: {POLICY}", QueueFull),
     (POLICY, QueueFull),
     (f"QOSMaxWallDurationPerJobLimit\nsbatch: error: {POLICY}", Refused),
     (f"AssocMaxWallDurationPerJobLimit\nsbatch: error: {POLICY}", Refused),
     (f"QOSMaxMemoryPerJob\nsbatch: error: {POLICY}", Refused),
     ("Batch job submission failed: Unable to contact slurm controller (connect failure)", Unavailable),
     ("Batch job submission failed: Socket timed out on send/recv operation", Unavailable),
     ("Slurm temporarily unable to accept job, sleeping and retrying.\nsbatch: error: Batch job submission failed: "
      "Resource temporarily unavailable", QueueFull),
     ("Batch job submission failed: Zero Bytes were transmitted or received", Unavailable),
     ("invalid partition specified: foo\nsbatch: error: Batch job submission failed: Invalid partition name specified",
      Refused),
     ("Batch job submission failed: Invalid account or account/partition combination specified", Refused),
     ("Batch job submission failed: Requested node configuration is not available", Refused),
     ("Batch job submission failed: Invalid qos specification", Refused),
     ("Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)", Refused),
     ("CPU count per node can not be satisfied\nsbatch: error: Batch job submission failed: Requested node "
      "configuration is not available", Refused),
     ("Unable to open file /x/batch.sh", Unavailable),
     ("Batch job submission failed: Unexpected missing socket error", Unavailable),
     ("Batch job submission failed: Message send failure", Unavailable),
     ("Batch job submission failed: Message receive failure", Unavailable),
     ("Batch job submission failed: Header lengths are longer than data received", Unavailable),
     ("Batch job submission failed: Received zero length message", Unavailable),
     ("Batch job submission failed: Failed to send entire message", Unavailable),
     ("Batch job submission failed: I/O error writing script/environment to file", Unavailable),
     ("Batch job submission failed: System submissions disabled", Unavailable),
     ("Batch job submission failed: Requested operation is presently disabled", Unavailable),
     ("You must name a project\nsbatch: error: Batch job submission failed: Unspecified error", Unavailable)],
)  # fmt: skip
def test_each_refusal_of_sbatch_is_of_its_kind_and_keeps_its_words(cluster, fake, tmp_path, said, kind):
    fake.say(fails={"sbatch": f"sbatch: error: {said}"})
    with pytest.raises((Unavailable, Refused)) as caught:
        submit(cluster(), batch_of(tmp_path))
    assert type(caught.value) is kind
    assert said.split("sbatch: error: ")[-1] in str(caught.value) and "sbatch: error" not in str(caught.value)


def test_a_refusal_without_the_usual_form_is_kept_and_bounded(cluster, fake, tmp_path):
    fake.say(fails={"sbatch": "This site wants a project\n" + "x" * 5000})
    with pytest.raises(Unavailable) as caught:
        submit(cluster(), batch_of(tmp_path))
    assert 100 < len(str(caught.value)) < 1000


def test_what_was_asked_for_stands_beside_an_error_that_is_unknown(cluster, fake, tmp_path):
    """It may be a mistake in the resources after all, and then a person must see it."""
    fake.say(fails={"sbatch": "This site wants a project"})
    with pytest.raises(Unavailable, match=r"wants a project \(asked for: partition lab, time 7, .*mem 300MB"):
        submit(cluster(), batch_of(tmp_path, slurm_partition="lab", runtime=7, mem_mb=300))


@pytest.mark.parametrize("says", ["", "Your job is queued", "job", "\ufffd"])
def test_an_answer_that_is_not_understood_may_have_submitted_the_job(cluster, fake, tmp_path, says):
    """So the queue is asked by the comment before it is submitted again."""
    fake.say(sbatch_says=says)
    batch = batch_of(tmp_path)
    one = cluster()
    with pytest.raises(Unavailable):
        submit(one, batch)
    assert one.find_arrays(Path("/elsewhere"), [batch.uuid])[batch.uuid].id == "100"


def test_an_sbatch_that_is_killed_may_have_submitted_the_job(cluster, fake, tmp_path):
    (fake.programs / "sbatch").unlink()
    (fake.programs / "sbatch").write_text("#!/bin/sh\nkill -9 $$\n")
    (fake.programs / "sbatch").chmod(0o755)
    with pytest.raises(Unavailable, match="sbatch"):
        submit(cluster(), batch_of(tmp_path))


# -- the environment


def test_variables_of_the_heads_own_job_or_shell_reach_neither_sbatch_nor_the_job(
    cluster, fake, tmp_path, monkeypatch
):
    job = """JOB_ID JOBID ARRAY_JOB_ID ARRAY_TASK_ID RESTART_COUNT PROCID NTASKS MEM_PER_CPU MEM_PER_NODE STEP_ID
        CPU_BIND
        CPU_BIND_TYPE CPU_BIND_LIST EXPORT_ENV GPUS_PER_NODE GPUS NNODES NODELIST NPROCS TASKS_PER_NODE NODEID
        NTASKS_PER_NODE TRES_PER_TASK CPUS_PER_TASK DISTRIBUTION SUBMIT_DIR LOCALID"""
    shell = "PARTITION ARRAY_INX COMMENT NO_REQUEUE EXPORT"
    foreign = [
        *(f"SLURM_{name}" for name in job.split()),
        *(f"SBATCH_{name}" for name in shell.split()),
        "SRUN_NTASKS",
    ]
    ours = {"SLURM_CONF": "/etc/slurm.conf", "SBATCH_ACCOUNT": "lab", "HOME": str(tmp_path), "MINE": "a b"}
    for name in foreign:
        monkeypatch.setenv(name, "7")
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    submit(cluster(), batch_of(tmp_path))
    environment = fake.queue["100"]["environment"]
    assert [name for name in foreign if name in environment] == []
    assert {name: environment.get(name) for name in ours} == ours


def test_variables_of_a_job_whose_id_was_unset_reach_neither_sbatch_nor_the_job(
    cluster, fake, tmp_path, monkeypatch
):
    """`unset SLURM_JOB_ID` inside a job left SLURM_NTASKS and SLURM_MEM_PER_CPU, with which every srun failed."""
    for name in [name for name in os.environ if name.startswith("SLURM")]:
        monkeypatch.delenv(name)  # a test bed names its configuration
    job = ["SLURM_NTASKS", "SLURM_MEM_PER_CPU", "SLURM_EXPORT_ENV", "SLURM_JOB_NODELIST", "SLURMD_NODENAME"]
    for name in [*job, "SQUEUE_FORMAT", "SALLOC_PARTITION"]:
        monkeypatch.setenv(name, "2")
    monkeypatch.setenv("SLURM_HINT", "nomultithread")  # what a site wants of every job
    submit(cluster(), batch_of(tmp_path))
    environment = fake.queue["100"]["environment"]
    assert [name for name in environment if name.startswith(("SLURM", "SQUEUE", "SALLOC"))] == ["SLURM_HINT"]


def test_an_account_of_the_profile_is_not_overruled_by_the_shell(cluster, fake, tmp_path, monkeypatch):
    monkeypatch.setenv("SBATCH_ACCOUNT", "lab")
    submit(cluster(), batch_of(tmp_path))
    assert fake.queue["100"]["environment"]["SBATCH_ACCOUNT"] == "lab"
    submit(cluster(), batch_of(tmp_path, slurm_account="project"))
    assert "SBATCH_ACCOUNT" not in fake.queue["101"]["environment"]


def test_sbatch_has_a_session_of_its_own_so_that_ctrl_c_does_not_reach_it(cluster, fake, tmp_path):
    (fake.programs / "sbatch").unlink()
    (fake.programs / "sbatch").write_text(
        '#!/bin/sh\ncut -d" " -f6 /proc/$$/stat > session\necho Submitted batch job 5\n'
    )
    (fake.programs / "sbatch").chmod(0o755)
    assert submit(cluster(), batch_of(tmp_path)) == "5"
    assert int(Path("session").read_text()) != os.getsid(0)


# -- the cluster


def test_queue_limits_and_cancelling_are_slurms_own(cluster, fake, tmp_path):
    one = cluster()
    batch = batch_of(tmp_path, ["a", "b"])
    array = submit(one, batch)
    queued = one.queued([array])
    assert set(queued) == {(array, 0), (array, 1)} and {task.state for task in queued.values()} == {"PENDING"}
    assert all(batch.owns(task.comment) for task in queued.values())
    assert one.max_tasks() == 17
    one.cancel([array])
    assert one.find_arrays(tmp_path, [batch.uuid]) == {} and isinstance(one, SlurmCluster)


def test_the_first_missing_program_is_named(fake, monkeypatch, tmp_path):
    assert program_missing() is None
    monkeypatch.setenv("PATH", str(fake.programs))
    (fake.programs / "scancel").unlink()
    assert program_missing() == "scancel"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert program_missing() == "sbatch"


def test_the_nodes_program_is_copied_once_under_its_contents_name(tmp_path):
    first = install_runner(tmp_path)
    before = first.stat().st_mtime_ns
    assert install_runner(tmp_path) == first and first.stat().st_mtime_ns == before
    assert [path.name for path in tmp_path.iterdir()] == [first.name]
    first.write_bytes(first.read_bytes()[:1000])
    assert install_runner(tmp_path) == first
    assert first.read_bytes() == Path(task_module.__file__).read_bytes()
