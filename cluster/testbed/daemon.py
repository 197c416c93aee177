"""One daemon of a bed: it is found by its pidfile, and ended by its process id."""

import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import processes

__all__ = ["MARK", "Daemon", "TestbedError"]

MARK = "HORNLIB_TESTBED"  # the environment variable that holds the folder of the bed a daemon belongs to

SECONDS_TO_STAY = 1.0
"""How long a daemon is watched before it counts as one that stays: slurmctld still answers 0.2 s after SIGTERM."""


class TestbedError(Exception):
    """An error of the test bed, with a message for its user."""


@dataclass(frozen=True)
class Daemon:
    """How to start a daemon, and how to see that it serves.

    Attributes:
        name: its name on the command line, e.g. `slurmctld` or `slurmd:n1`.
        command: program and arguments; the program must write `pidfile`.
        folder: folder of the bed.
        pidfile: where the daemon writes its process id.
        log: its log file.
        endpoint: its TCP port or Unix socket.
        environment: variables in addition to the caller's.
        patience: the longest time for its start, in seconds.
    """

    name: str
    command: list[str]
    folder: Path
    pidfile: Path
    log: Path
    endpoint: int | Path
    environment: dict[str, str] = field(default_factory=dict)
    patience: float = 30

    def pid(self) -> int | None:
        """Return the process id if the daemon runs, else None.

        A pidfile outlives its process, and another process may have the number now, even the same daemon of another
        bed. The program's name and the bed's folder in its environment are therefore compared too.
        """
        try:
            pid = int(self.pidfile.read_text())
        except (OSError, ValueError):
            return None
        ours = processes.command_name(pid) == Path(self.command[0]).name
        ours = ours and processes.environment(pid).get(MARK) == str(self.folder)
        return pid if ours and processes.is_alive(pid) else None

    def serves(self) -> bool:
        """Return whether a process answers at the daemon's endpoint."""
        if isinstance(self.endpoint, int):
            return processes.listens(self.endpoint)
        return self.endpoint.exists()

    def stays(self) -> bool:
        """Wait until the daemon has served for a second without a break, or has ended; return whether it serves.

        Raises:
            TestbedError: it neither serves nor ends.
        """
        deadline = time.monotonic() + self.patience
        while (pid := self.pid()) is not None:
            if not processes.wait_for(
                lambda pid=pid: self.pid() != pid or not self.serves(), SECONDS_TO_STAY
            ):
                return True
            if time.monotonic() > deadline:
                raise TestbedError(
                    f"{self.name}, process {pid}, neither serves nor ends:\n{self.last_words()}"
                )
            time.sleep(0.03)
        return False

    def start(self) -> None:
        """Start the daemon unless it runs, and wait until it serves."""
        if self.pid() is not None:
            return
        for stale in (self.pidfile, self.endpoint):
            if isinstance(stale, Path):
                stale.unlink(missing_ok=True)
        if self.serves():
            raise TestbedError(
                f"port {self.endpoint} of {self.name} is taken; set HORNLIB_TESTBED_PORT to a free range"
            )
        with self.log.with_suffix(".start").open("w") as words:
            launched = subprocess.Popen(
                self.command,
                env={**os.environ, **self.environment, MARK: str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                start_new_session=True,  # Ctrl-C in the terminal is for its owner, not for the daemons
            )

        def serves_or_failed() -> bool:
            # Most daemons put themselves into the background, and their first process ends with 0.
            return launched.poll() not in (None, 0) or (self.pid() is not None and self.serves())

        if not processes.wait_for(serves_or_failed, self.patience) or launched.poll() not in (None, 0):
            raise TestbedError(f"{self.name} did not start:\n{self.last_words()}")

    def stop(self) -> None:
        """Ask the daemon to end, and see that it does."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the daemon as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, sign: signal.Signals) -> None:
        pid = self.pid()
        if pid is not None:
            processes.kill([pid], sign)
        if sign == signal.SIGTERM:
            self.pidfile.unlink(missing_ok=True)

    def last_words(self, lines: int = 10) -> str:
        """Return the end of the daemon's log, and of what its latest start wrote.

        Args:
            lines: how many lines of each.
        """
        files = [file for file in (self.log, self.log.with_suffix(".start")) if file.exists()]
        ends = [line for file in files for line in file.read_text(errors="replace").splitlines()[-lines:]]
        return "\n".join(ends) or f"(nothing in {self.log})"
