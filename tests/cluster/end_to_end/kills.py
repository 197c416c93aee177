"""Blows of a storm that kill, signal or requeue: jobs, nodes, SLURM's daemons and the head."""

import os
import signal

from tests.cluster.end_to_end.storm import Blow, Storm

__all__ = ["KILLS"]


def kill_worker(storm: Storm) -> str | None:
    """As the kernel does that is out of memory: final for this call."""
    processes = storm.workflow.task_processes()
    workers = [pid for pid, (_, command) in processes.items() if storm.workflow.is_worker(command)]
    if not workers:
        return None
    pid = storm.random.choice(sorted(workers))
    kill([pid])
    return f"worker of {processes[pid][0]} killed"


def kill_task(storm: Storm) -> str | None:
    """The node's program and its job, with or without the batch script and the srun around them."""
    processes = storm.workflow.task_processes()
    if not processes:
        return None
    chosen = storm.random.choice(sorted({task for task, _ in processes.values()}))
    pids = [pid for pid in sorted(processes) if processes[pid][0] == chosen]  # parents first
    if storm.random.random() < 0.5:
        pids = [pid for pid in pids if not is_around(processes[pid][1])]
    kill(pids)
    return f"task {chosen} killed, {len(pids)} processes"


def is_around(command: str) -> bool:
    return "slurm_script" in command or command.startswith("srun")


def kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def running_task(storm: Storm) -> str | None:
    tasks = storm.ask("squeue", "-h", "-t", "running", "-o", "%i").split()
    return storm.random.choice(sorted(tasks)) if tasks else None


def warn_task(storm: Storm) -> str | None:
    task = running_task(storm)
    if task is None:
        return None
    name = storm.random.choice(["USR2", "TERM"])
    storm.ask("scancel", f"--signal={name}", task)
    return f"{task} gets {name}"


def requeue_task(storm: Storm) -> str | None:
    task = running_task(storm)
    if task is None:
        return None
    storm.ask("scontrol", "requeue", task)
    return f"{task} requeued by hand"


def kill_node(storm: Storm) -> str | None:
    """Only slurmd dies, while its jobs go on; or the whole node."""
    daemon = f"slurmd:{storm.random.choice(storm.workflow.nodes)}"
    with_jobs = ["--with-jobs"] if storm.random.random() < 0.5 else []
    if not storm.daemon_breaks(daemon, 2, 25):
        return None
    storm.bed.testbed("kill", daemon, *with_jobs)
    return f"{daemon} killed{' with its jobs' if with_jobs else ''}"


def kill_daemon(storm: Storm) -> str | None:
    daemon = storm.random.choice(["slurmctld", "slurmctld", "slurmdbd", "mariadbd", "munged"])
    if not storm.daemon_breaks(daemon, 1, 10):
        return None
    storm.bed.testbed("kill", daemon)
    return f"{daemon} killed"


def restart_daemon(storm: Storm) -> str | None:
    daemon = storm.random.choice(["slurmctld", "slurmdbd"])
    if not storm.daemon_breaks(daemon, 0, 5):
        return None
    os.kill(int((storm.bed.folder / f"run/{daemon}.pid").read_text()), signal.SIGTERM)
    return f"{daemon} restarted"


def end_head(storm: Storm) -> str | None:
    number = storm.random.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
    return f"the head gets {number.name}" if storm.head_leaves(number) else None


KILLS = {
    "kill_worker": Blow(kill_worker, 1),
    "kill_task": Blow(kill_task, 3),
    "warn_task": Blow(warn_task, 4),
    "requeue_task": Blow(requeue_task, 3),
    "kill_node": Blow(kill_node, 2),
    "kill_daemon": Blow(kill_daemon, 3),
    "restart_daemon": Blow(restart_daemon, 2),
    "end_head": Blow(end_head, 4),
}
"""The blows by name."""
