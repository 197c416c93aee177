"""The options of a bed: its ports, accounting, and further lines of slurm.conf."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from daemon import TestbedError

__all__ = ["Options"]


@dataclass(frozen=True)
class Options:
    """The options with which a bed is started.

    Attributes:
        port: first of the 15 TCP ports the bed uses.
        accounting: whether slurmdbd and MariaDB run, without which sacct knows nothing.
        extra: lines for the end of slurm.conf.
    """

    port: int = 26800
    accounting: bool = True
    extra: tuple[str, ...] = ()

    @classmethod
    def read(cls, file: Path) -> "Options | None":
        """Return the options in a file, None without a valid file."""
        try:
            stored = json.loads(file.read_text())
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        return cls(stored["port"], stored["accounting"], tuple(stored["extra"]))

    def write(self, file: Path) -> None:
        """Write the options into a file."""
        file.write_text(json.dumps(asdict(self)))

    def updated(self, environment: Mapping[str, str] = os.environ) -> "Options":
        """Return these options, changed by the environment variables HORNLIB_TESTBED_*."""
        chosen = asdict(self)
        if port := environment.get("HORNLIB_TESTBED_PORT"):
            if not (port.isdigit() and 1024 <= int(port) <= 65000):
                raise TestbedError(f"HORNLIB_TESTBED_PORT: {port!r} is no port between 1024 and 65000")
            chosen["port"] = int(port)
        if accounting := environment.get("HORNLIB_TESTBED_ACCOUNTING"):
            if accounting not in ("0", "1"):
                raise TestbedError(f"HORNLIB_TESTBED_ACCOUNTING: {accounting!r} is neither 0 nor 1")
            chosen["accounting"] = accounting == "1"
        if extra := environment.get("HORNLIB_TESTBED_EXTRA"):
            try:
                chosen["extra"] = tuple(Path(extra).read_text().splitlines())
            except OSError as error:
                raise TestbedError(f"HORNLIB_TESTBED_EXTRA: {error}") from None
        return Options(**{**chosen, "extra": tuple(chosen["extra"])})
