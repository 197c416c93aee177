"""Pauses between polls, which grow with the age of the sweep, and the wait while SLURM is away."""

import logging
import os

__all__ = ["Wait", "poll_seconds"]


def poll_seconds(age: float, shortest: float, longest: float) -> float:
    """Return the pause to the next poll: a twentieth of the time since the last submission, within bounds.

    Args:
        age: seconds since the last submission or adoption.
        shortest, longest: bounds in seconds.
    """
    return min(longest, max(shortest, age / 20))


class Wait:
    """The wait for something that SLURM does not do now: pauses of 2, 4, 8, ... 120 seconds between the tries.

    Each new reason is reported at once. A wait that lasts is reported after 30 seconds, and then at intervals that
    double up to an hour.

    Args:
        say: the logger for people.
    """

    FIRST_PAUSE, LONGEST_PAUSE = 2.0, 120.0
    FIRST_REPORT, LONGEST_REPORT = 30.0, 3600.0

    def __init__(self, say: logging.Logger) -> None:
        self.say = say
        self.began: float | None = None
        self.pause = self.interval = self.next_report = 0.0
        self.reasons: set[str] = set()  # reported already

    def go_on(self, reason: str, now: float) -> float:
        """Note a try that failed, report it where a report is due, and return when the next try is due.

        Args:
            reason: the words of SLURM's program.
            now: the time, in monotonic seconds.
        """
        if self.began is None:
            self.began = now
            self.pause, self.interval = 0.0, self.FIRST_REPORT
            self.next_report = now + self.interval
        self.pause = min(self.LONGEST_PAUSE, 2 * self.pause or self.FIRST_PAUSE)
        if reason not in self.reasons:
            self.reasons.add(reason)
            self.say.warning(f"{reason}; nothing is lost, the next try is in {self.pause:.0f} s")
        elif now >= self.next_report:
            self.interval = min(self.LONGEST_REPORT, 2 * self.interval)
            self.next_report = now + self.interval
            self.say.warning(
                f"{reason}; this has lasted for {_duration(now - self.began)}, nothing is lost, the next try is in "
                f"{self.pause:.0f} s. If it does not pass: Ctrl-C, or kill {os.getpid()}, ends the wait, and the same "
                "command goes on from here"
            )
        return now + self.pause

    def shorten(self) -> None:
        """The next pause is the shortest again."""
        self.pause = 0.0

    def end(self, now: float) -> None:
        """Note that a try succeeded; say so after a wait.

        Args:
            now: the time, in monotonic seconds.
        """
        if self.began is not None:
            self.say.info(f"the wait is over after {_duration(now - self.began)}")
        self.began = None
        self.reasons.clear()


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
