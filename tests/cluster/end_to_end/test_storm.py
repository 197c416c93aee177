"""A storm of kills over a sweep: at the end every result is there, once, as if nothing had happened.

HORNLIB_STORMS=5 pytest tests/cluster/end_to_end/test_storm.py    # five storms, one after the other
HORNLIB_STORM_SEED=417 HORNLIB_STORM_SECONDS=60 pytest ...        # that one again, for a minute

The seed fixes what the storm does and when, not what it meets: two storms of one seed are alike, not equal.
"""

import os
import random
import re
import signal
import subprocess
import time

import pytest

NUM_JOBS, STEPS, SECONDS_A_STEP = 40, 75, 0.2
SECONDS = float(os.environ.get("HORNLIB_STORM_SECONDS", "120"))
MOST_CALLS_AFTERWARDS = (
    6  # jobs whose own process was killed are reported as failed, and run with the next call
)
NODES = ("n1", "n2")
FIRST = ["munged", "mariadbd"]  # others do not start without them
SECONDS_TO_LEAVE = 150  # a head may be waiting for an answer of SLURM when it is told to end


def seed_of(storm: int) -> int:
    """Draw a seed in the test and not in its name: the names must be the same in every process of a test run."""
    given = os.environ.get("HORNLIB_STORM_SEED")
    return int(given) + storm if given else random.SystemRandom().randrange(1_000_000)


def is_worker(command: str) -> bool:
    return "worker.py" in command and not command.partition(" ")[0].endswith("bash")


def is_around(command: str) -> bool:
    """Whether this is the batch script or the srun in it, around the node's program."""
    return "slurm_script" in command or command.startswith("srun")


class Storm:
    """Random blows at a sweep and its SLURM, each repaired after a while, and a person who restarts the head."""

    def __init__(self, workflow, bed, seed: int) -> None:
        self.workflow, self.bed, self.random = workflow, bed, random.Random(seed)
        self.began = time.monotonic()
        self.away: dict[str, float] = {}  # daemons, and when each is started again
        self.story: list[str] = []
        self.killed: set[str] = set()  # SLURM's ids of tasks
        self.orphaned: set[str] = set()  # nodes whose slurmd alone was killed
        self.crashes: list[float] = []  # of the controller, by the clock
        self.next_round = 0.0
        self.leaves_by = float("inf")
        self.head = workflow.start()

    def tell(self, what: str) -> None:
        self.story.append(f"{time.monotonic() - self.began:6.1f} {what}")
        (self.workflow.folder / "storm.log").write_text("\n".join(self.story))

    def blow(self) -> None:
        """Do one random harm."""
        blows = {
            self.kill_worker: 1,
            self.kill_task: 3,
            self.warn_task: 4,
            self.requeue_task: 3,
            self.kill_node: 2,
            self.restart_daemon: 2,
            self.kill_daemon: 3,
            self.end_head: 4,
        }
        chosen = self.random.choices(list(blows), list(blows.values()))[0]
        before = len(self.story)
        chosen()
        if len(self.story) == before:
            self.tell(f"nothing for {chosen.__name__}")

    def kill(self, pids: list[int]) -> None:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def kill_worker(self) -> None:
        """As the kernel does that is out of memory: final for this call."""
        processes = self.workflow.task_processes()
        workers = [(pid, task) for pid, (task, command) in processes.items() if is_worker(command)]
        if workers:
            pid, task = self.random.choice(sorted(workers))
            self.tell(f"worker of {task} killed")
            self.killed.add(task)
            self.kill([pid])

    def kill_task(self) -> None:
        """The node's program and its job, with or without the batch script around them."""
        tasks = self.workflow.task_processes()
        if not tasks:
            return
        chosen = self.random.choice(sorted({task for task, _ in tasks.values()}))
        theirs = [pid for pid in sorted(tasks) if tasks[pid][0] == chosen]  # parents first
        if self.random.random() < 0.5:
            theirs = [pid for pid in theirs if not is_around(tasks[pid][1])]
        self.tell(f"task {chosen} killed, {len(theirs)} processes")
        self.killed.add(chosen)
        self.kill(theirs)

    def a_running_task(self) -> str | None:
        listed = self.ask("squeue", "-h", "-t", "running", "-o", "%i").split()
        return self.random.choice(sorted(listed)) if listed else None

    def warn_task(self) -> None:
        if task := self.a_running_task():
            name = self.random.choice(["USR2", "TERM"])
            self.tell(f"{task} gets {name}")
            self.ask("scancel", f"--signal={name}", task)

    def requeue_task(self) -> None:
        if task := self.a_running_task():
            self.tell(f"{task} requeued by hand")
            self.ask("scontrol", "requeue", task)

    def kill_node(self) -> None:
        node = self.random.choice(NODES)
        with_jobs = self.random.random() < 0.5
        if not self.breaks(f"slurmd:{node}", 2, 25):
            return
        self.tell(f"slurmd:{node} killed{' with its jobs' if with_jobs else ''}")
        if not with_jobs:
            self.orphaned.add(node)
        self.bed.testbed("kill", f"slurmd:{node}", *(["--with-jobs"] if with_jobs else []))

    def kill_daemon(self) -> None:
        daemon = self.random.choice(["slurmctld", "slurmctld", "slurmdbd", "mariadbd", "munged"])
        if self.breaks(daemon, 1, 10):
            self.tell(f"{daemon} killed")
            if daemon == "slurmctld":
                self.crashes.append(time.time())
            self.bed.testbed("kill", daemon)

    def restart_daemon(self) -> None:
        daemon = self.random.choice(["slurmctld", "slurmdbd"])
        if self.breaks(daemon, 1, 5):
            self.tell(f"{daemon} restarted")
            os.kill(int((self.bed.folder / f"run/{daemon}.pid").read_text()), signal.SIGTERM)

    def breaks(self, daemon: str, soonest: float, latest: float) -> bool:
        """Plan a daemon's return; False if it is away already."""
        if daemon in self.away:
            return False
        self.away[daemon] = time.monotonic() + self.random.uniform(soonest, latest)
        return True

    def end_head(self) -> None:
        if self.head is None or self.head.poll() is not None or self.leaves_by < float("inf"):
            return
        number = self.random.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
        self.tell(f"the head gets {number.name}")
        (os.killpg if number == signal.SIGINT else os.kill)(self.head.pid, number)
        self.leaves_by = time.monotonic() + SECONDS_TO_LEAVE

    def ask(self, *command: str) -> str:
        """What SLURM says, nothing if it is away."""
        if "slurmctld" in self.away or "munged" in self.away:
            return ""
        try:
            return self.bed.run(list(command), timeout=4).stdout
        except subprocess.TimeoutExpired:
            return ""

    def tend(self, all_of_it: bool = False) -> None:
        """Repair what is due, bring nodes back as an administrator does, start the head as a person does."""
        due = [daemon for daemon, at in self.away.items() if all_of_it or time.monotonic() >= at]
        if due:
            for daemon in sorted({*due, *FIRST} & set(self.away), key=[*FIRST, *due].index):
                self.bed.testbed("start", daemon)
                del self.away[daemon]
                self.tell(f"{daemon} is back")
        if time.monotonic() >= self.next_round:
            self.next_round = time.monotonic() + 3
            for line in set(self.ask("sinfo", "-h", "-N", "-o", "%N %T").splitlines()):
                node, state = line.split()
                if state.startswith(("drain", "down")) and f"slurmd:{node}" not in self.away:
                    self.tell(f"{node} is {state}; resumed")
                    self.ask("scontrol", "update", f"nodename={node}", "state=resume")
        assert time.monotonic() < self.leaves_by, f"the head does not end: {self.workflow.said()}"
        if self.head.poll() is not None and self.leaves_by < float("inf"):
            self.leaves_by = float("inf")
            self.head = self.workflow.start()

    def all_is_there(self) -> bool:
        return len(self.workflow.outputs()) == NUM_JOBS

    def rage(self) -> None:
        """Blow until the time is over, or nothing is left to disturb."""
        next_blow = time.monotonic() + 3
        while time.monotonic() < self.began + SECONDS and not self.all_is_there():
            if time.monotonic() >= next_blow:
                self.blow()
                next_blow = time.monotonic() + self.random.uniform(1, 4)
            self.tend()
            if self.head.poll() is not None:  # it found nothing more to do for this call
                self.tell(f"the head has ended with {self.head.returncode}")
                self.head = self.workflow.start()
            time.sleep(0.1)
        self.tell(f"the storm is over, {len(self.workflow.outputs())} results")

    def calm(self) -> int:
        """Give the command until it ends with 0, and return how often it took."""
        self.tend(all_of_it=True)
        for call in range(1, MOST_CALLS_AFTERWARDS + 1):
            deadline = time.monotonic() + 300
            while self.head.poll() is None or self.leaves_by < float("inf"):
                self.tend()
                assert time.monotonic() < deadline, "the sweep does not end"
                time.sleep(0.1)
            self.tell(f"the head has ended with {self.head.returncode}")
            if self.head.returncode == 0:
                return call
            self.head = self.workflow.start()
        raise AssertionError("the sweep never ends with 0")


def unexplained_doubles(storm: Storm) -> list[list[str]]:
    """Workers that met another one at the same job, but for those that SLURM itself started twice.

    It starts a job again while its first processes still run, where it has lost a node whose slurmd died alone, and
    where its controller crashed within five seconds of the first start, which it then never heard of. Nobody but those
    processes could know.
    """

    def is_slurms_own(words: list[str]) -> bool:
        _, array, task, _, held_by_array, held_by_task, held_on, at = words
        forgotten = any(0 < float(at) - crash < 60 for crash in storm.crashes)
        return held_on in storm.orphaned or ((array, task) == (held_by_array, held_by_task) and forgotten)

    return [words for words in storm.workflow.noted("doubled") if len(words) != 8 or not is_slurms_own(words)]


def done_twice(storm: Storm) -> list[list[str]]:
    """Ends of jobs that had ended before, but for those whose first end nobody could record.

    That is: its task was killed between the result and the record, or SLURM started it twice.
    """
    doubled = {line[0] for line in storm.workflow.noted("doubled")}
    ended, again = set(doubled), []
    for line in storm.workflow.noted("ends"):
        if line[0] in ended - doubled:
            again.append(line)
        if f"{line[1]}_{line[2]}" not in storm.killed:
            ended.add(line[0])
    return again


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("number", range(int(os.environ.get("HORNLIB_STORMS", "1"))))
def test_after_a_storm_every_result_is_there_once(new_bed, workflow, expected, until, capsys, number):
    seed = seed_of(number)
    print(f"storm of seed {seed}")
    bed = workflow.slurm = new_bed()
    workflow.write(num=NUM_JOBS, steps=STEPS, seconds=SECONDS_A_STEP)
    storm = Storm(workflow, bed, seed)
    try:
        storm.rage()
        calls = storm.calm()
    except BaseException:
        print("\n".join(storm.story))
        raise
    print("\n".join(storm.story))
    seconds = time.monotonic() - storm.began
    blows = sum(bool(re.search("killed|gets|restarted|by hand", line)) for line in storm.story)
    with capsys.disabled():
        print(
            f"\nstorm of seed {seed}: {blows} blows, {len(workflow.heads)} heads ({calls} in the calm), "
            f"{len(workflow.starts())} starts of {NUM_JOBS} jobs, {len(workflow.noted('doubled'))} doubled by "
            f"SLURM, {seconds:.0f} s"
        )
    assert workflow.outputs() == {str(i): expected(str(i), STEPS) for i in range(NUM_JOBS)}
    until(lambda: not workflow.queue(), 60, what="an empty queue")
    assert unexplained_doubles(storm) == []
    assert done_twice(storm) == []
    what_is_left_harms_nobody(workflow, expected)


def what_is_left_harms_nobody(workflow, expected) -> None:
    """Records of jobs that Snakemake knew to be done when its head was killed stay, and must not be believed."""
    before = len(workflow.starts())
    for name in ("3", "33"):
        (workflow.folder / "out" / name).unlink()
    again = workflow.run()
    assert again.returncode == 0, again.stdout
    assert sorted(start[0] for start in workflow.starts()[before:]) == ["3", "33"]
    assert workflow.outputs() == {str(i): expected(str(i), STEPS) for i in range(NUM_JOBS)}
    assert "Nothing to be done" in workflow.run().stdout
