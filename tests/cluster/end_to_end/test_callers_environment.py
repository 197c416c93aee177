"""Variables of the shell, or of the job in which the head runs, change neither what the head sees nor how jobs run."""

import pytest

pytestmark = pytest.mark.slow

FILTERS = {
    "SQUEUE_PARTITION": "other_partition",
    "SQUEUE_STATES": "COMPLETED",
    "SQUEUE_USERS": "nobody",
    "SQUEUE_FORMAT2": "JobID",
    "SACCT_FORMAT": "JobID",
    "SCANCEL_STATE": "PENDING",
    "SCONTROL_FUTURE": "1",
    "SLURM_TIME_FORMAT": "relative",
}
OF_A_JOB = {
    "SLURM_NTASKS": "2",
    "SLURM_NPROCS": "2",
    "SLURM_MEM_PER_CPU": "1500",
    "SLURM_JOB_NODELIST": "n1",
    "SLURM_EXPORT_ENV": "NONE",
    "SBATCH_EXPORT": "NONE",
    "SBATCH_PARTITION": "other_partition",
}


def test_running_jobs_that_the_shells_filters_would_hide_are_not_submitted_again(workflow, expected):
    workflow.write(num=2, steps=45, seconds=1)
    done = workflow.run(**FILTERS, **OF_A_JOB)
    assert done.returncode == 0, done.stdout
    assert workflow.outputs() == {str(i): expected(str(i), 45) for i in range(2)}
    assert workflow.times_started() == {"0": 1, "1": 1}


def test_a_head_in_a_job_that_unset_its_job_id_starts_its_tasks(workflow, slurm, until):
    workflow.write(num=2, steps=2)
    command = " ".join(workflow.command())
    script = f"cd {workflow.folder}; export PATH={slurm.env['PATH']}; unset SLURM_JOB_ID; {command} > head.log 2>&1"
    job = slurm.submit(script, "--ntasks=2", "--mem-per-cpu=200", f"--chdir={workflow.folder}")
    until(lambda: slurm.state(job) in ("COMPLETED", "FAILED"), 120, "the head's job to end")
    said = (workflow.folder / "head.log").read_text(errors="replace")
    assert slurm.state(job) == "COMPLETED", said
    assert set(workflow.outputs()) == {"0", "1"}, said
