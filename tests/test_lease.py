"""Locks refuse a living rival and nothing else: the lease on a results folder, and the lock of a run file."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from hornlib import lease
from hornlib.errors import ResultsError
from hornlib.lease import acquire, lock_path, lock_run_file, read_holder, read_trainer

HOLDERS = {
    "lease": "from hornlib.lease import acquire; held = acquire(sys.argv[1])",
    "run file": "from hornlib.lease import lock_run_file; held = lock_run_file(Path(sys.argv[1]) / 'a.nc'); "
    "held.__enter__()",
}


def take(kind, folder):
    return acquire(folder) if kind == "lease" else lock_run_file(folder / "a.nc")


@contextmanager
def rival(kind, folder):
    """Another process that holds the lock."""
    program = f"import sys, time; from pathlib import Path; {HOLDERS[kind]}; print('held', flush=True); time.sleep(60)"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


@pytest.fixture(autouse=True)
def short_patience(monkeypatch):
    monkeypatch.setattr(lease, "SECONDS_TO_SAVE", 0.3)
    monkeypatch.setattr(lease, "SECONDS_OF_A_DEAD_NODE", 0.3)
    monkeypatch.setattr(lease, "_warned", set())


@pytest.mark.parametrize("kind", HOLDERS)
def test_a_living_rival_is_refused_by_its_name_and_a_killed_one_is_not(kind, tmp_path):
    with (
        rival(kind, tmp_path) as process,
        pytest.raises(ResultsError, match=f"process {process.pid} on "),
        take(kind, tmp_path),
    ):
        pass
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            with take(kind, tmp_path):
                return
        except ResultsError:
            time.sleep(0.05)
    pytest.fail("the lock of a killed process was still held")


@pytest.mark.parametrize("kind", HOLDERS)
def test_an_unwritable_folder_is_reported(kind, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ResultsError, match="cannot be written"), take(kind, tmp_path / "file" / "results"):
        pass


# 524 is ENOTSUPP, which Cray's DVS returns and Python's errno does not know.
@pytest.mark.parametrize(
    "code", [524, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOLCK, errno.EIO, errno.EPERM]
)
@pytest.mark.parametrize("kind", HOLDERS)
def test_a_file_system_without_locks_does_not_look_like_a_rival_and_is_mentioned_once(
    kind, code, tmp_path, monkeypatch, capsys
):
    def no_locks(*_):
        raise OSError(code, "no locks")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    for _ in range(2):
        with take(kind, tmp_path):
            pass
    assert capsys.readouterr().err.count("warning") == 1


@pytest.mark.parametrize("kind", HOLDERS)
def test_without_locks_a_rival_on_this_machine_is_known_by_its_process(kind, tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(errno.ENOSYS, "no locks")

    with rival(kind, tmp_path) as process:
        monkeypatch.setattr(fcntl, "flock", no_locks)
        with pytest.raises(ResultsError, match=f"process {process.pid} on "), take(kind, tmp_path):
            pass
    with take(kind, tmp_path):
        pass


def test_the_lock_of_a_run_file_is_removed_when_the_training_ends(tmp_path):
    with lock_run_file(tmp_path / "a.nc"):
        assert read_trainer(tmp_path / "a.nc").process == os.getpid()
        assert read_trainer(tmp_path / "a.nc").lives
    assert list(tmp_path.iterdir()) == []
    assert read_trainer(tmp_path / "a.nc") is None


def test_run_files_have_locks_of_their_own(tmp_path):
    with lock_run_file(tmp_path / "a.nc"), lock_run_file(tmp_path / "b.nc"):
        assert len(list(tmp_path.iterdir())) == 2


def test_a_lock_that_was_removed_after_it_was_opened_does_not_count(tmp_path, monkeypatch):
    """Between opening and locking, the process that had the lock removed its file: the next one has another file."""
    output, removed = tmp_path / "a.nc", []

    def lock_after_removal(file, path, lock=lease._lock):
        if not removed:
            removed.append(path)
            path.unlink()
        return lock(file, path)

    monkeypatch.setattr(lease, "_lock", lock_after_removal)
    with lock_run_file(output):
        assert removed == [lock_path(output)]
        assert read_trainer(output).lives


def test_a_lock_of_a_dead_node_names_the_file_to_remove(tmp_path):
    output = tmp_path / "a.nc"
    with rival("run file", tmp_path):
        lock_path(output).write_text("process 7 on elsewhere")
        with (
            pytest.raises(ResultsError, match=f"elsewhere is down, remove {lock_path(output)}"),
            lock_run_file(output),
        ):
            pass


def test_damaged_content_of_a_lock_is_no_holder(tmp_path):
    for content in (b"", b"\xff\xfe", b"process x on y", b"process 99999999999999999999 on here"):
        (tmp_path / ".lease").write_bytes(content)
        holder = read_holder(tmp_path)
        assert holder is None or not holder.lives
        acquire(tmp_path).close()
