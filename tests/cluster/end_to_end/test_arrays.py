"""Many jobs become few arrays, and SLURM gets what was asked for."""

import re
import time
from pathlib import Path


def test_two_hundred_jobs_are_one_array_and_none_runs_twice(workflow):
    workflow.write(num=200, steps=1, seconds=0)
    done = workflow.run()
    assert done.returncode == 0, done.stdout
    assert len(workflow.outputs()) == 200
    assert set(workflow.times_started().values()) == {1}
    assert len(workflow.arrays()) == 1
    assert len(re.findall(r"^submitted ", done.stdout, re.MULTILINE)) == 1
    assert not list((workflow.folder / ".snakemake/submitit/batches").iterdir()), (
        "records of done jobs are removed"
    )


def test_an_array_is_no_larger_than_asked_and_a_second_call_has_nothing_to_do(workflow):
    workflow.write(num=10, steps=1, seconds=0)
    done = workflow.run("--submitit-array-size", "4")
    assert done.returncode == 0, done.stdout
    assert len(workflow.arrays()) == 3
    assert "Nothing to be done" in workflow.run().stdout


def test_packed_jobs_share_a_task_and_one_that_fails_fails_alone(workflow):
    workflow.write(num=6, steps=2, seconds=0)
    text = (workflow.folder / "Snakefile").read_text()
    (workflow.folder / "Snakefile").write_text(text.replace('shell: "', 'shell: "test {wildcards.i} != 3; '))
    done = workflow.run("--submitit-jobs-per-task", "3")
    assert done.returncode != 0
    assert sorted(workflow.outputs()) == ["0", "1", "2", "4", "5"]
    assert {start[2] for start in workflow.starts()} == {"0", "1"}, "two tasks of three jobs"
    assert "work on number 3" in done.stdout and "exit code 1" in done.stdout


def test_a_job_that_has_its_node_for_itself_is_started_once(workflow):
    workflow.write(num=1, steps=1, seconds=0)
    text = (workflow.folder / "Snakefile").read_text()
    (workflow.folder / "Snakefile").write_text(
        text.replace("resources:", 'resources: slurm_extra="--exclusive",')
    )
    done = workflow.run()
    assert done.returncode == 0, done.stdout
    assert list(workflow.times_started().values()) == [1]


def test_resources_reach_slurm_as_asked(workflow, until):
    workflow.write(num=2, steps=600)
    text = (workflow.folder / "Snakefile").read_text()
    resources = 'resources: mem_mb=123, runtime=17, cpus_per_task=2, slurm_partition="gpu", gres="gpu:1", '
    resources += 'slurm_extra="--nice=7"'
    (workflow.folder / "Snakefile").write_text(re.sub("resources: .*", resources, text))
    head = workflow.start("--submitit-array-parallelism", "1", "--submitit-setup", "export SEEN=setup")
    until(lambda: "RUNNING" in workflow.queue(), what="a running task")
    array = re.search(r"as array (\d+)", workflow.said())[1]
    shown = workflow.slurm.output("scontrol", "show", "job", f"{array}_0")
    facts = dict(re.findall(r"(\S+?)=(\S*)", shown))
    assert facts["Partition"] == "gpu"
    assert facts["TimeLimit"] == "00:17:00"
    assert facts["NumCPUs"] == "2" and facts["CPUs/Task"] == "2"
    assert re.search(r"mem=123M", facts["TRES"]) and re.search(r"gres/gpu=1", facts["TRES"])
    assert facts["Requeue"] == "1" and facts["Nice"] == "7"
    assert facts["JobName"].startswith("work") and "on number" in shown
    uuid = next((workflow.folder / ".snakemake/submitit/batches").iterdir()).name
    assert f"Comment={uuid} work on number 0" in shown
    assert workflow.queue().count("RUNNING") == 1, "array-parallelism 1"
    script = workflow.slurm.output("scontrol", "write", "batch_script", f"{array}_0", "-")
    assert "export SEEN=setup" in script and "%1" in script
    assert workflow.stop(head, 2, group=True) != 0
    until(lambda: array not in workflow.queue(), what="Ctrl-C to cancel the array")


def test_nothing_of_the_workflow_is_run_by_a_shell_that_should_not(workflow):
    snakefile = '''
rule all:
    localrule: True
    input: "out/1"

rule work:
    output: "out/1"
    params:
        evil=lambda wildcards: """$(touch pwned); "'`touch pwned`""",
        lines=lambda wildcards: "one\\ntouch pwned\\n#SBATCH --comment=pwned",
    message: "label $(touch pwned); \\"'` and\\ntouch pwned"
    resources: mem_mb=50
    shell: "printf %s {params.evil:q}{params.lines:q} > {output}"
'''
    workflow.write(snakefile)
    done = workflow.run()
    assert done.returncode == 0, done.stdout
    assert (
        workflow.outputs()["1"] == "$(touch pwned); \"'`touch pwned`one\ntouch pwned\n#SBATCH --comment=pwned"
    )
    assert not list(Path(workflow.folder).rglob("pwned"))


def test_a_control_character_in_a_resource_is_refused(workflow):
    workflow.write()
    text = (workflow.folder / "Snakefile").read_text()
    (workflow.folder / "Snakefile").write_text(
        text.replace("runtime=10", 'slurm_partition="cpu\\ntouch pwned"')
    )
    done = workflow.run()
    assert done.returncode != 0
    assert "slurm_partition" in done.stdout and "control characters" in done.stdout
    assert not workflow.starts() and not list(Path(workflow.folder).rglob("pwned"))


def test_records_and_logs_are_for_their_owner_alone(workflow, until):
    workflow.write(num=2, steps=600)
    head = workflow.start()
    until(lambda: len(workflow.starts()) == 2, what="both workers to start")
    time.sleep(0.5)
    folder = workflow.folder / ".snakemake/submitit"
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    assert {oct(path.stat().st_mode & 0o777) for path in folders} == {"0o700"}
    batch = next((folder / "batches").iterdir())
    records = [batch / "batch.json", batch / "jobs.jsonl", *batch.glob("*.starts")]
    assert {oct(path.stat().st_mode & 0o777) for path in records} == {"0o600"}
    assert not list(folder.rglob("*.pkl")), "there is no pickle to be tampered with"
    workflow.stop(head, 2, group=True)


def test_outputs_get_the_umask_of_the_person_who_submits(workflow):
    workflow.write(num=1, steps=1, seconds=0)
    assert workflow.run().returncode == 0
    reference = workflow.folder / "reference"
    reference.touch()
    assert (workflow.folder / "out/0").stat().st_mode == reference.stat().st_mode
