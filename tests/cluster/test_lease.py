"""One head at a time: a living rival is refused, a dead one taken over, wherever it ran."""

import json
import os
import platform
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from snakemake_executor_plugin_submitit.lease import Lease, RivalError, _born

HEAD = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from snakemake_executor_plugin_submitit.lease import Lease
    lease = Lease(Path(sys.argv[1]), beat=0.05)
    lease.acquire()
    print("holds", flush=True)
    sys.stdin.read()
    lease.release()
""")


@pytest.fixture
def head(tmp_path):
    """Start a process that holds the folder's lease."""
    started = []

    def start():
        process = subprocess.Popen(
            [sys.executable, "-c", HEAD, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout.readline() == "holds\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def holder(folder):
    return json.loads((folder / "head.json").read_text())


def held_by(folder, **fields):
    """Write a lease as somebody else did."""
    (folder / "head.json").write_text(json.dumps({"host": "elsewhere", "pid": 1, "born": "1"} | fields))


def test_a_living_rival_is_refused_with_its_process_and_host(tmp_path, head):
    rival = head()
    with pytest.raises(RivalError, match=f"{rival.pid} on {platform.node()}"):
        Lease(tmp_path).acquire()
    assert holder(tmp_path)["pid"] == rival.pid


def test_a_rival_that_stands_still_lives(tmp_path, head):
    rival = head()
    rival.send_signal(signal.SIGSTOP)
    os.utime(tmp_path / "head.json", (0, 0))
    with pytest.raises(RivalError):
        Lease(tmp_path).acquire()


@pytest.mark.parametrize("asked_after", [True, False])
def test_a_rival_that_was_killed_is_taken_over_at_once_though_its_parent_may_not_ask_after_it(
    tmp_path, head, asked_after
):
    rival = head()
    rival.kill()
    os.waitid(os.P_PID, rival.pid, os.WEXITED | (0 if asked_after else os.WNOWAIT))
    lease = Lease(tmp_path)
    lease.acquire()
    assert holder(tmp_path)["pid"] == os.getpid()
    lease.release()


def test_a_rival_that_ended_leaves_nothing(tmp_path, head):
    rival = head()
    rival.communicate("")
    assert list(tmp_path.iterdir()) == []
    lease = Lease(tmp_path)
    lease.acquire()
    lease.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("born", ["1", None, 5])
def test_a_number_in_use_again_is_not_its_holder(tmp_path, born):
    held_by(tmp_path, host=platform.node(), pid=os.getppid(), born=born)
    lease = Lease(tmp_path)
    lease.acquire()
    lease.release()


def test_the_same_process_born_at_the_same_time_is_its_holder(tmp_path):
    held_by(tmp_path, host=platform.node(), pid=os.getppid(), born=_born(os.getppid()))
    with pytest.raises(RivalError):
        Lease(tmp_path).acquire()


def test_a_process_without_a_number_lives_nowhere():
    assert _born(2**30) is None


@pytest.mark.parametrize("age, lives", [(0, True), (80, True), (100, False), (1e6, False)])
def test_a_rival_on_another_host_lives_while_its_lease_beats(tmp_path, age, lives):
    held_by(tmp_path)
    os.utime(tmp_path / "head.json", (time.time() - age,) * 2)
    lease = Lease(tmp_path, patience=90)
    if lives:
        with pytest.raises(RivalError, match="1 on elsewhere"):
            lease.acquire()
        assert holder(tmp_path)["host"] == "elsewhere"
    else:
        lease.acquire()
        assert holder(tmp_path)["pid"] == os.getpid()
        lease.release()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_the_age_is_told_by_the_file_servers_clock_not_this_hosts(tmp_path, monkeypatch):
    held_by(tmp_path)
    monkeypatch.setattr(time, "time", lambda: 1e12)
    with pytest.raises(RivalError):
        Lease(tmp_path).acquire()


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "{}", '{"host": "elsewhere"}', "\0\0", "�"])
def test_a_damaged_lease_that_no_living_head_mends_is_nobodys(tmp_path, content):
    (tmp_path / "head.json").write_text(content)
    lease = Lease(tmp_path, beat=0.05)
    assert lease.is_damaged()
    lease.acquire()
    lease.release()


@pytest.mark.parametrize(
    "fields", [{"host": 3}, {"host": []}, {"pid": "1"}, {"pid": None}, {"born": 1}, {"born": []}]
)
def test_a_lease_of_the_wrong_shape_is_damaged(tmp_path, fields):
    held_by(tmp_path, **fields)
    lease = Lease(tmp_path, beat=0.05)
    assert lease.is_damaged()
    lease.acquire()
    assert holder(tmp_path)["pid"] == os.getpid()
    lease.release()


def test_a_damaged_lease_of_long_ago_is_taken_over_at_once(tmp_path):
    (tmp_path / "head.json").write_text("{")
    os.utime(tmp_path / "head.json", (time.time() - 1000,) * 2)
    assert not Lease(tmp_path).is_damaged()


@pytest.mark.parametrize("harm", ["damaged", "deleted"])
def test_a_living_head_mends_its_lease_and_keeps_a_rival_out(tmp_path, head, harm):
    first = head()
    if harm == "damaged":
        (tmp_path / "head.json").write_text("{")
    else:
        (tmp_path / "head.json").unlink()
        while not (tmp_path / "head.json").exists():
            assert first.poll() is None
    with pytest.raises(RivalError, match=f"process {first.pid} "):
        Lease(tmp_path, beat=5).acquire()


def test_a_flipped_bit_in_a_lease_is_noticed(tmp_path):
    lease = Lease(tmp_path)
    lease.acquire()
    content = (tmp_path / "head.json").read_bytes()
    damaged = content.replace(str(os.getpid()).encode(), str(os.getpid() ^ 1).encode())
    (tmp_path / "head.json").write_bytes(damaged)
    assert damaged != content and Lease(tmp_path).is_damaged()
    (tmp_path / "head.json").write_bytes(content)
    lease.release()


def test_the_refusal_names_the_way_to_a_second_sweep(tmp_path, head):
    head()
    with pytest.raises(RivalError, match="--submitit-folder"):
        Lease(tmp_path).acquire()


def test_the_lease_beats_until_it_is_given_back(tmp_path):
    lease = Lease(tmp_path, beat=0.02)
    lease.acquire()
    os.utime(tmp_path / "head.json", (0, 0))
    deadline = time.monotonic() + 10
    while (tmp_path / "head.json").stat().st_mtime == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    lease.release()
    assert not (tmp_path / "head.json").exists()
    time.sleep(0.1)
    assert not (tmp_path / "head.json").exists()


def test_a_lease_that_somebody_took_over_is_not_removed(tmp_path):
    lease = Lease(tmp_path)
    lease.acquire()
    held_by(tmp_path)
    lease.release()
    assert holder(tmp_path)["host"] == "elsewhere"


def test_a_lease_that_was_never_taken_is_given_back_without_harm(tmp_path):
    held_by(tmp_path)
    Lease(tmp_path).release()
    assert holder(tmp_path)["host"] == "elsewhere"


def test_of_two_heads_that_take_over_at_the_same_time_one_gives_way(tmp_path, monkeypatch):
    lease = Lease(tmp_path)
    write = lease._write

    def both_write():
        write()
        held_by(tmp_path)

    monkeypatch.setattr(lease, "_write", both_write)
    with pytest.raises(RivalError):
        lease.acquire()
    assert holder(tmp_path)["host"] == "elsewhere" and threading.active_count() < 50


def test_the_folder_is_made_and_private(tmp_path):
    lease = Lease(tmp_path / "executor")
    lease.acquire()
    assert (tmp_path / "executor").stat().st_mode & 0o077 == 0
    lease.release()


def test_a_folder_that_cannot_be_written_is_the_callers_to_explain(tmp_path):
    Path(tmp_path / "file").touch()
    with pytest.raises(OSError):
        Lease(tmp_path / "file" / "executor").acquire()


def test_a_head_whose_lease_was_taken_over_notices(tmp_path):
    lease = Lease(tmp_path, beat=0.05)
    lease.acquire()
    (tmp_path / "head.json").write_text(json.dumps({"host": "elsewhere", "pid": 1, "born": "1"}))
    deadline = time.monotonic() + 5
    while not lease.lost and time.monotonic() < deadline:
        time.sleep(0.02)
    lease.release()
    assert lease.lost
    assert json.loads((tmp_path / "head.json").read_text())["host"] == "elsewhere"
