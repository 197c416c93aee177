"""Jobs that wait for nodes: a partition without any is reported once, with what helps."""

import pytest
from snakemake_executor_plugin_submitit.slurm import Refused, Unavailable

DOWN = "Nodes required for job are DOWN, DRAINED or reserved for jobs in higher priority partitions"


def warnings(head):
    return [said for said in head.said if "take no jobs" in said]


@pytest.fixture
def waiting(head, cluster):
    """Return a head whose jobs wait for this reason."""

    def start(reason, **resources):
        cluster.reason = reason
        return head().want("job0", "job1", "job2", **resources).turn(2)

    return start


@pytest.mark.parametrize("reason", [DOWN, DOWN.replace(" ", "_"), "ReqNodeNotAvail, UnavailableNodes:n[1-2]"])
def test_a_partition_whose_nodes_are_all_away_is_named_once_with_nodes_and_remedy(waiting, cluster, reason):
    cluster.unavailable = ["n1 drained (Duplicate jobid)", "n2 down* (Not responding)"]
    head = waiting(reason, slurm_partition="cpu").turn(20)
    (warning,) = warnings(head)
    assert f"array 100 waits ({reason}): 2 of 2 nodes of partition cpu take no jobs" in warning
    assert "n1 drained (Duplicate jobid), n2 down* (Not responding)" in warning
    assert "state=resume" in warning and "slurm_partition" in warning and "Ctrl-C" in warning


def test_the_default_partition_is_called_so(waiting, cluster):
    cluster.unavailable = ["n1 down", "n2 down"]
    assert "2 of 2 nodes of the default partition" in warnings(waiting(DOWN))[0]


def test_jobs_that_wait_for_jobs_of_a_higher_priority_are_nothing_to_report(waiting, cluster):
    cluster.unavailable = ["n1 drained"]  # as some node of every large partition is
    assert not warnings(waiting(DOWN, slurm_partition="cpu").turn(20))


def test_nodes_that_are_lost_while_jobs_wait_are_reported_when_the_last_is_gone(waiting, cluster):
    head = waiting(DOWN, slurm_partition="cpu").turn(5)
    cluster.unavailable = ["n1 down", "n2 down"]
    assert len(warnings(head.turn(80))) == 1


def test_nodes_that_the_job_may_use_and_that_are_away_are_named_although_others_are_there(waiting, cluster):
    """The job excludes the nodes that failed before."""
    cluster.unavailable = ["n2 drained (disk)"]
    (warning,) = warnings(waiting("ReqNodeNotAvail, UnavailableNodes:n2", slurm_partition="cpu"))
    assert "1 of 2 nodes" in warning and "n2 drained (disk)" in warning


@pytest.mark.parametrize(
    "error", [Unavailable("sinfo did not answer within 5 s"), Refused("sinfo: No such file")]
)
def test_a_remark_that_cannot_be_made_disturbs_no_poll(waiting, cluster, error):
    cluster.sinfo_fails = error
    head = waiting(DOWN, slurm_partition="cpu").turn(20)
    cluster.sinfo_fails = None
    assert head.run() == dict.fromkeys(["job0", "job1", "job2"], "succeeded")
    assert not any("sinfo" in said for said in head.said)


def test_of_a_thousand_nodes_a_few_are_named(waiting, cluster):
    cluster.unavailable = [f"n{number} down" for number in range(1000)]
    (warning,) = warnings(waiting("ReqNodeNotAvail"))
    assert "1000 of" in warning and len(warning) < 600


def test_jobs_of_a_partition_that_comes_back_end_well(waiting, cluster, assert_all_well):
    cluster.unavailable = ["n1 down", "n2 down"]
    head = waiting(DOWN)
    cluster.reason, cluster.unavailable = "", []
    assert_all_well(cluster, head.run(), 3)
