"""A controller that dies while it takes a job, and nodes that are gone: the sweep waits; nothing is lost or doubled."""

import signal

import pytest

from tests.cluster.conftest import TESTBED

ANSWER = "sbatch: error: Batch job submission failed: Unexpected missing socket error"

# The controller forgets what it was told in its last seconds, so an array that it had taken may be gone or not.
DEATHS = {
    "before it takes the job": "{testbed} kill slurmctld",
    "after it took the job": '{real} "$@" > /dev/null; {testbed} kill slurmctld',
    "some seconds after it took the job": '{real} "$@" > /dev/null; sleep 6; {testbed} kill slurmctld',
}
SBATCH = """#!/bin/sh
if [ ! -e {folder}/died ]; then
    touch {folder}/died
    {death}
    setsid sh -c "sleep 3; {testbed} start slurmctld" > /dev/null 2>&1 &
    echo '{answer}' >&2
    exit 1
fi
exec {real} "$@"
"""


@pytest.fixture
def on_own_bed(workflow, own_bed):
    workflow.slurm = own_bed
    return workflow


@pytest.mark.slow
@pytest.mark.parametrize("death", DEATHS)
def test_a_controller_that_dies_during_sbatch_is_waited_for_and_nothing_is_lost_or_doubled(
    on_own_bed, expected, until, death
):
    workflow = on_own_bed
    workflow.write(num=3, steps=20)
    programs = workflow.folder / "programs"
    programs.mkdir()
    names = {
        "folder": workflow.folder,
        "real": workflow.slurm.output("which", "sbatch"),
        "testbed": f"env HORNLIB_TESTBED={workflow.slurm.folder} {TESTBED}",
        "answer": ANSWER,
    }
    (programs / "sbatch").write_text(SBATCH.format(death=DEATHS[death].format(**names), **names))
    (programs / "sbatch").chmod(0o755)
    done = workflow.run(PATH=f"{programs}:{workflow.slurm.env['PATH']}", timeout=240)
    assert done.returncode == 0, done.stdout
    assert "Unexpected missing socket error" in done.stdout and "nothing is lost" in done.stdout
    assert workflow.outputs() == {str(i): expected(str(i), 20) for i in range(3)}
    until(lambda: not workflow.queue(), 60, what="the queue to be empty")
    assert set(workflow.times_started().values()) == {1}


@pytest.mark.slow
def test_a_partition_whose_nodes_are_drained_is_reported_once_and_the_sweep_goes_on_when_they_are_back(
    on_own_bed, expected, until
):
    workflow = on_own_bed
    workflow.slurm.output("scontrol", "update", "nodename=n1,n2", "state=drain", "reason=Duplicate jobid")
    try:
        workflow.write(num=2)
        head = workflow.start()
        until(lambda: "take no jobs" in workflow.said(), 60, what="the head to say why its jobs wait")
    finally:
        workflow.slurm.output("scontrol", "update", "nodename=n1,n2", "state=resume")
    assert head.wait(120) == 0, workflow.said()
    said = " ".join(workflow.said().split())
    assert said.count("take no jobs") == 1 and "2 of 2 nodes of the default partition" in said
    assert "n1 drained (Duplicate jobid), n2 drained (Duplicate jobid)" in said and "slurm_partition" in said
    assert workflow.outputs() == {str(i): expected(str(i), 3) for i in range(2)}


def test_an_error_that_never_passes_is_said_with_the_way_out_and_leaves_no_array(workflow, until):
    workflow.write(num=2)
    programs = workflow.folder / "programs"
    programs.mkdir()
    (programs / "sbatch").write_text(
        "#!/bin/sh\necho 'sbatch: error: This site wants a project' >&2\nexit 1\n"
    )
    (programs / "sbatch").chmod(0o755)
    head = workflow.start(PATH=f"{programs}:{workflow.slurm.env['PATH']}")
    until(
        lambda: "This site wants a project (asked for:" in workflow.said(),
        60,
        what="the head to say what failed",
    )
    assert head.poll() is None
    assert workflow.stop(head, signal.SIGINT, group=True) != 0
    assert "Traceback" not in workflow.said() and not workflow.queue()
    assert workflow.run().returncode == 0, "the same command goes on once the site is content"
