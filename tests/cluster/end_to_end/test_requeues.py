"""Jobs that SLURM interrupts go on in their slot, and end with the same bits; those it loses run elsewhere."""

import os
import re
import signal

import pytest

pytestmark = pytest.mark.slow

STEPS = 60


def array_of(workflow, until) -> str:
    until(lambda: re.search(r"as array (\d+)", workflow.said()), what="a submission")
    return re.search(r"as array (\d+)", workflow.said())[1]


def ends_well(workflow, expected, head, num: int, steps: int = STEPS, within: float = 180) -> None:
    assert head.wait(within) == 0, workflow.said()
    assert workflow.outputs() == {str(i): expected(str(i), steps) for i in range(num)}


def in_one_array(workflow) -> None:
    assert len(workflow.arrays()) == 1, "requeued in place"
    assert len({(start[0], start[2]) for start in workflow.starts()}) == len(workflow.times_started())


def every_restart_went_on(workflow) -> None:
    first_steps: dict[str, int] = {}
    for name, _, _, step, _ in workflow.starts():
        assert int(step) > first_steps.get(name, -1), "a restart begins further on than its predecessor"
        first_steps[name] = int(step)


def test_three_preemption_signals_end_with_the_same_bits(workflow, expected, until):
    workflow.write(num=1, steps=STEPS)
    head = workflow.start()
    array = array_of(workflow, until)
    for count in (1, 2, 3):
        until(lambda count=count: len(workflow.starts()) == count, what=f"start {count}")
        for name in ("SIGTERM", "SIGUSR2"):  # as pre-emption with a grace time does, and then a warning
            workflow.slurm.run(["scancel", f"--signal={name}", f"{array}_0"])
    ends_well(workflow, expected, head, 1)
    assert workflow.times_started() == {"0": 4}
    in_one_array(workflow)
    every_restart_went_on(workflow)
    assert "back in the queue" in workflow.said()


def test_real_preemption_by_a_higher_partition(workflow, expected, until):
    workflow.write(num=1, steps=STEPS)
    text = (workflow.folder / "Snakefile").read_text()
    asked = 'resources: slurm_partition="preemptible", gres="gpu:2", slurm_extra="--nodelist=g1", mem_mb=50, runtime=10'
    (workflow.folder / "Snakefile").write_text(re.sub("resources: .*", asked, text))
    head = workflow.start()
    for count in (1, 2, 3):
        until(lambda count=count: len(workflow.starts()) == count, 90, what=f"start {count}")
        wanted = ["--partition=gpu", "--gres=gpu:2", "--nodelist=g1", "--mem=50"]
        rival = workflow.slurm.submit("sleep 2", *wanted)
        until(lambda rival=rival: workflow.slurm.state(rival) == "COMPLETED", 90, what="the rival's end")
    ends_well(workflow, expected, head, 1)
    assert workflow.times_started() == {"0": 4}
    in_one_array(workflow)
    every_restart_went_on(workflow)


def test_scontrol_requeue_ends_with_the_same_bits(workflow, expected, until):
    workflow.write(num=2, steps=STEPS)
    head = workflow.start()
    array = array_of(workflow, until)
    until(lambda: len(workflow.starts()) == 2, what="two starts")
    workflow.slurm.output("scontrol", "requeue", f"{array}_1")
    ends_well(workflow, expected, head, 2)
    assert workflow.times_started() == {"0": 1, "1": 2}
    in_one_array(workflow)
    every_restart_went_on(workflow)


def test_a_job_at_its_time_limit_saves_and_goes_on_in_its_slot(workflow, expected, until):
    workflow.write(num=1, steps=45, seconds=2)
    text = (workflow.folder / "Snakefile").read_text()
    (workflow.folder / "Snakefile").write_text(text.replace("runtime=10", "runtime=1"))
    head = workflow.start()
    ends_well(workflow, expected, head, 1, steps=45)
    assert workflow.times_started()["0"] >= 2
    in_one_array(workflow)
    every_restart_went_on(workflow)


def test_a_job_that_ignores_the_warning_is_submitted_again_after_the_limit(workflow, expected, until):
    # SLURM looks at limits every half minute and then gives 30 s to end: more than two minutes are beyond both.
    workflow.write(num=1, steps=65, seconds=2)
    text = (workflow.folder / "Snakefile").read_text().replace("runtime=10", "runtime=1")
    text = text.replace('shell: "', """shell: "trap '' USR2 TERM; """)
    (workflow.folder / "Snakefile").write_text(text.replace(" > {log}", " deaf > {log}"))
    head = workflow.start()
    ends_well(workflow, expected, head, 1, steps=65, within=300)
    assert "time limit was reached" in workflow.said()
    every_restart_went_on(workflow)


def test_a_job_that_is_restarted_without_progress_stops(workflow, until):
    workflow.write(num=1)
    text = (workflow.folder / "Snakefile").read_text()
    (workflow.folder / "Snakefile").write_text(
        re.sub('shell: ".*"', 'shell: "echo x >> tries; exit 75"', text)
    )
    done = workflow.run("--submitit-requeues", "2")
    assert done.returncode != 0
    assert "checkpoint did not change" in done.stdout
    assert (workflow.folder / "tries").read_text().count("x") == 3


def test_jobs_of_a_node_that_dies_run_elsewhere(workflow, expected, until, own_bed):
    workflow.slurm = own_bed
    workflow.write(num=4, steps=STEPS)
    head = workflow.start()
    saved = [workflow.folder / f"saved/{i}" for i in range(4)]
    until(lambda: all(file.exists() for file in saved), what="a checkpoint of each")
    node = workflow.starts()[0][4]
    lost = {start[0] for start in workflow.starts() if start[4] == node}
    own_bed.testbed("kill", f"slurmd:{node}", "--with-jobs")
    ends_well(workflow, expected, head, 4)
    own_bed.testbed("start", f"slurmd:{node}")
    again = workflow.starts()[4:]
    assert {start[0] for start in again} == lost
    assert node not in {start[4] for start in again}
    every_restart_went_on(workflow)


def test_controller_and_accounting_may_restart_in_the_middle(workflow, expected, until, own_bed):
    workflow.slurm = own_bed
    workflow.write(num=12, steps=80)
    head = workflow.start("--submitit-array-size", "6", "--submitit-poll-max", "1")
    until(lambda: len(workflow.starts()) >= 4, what="starts")
    for daemon in ("slurmctld", "slurmdbd"):
        os.kill(int((own_bed.folder / f"run/{daemon}.pid").read_text()), signal.SIGTERM)
    until(lambda: "next try" in workflow.said(), what="the head to say that SLURM is away")
    own_bed.testbed("start", "slurmdbd")
    own_bed.testbed("start", "slurmctld")
    ends_well(workflow, expected, head, 12, steps=80)
    assert set(workflow.times_started().values()) == {1}


def test_a_controller_that_crashes_and_forgets_the_last_seconds_loses_no_job(
    workflow, expected, until, own_bed
):
    """Job ids are given out twice, and nodes that remember the first ones refuse the second."""
    workflow.slurm = own_bed
    workflow.write(num=12, steps=80)
    head = workflow.start("--submitit-array-size", "6", "--submitit-poll-max", "1")
    until(lambda: len(workflow.starts()) >= 4, what="starts")
    own_bed.testbed("kill", "slurmctld")
    own_bed.testbed("start", "slurmctld")

    def ended() -> bool:
        for node in own_bed.run(["sinfo", "-h", "-N", "-t", "drain", "-o", "%N"]).stdout.split():
            own_bed.run(
                ["scontrol", "update", f"nodename={node}", "state=resume"]
            )  # as an administrator does
        return head.poll() is not None

    until(ended, 240, what="the sweep's end")
    ends_well(workflow, expected, head, 12, steps=80)


def test_a_controller_that_is_away_at_submission_is_waited_for(workflow, expected, until, own_bed):
    workflow.slurm = own_bed
    workflow.write(num=3, steps=5)
    own_bed.testbed("kill", "slurmctld")
    head = workflow.start()
    until(lambda: workflow.said().count("next try") >= 2, 90, what="two pauses")
    pauses = [int(seconds) for seconds in re.findall(r"next try is in (\d+) s", workflow.said())]
    assert pauses[1] > pauses[0]
    own_bed.testbed("start", "slurmctld")
    ends_well(workflow, expected, head, 3, steps=5)
    assert set(workflow.times_started().values()) == {1}
