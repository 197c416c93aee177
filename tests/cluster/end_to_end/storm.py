"""A storm: random blows at a sweep and its SLURM, their repair, and a person who gives the command again.

HORNLIB_STORMS=5 pytest tests/cluster/end_to_end/test_storm.py    # five storms, one after the other
HORNLIB_STORM_SEED=417 HORNLIB_STORM_SECONDS=60 pytest ...        # that one again, for a minute

The seed fixes what the storm does and when, not what it meets: two storms of one seed are alike, not equal.
"""

import contextlib
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

__all__ = ["Blow", "Storm", "number_of_storms", "seed_of", "telling"]

SECONDS = float(os.environ.get("HORNLIB_STORM_SECONDS", "120"))
MOST_CALLS_AFTERWARDS = 6
"""A job whose own process was killed is reported as failed, and runs with the next call."""

ROW = "| seed | blows | heads | starts | doubled | seconds | outcome |"

SECONDS_TO_LEAVE = 150
"""A head may be waiting for an answer of SLURM when it is told to end."""


class Blow(NamedTuple):
    """One kind of harm.

    Attributes:
        strike: does the harm and returns it in words, or None where there is nothing to harm.
        weight: how often it is chosen, compared with others.
    """

    strike: Callable[["Storm"], str | None]
    weight: int


class Repair(NamedTuple):
    """When a harm is repaired, by time.monotonic(), and how."""

    at: float
    mend: Callable[[], object]


def number_of_storms() -> int:
    return int(os.environ.get("HORNLIB_STORMS", "1"))


def seed_of(storm: int) -> int:
    """Return the seed of a storm; without HORNLIB_STORM_SEED the first is 1, so that a failure can be tried again."""
    return int(os.environ.get("HORNLIB_STORM_SEED", "1")) + storm


class Storm:
    """Random blows at a sweep and its SLURM, each repaired after a while, and a person who restarts the head.

    Args:
        workflow: the sweep; the storm starts its head.
        seed: seed of what happens, and when.
        blows: what may happen. Every blow strikes once, in a random order, before any strikes again.
    """

    def __init__(self, workflow, seed: int, blows: Mapping[str, Blow]) -> None:
        self.workflow, self.bed, self.random = workflow, workflow.slurm, random.Random(seed)
        self.seed, self.blows = seed, blows
        self.untried = self.random.sample(sorted(blows), len(blows))
        self.struck: Counter[str] = Counter()
        self.began = time.monotonic()
        self.away: dict[
            str, Repair
        ] = {}  # what does not work at the moment: daemons, a disk, the configuration
        self.story: list[str] = []
        self.next_round = 0.0
        self.leaves_by = float("inf")
        self.head = workflow.start()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def tell(self, what: str) -> None:
        self.story.append(f"{self.seconds:6.1f} {what}")
        (self.workflow.folder / "storm.log").write_text("\n".join(self.story))

    def blow(self) -> None:
        """Do one random harm."""
        name = self.untried.pop() if self.untried else self.draw()
        if not self.strike(name) and not self.struck[name]:
            self.untried.insert(0, name)

    def strike(self, name: str) -> bool:
        """Do the harm of this name; return False where there was nothing to harm."""
        done = self.blows[name].strike(self)
        self.tell(done or f"nothing for {name}")
        self.struck[name] += done is not None
        return done is not None

    def draw(self) -> str:
        weights = [blow.weight for blow in self.blows.values()]
        return self.random.choices(list(self.blows), weights)[0]

    def breaks(self, what: str, soonest: float, latest: float, mend: Callable[[], object]) -> bool:
        """Plan a repair; return False if it is broken already.

        Args:
            what: what is broken, e.g. a daemon.
            soonest: seconds until the earliest repair.
            latest: seconds until the latest repair.
            mend: repairs it.
        """
        if what in self.away:
            return False
        self.away[what] = Repair(time.monotonic() + self.random.uniform(soonest, latest), mend)
        return True

    def daemon_breaks(self, daemon: str, soonest: float, latest: float) -> bool:
        """Plan a daemon's return; see `breaks`."""
        return self.breaks(daemon, soonest, latest, lambda: self.bed.testbed("start", daemon))

    def head_leaves(self, number: signal.Signals) -> bool:
        """Send a signal to the head; return False if it has ended, or was told already."""
        if self.head.poll() is not None or self.leaves_by < float("inf"):
            return False
        (os.killpg if number == signal.SIGINT else os.kill)(self.head.pid, number)
        self.leaves_by = time.monotonic() + SECONDS_TO_LEAVE
        return True

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
        for what, repair in list(self.away.items()):
            if all_of_it or time.monotonic() >= repair.at:
                repair.mend()
                del self.away[what]
                self.tell(f"{what} is back")
        if time.monotonic() >= self.next_round:
            self.next_round = time.monotonic() + 3
            for line in set(self.ask("sinfo", "-h", "-N", "-o", "%N %T").splitlines()):
                node, state = line.split()
                if state.startswith(("drain", "down")) and f"slurmd:{node}" not in self.away:
                    self.tell(f"{node} is {state}; resumed")
                    self.ask("scontrol", "update", f"nodename={node}", "state=resume")
        assert time.monotonic() < self.leaves_by, f"the head does not end: {self.workflow.said()}"
        if self.head.poll() is not None and self.leaves_by < float("inf") and self.workflow.may_start():
            self.leaves_by = float("inf")
            self.head = self.workflow.start()

    def rage(self, seconds: float = SECONDS, pause: float = 3) -> None:
        """Blow until the time is over, or nothing is left to disturb.

        Args:
            seconds: how long.
            pause: the longest time between two blows, seconds.
        """
        next_blow = time.monotonic() + 3
        while self.seconds < seconds and not self.workflow.is_complete():
            if time.monotonic() >= next_blow:
                self.blow()
                next_blow = time.monotonic() + self.random.uniform(1, pause)
            self.tend()
            if (
                self.head.poll() is not None and self.workflow.may_start()
            ):  # it found nothing more to do for this call
                self.tell(f"the head has ended with {self.head.returncode}")
                self.head = self.workflow.start()
            time.sleep(0.1)
        self.tell(f"the storm is over, {len(self.workflow.outputs())} results")

    def calm(self, patience: float = 300) -> int:
        """Give the command until it ends with 0, and return how often it took.

        Args:
            patience: the longest time of one call, seconds.
        """
        self.tend(all_of_it=True)
        for call in range(1, MOST_CALLS_AFTERWARDS + 1):
            deadline = time.monotonic() + patience
            while self.head.poll() is None or self.leaves_by < float("inf"):
                self.tend()
                assert time.monotonic() < deadline, "the sweep does not end"
                time.sleep(0.1)
            self.tell(f"the head has ended with {self.head.returncode}")
            if self.head.returncode == 0:
                return call
            self.head = self.workflow.start()
        raise AssertionError("the sweep never ends with 0")

    def leaves_nothing_queued(self, patience: float = 60) -> None:
        """Wait until the queue is empty; the error says what is left in it.

        Args:
            patience: the longest wait, seconds.
        """
        deadline = time.monotonic() + patience
        while queue := self.bed.output("squeue", "--noheader", "--format=%i %T %r %k"):
            self.tend()
            assert time.monotonic() < deadline, f"left in the queue: {queue}"
            time.sleep(0.5)


@contextlib.contextmanager
def telling(storm: Storm, capsys) -> Iterator[None]:
    """Print the storm's story and its row of the table, and append the row to the file HORNLIB_STORM_ROWS names.

    Args:
        storm: the storm.
        capsys: pytest's fixture; the row is printed through it.
    """
    print(f"storm of seed {storm.seed}")
    outcome = "as undisturbed"
    try:
        yield
    except BaseException as error:
        outcome = " ".join(f"{type(error).__name__}: {error}".split())[:100].replace("|", "/")
        raise
    finally:
        print("\n".join(storm.story))
        workflow = storm.workflow
        numbers = [storm.seed, storm.struck.total(), len(workflow.heads), len(workflow.starts())]
        numbers += [len(workflow.noted("doubled")), round(storm.seconds)]
        row = f"| {' | '.join(map(str, numbers))} | {outcome} |"
        with capsys.disabled():
            print(f"\n{ROW}\n{row}")
        if rows := os.environ.get("HORNLIB_STORM_ROWS"):
            with open(rows, "a") as file:
                file.write(f"{row}\n")
