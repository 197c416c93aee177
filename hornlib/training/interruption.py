"""Signals that ask a job to stop. They are recorded when they arrive, and obeyed between two steps."""

import signal
from types import FrameType, TracebackType

__all__ = ["EXIT_INTERRUPTED", "Interrupted", "StopRequest"]

EXIT_INTERRUPTED = 75
"""Exit code of a job that saved its checkpoint and should be started again (BSD's EX_TEMPFAIL)."""


class Interrupted(Exception):
    """The job stopped after a step and saved its checkpoint. The same command goes on from there."""


class StopRequest:
    """While entered, SIGTERM, SIGUSR2 and SIGINT only set `signal_name`. A second SIGINT interrupts at once."""

    SIGNALS = ("SIGTERM", "SIGUSR2", "SIGINT")

    def __init__(self) -> None:
        self.signal_name: str | None = None

    def __enter__(self) -> "StopRequest":
        self._previous = {}
        for name in self.SIGNALS:
            if number := getattr(signal, name, None):  # Windows knows no SIGUSR2
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.signal_name == "SIGINT":
            raise KeyboardInterrupt
        self.signal_name = signal.Signals(number).name
