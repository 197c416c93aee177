"""One daemon of a bed: it is found by its pidfile, and ended by its process id."""

import os
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import processes

__all__ = ["MARK", "Daemon", "TestbedError"]

MARK = "HORNLIB_TESTBED"  # the environment variable that holds the folder of the bed a daemon belongs to


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
            raise TestbedError(f"{self.name} did not start:\n{self._last_words()}")

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

    def _last_words(self, lines: int = 15) -> str:
        files = [self.log.with_suffix(".start"), self.log]
        text = "".join(file.read_text(errors="replace") for file in files if file.exists())
        return "\n".join(text.splitlines()[-lines:]) or f"(nothing in {self.log})"
