"""The lease refuses a living rival and nothing else."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time

import pytest

from hornlib.errors import ResultsError
from hornlib.lease import acquire

HOLDER = """
import sys, time
from hornlib.lease import acquire
lease = acquire(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


def test_a_living_rival_is_refused_by_its_name_and_a_killed_one_is_not(tmp_path):
    rival = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    try:
        assert rival.stdout.readline() == "held\n"
        with pytest.raises(ResultsError, match=f"process {rival.pid} on "):
            acquire(tmp_path)
    finally:
        os.kill(rival.pid, signal.SIGKILL)
        rival.wait()
        rival.stdout.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            acquire(tmp_path).close()
            break
        except ResultsError:
            time.sleep(0.05)
    else:
        pytest.fail("the lease of a killed process was still held")


def test_an_unwritable_folder_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="cannot be written"):
        acquire(tmp_path / "file" / "results")


def test_a_file_system_without_locks_does_not_look_like_a_rival(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    acquire(tmp_path).close()
