"""Pauses between polls, which grow with the age of the sweep, and between tries while SLURM is away."""

__all__ = ["Backoff", "poll_seconds"]


def poll_seconds(age: float, shortest: float, longest: float) -> float:
    """Return the pause to the next poll: a twentieth of the time since the last submission, within bounds.

    Args:
        age: seconds since the last submission or adoption.
        shortest, longest: bounds in seconds.
    """
    return min(longest, max(shortest, age / 20))


class Backoff:
    """Pauses of 2, 4, 8, ... 120 seconds; after a success they begin at 2 again."""

    FIRST, LONGEST = 2.0, 120.0

    def __init__(self) -> None:
        self.seconds = 0.0

    def grow(self) -> float:
        """Return the seconds of the next pause, twice as long as the last one."""
        self.seconds = min(self.LONGEST, 2 * self.seconds or self.FIRST)
        return self.seconds

    def reset(self) -> None:
        """The next pause is the shortest again."""
        self.seconds = 0.0
