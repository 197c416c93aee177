"""The test bed itself: it is a real SLURM, it harms nothing beside it, and it comes back after crashes."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

TESTBED = Path(__file__).resolve().parents[2] / "cluster/testbed/testbed"
DAEMONS = ("munged", "mariadbd", "slurmdbd", "slurmctld", "slurmd:n1", "slurmd:n2", "slurmd:g1", "slurmd:g2")


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)
    return value


def pids(bed):
    """Process id of every daemon that runs."""
    lines = bed.testbed("status").stdout.split("\n\n")[0].splitlines()
    return {name: int(pid) for name, pid in map(str.split, lines) if pid != "down"}


def processes_of(bed):
    """Every living process of the machine that was started for this bed: daemons, slurmstepds and jobs."""
    pids = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            marked = f"{bed.folder}".encode() in (process / "environ").read_bytes()
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if marked and state not in "ZX":
            pids[int(process.name)] = (process / "cmdline").read_bytes()
    return pids


def test_a_second_up_leaves_every_daemon_as_it_is(own_bed):
    before = pids(own_bed)
    assert set(before) == set(DAEMONS)
    own_bed.testbed("up")
    assert pids(own_bed) == before


def test_jobs_get_the_gpus_they_ask_for_and_three_are_refused(own_bed):
    shown = own_bed.output("srun", "-pgpu", "--gpus-per-node=2", "bash", "-c", "echo $CUDA_VISIBLE_DEVICES")
    assert shown == "0,1"
    assert own_bed.run(["srun", "-pgpu", "-N1", "--gpus-per-node=3", "true"]).returncode != 0


def test_accounting_knows_how_a_job_ended(own_bed):
    job = own_bed.submit("exit 3")
    query = (
        "sacct",
        "--noheader",
        "--allocations",
        "--parsable2",
        f"--jobs={job}",
        "--format=State,ExitCode",
    )
    wait_until(lambda: own_bed.output(*query) == "FAILED|3:0")


def test_a_job_above_its_memory_is_killed(own_bed, tmp_path):
    script = "python3 -c \"import time; held = b'x' * 300_000_000; time.sleep(60)\"; echo survived"
    job = own_bed.submit(script, "--mem=100", f"--output={tmp_path}/out")
    wait_until(lambda: own_bed.state(job) == "FAILED")
    wait_until(lambda: "exceeded memory limit" in (tmp_path / "out").read_text())
    assert "survived" not in (tmp_path / "out").read_text()


def test_nothing_is_reachable_from_the_network(own_bed):
    if "NoInAddrAny" not in own_bed.output("scontrol", "show", "config"):
        pytest.skip("this machine's name is an address of the network: the README says what follows")
    running = own_bed.submit("sleep 60")
    wait_until(lambda: own_bed.state(running) == "RUNNING")
    sockets = set()
    for pid in processes_of(own_bed):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                sockets.add(os.readlink(descriptor))
    addresses = []
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_, inode = line.split()[:10]
            if f"socket:[{inode}]" in sockets and (state == "0A" or table.startswith("udp")):
                addresses.append(local.partition(":")[0])
    own_bed.output("scancel", running)
    assert len(addresses) >= 6 and set(addresses) == {"0100007F"}  # 127.0.0.1, lowest byte first


def test_a_controller_that_was_killed_is_started_alone(new_bed):
    # Not in the shared bed: a crashed controller forgets what it was told in the last seconds, jobs and their ends.
    bed = new_bed(HORNLIB_TESTBED_ACCOUNTING="0")
    before = pids(bed)
    bed.testbed("kill", "slurmctld")
    assert set(before) - set(pids(bed)) == {"slurmctld"}
    bed.testbed("start", "slurmctld")
    bed.output("sinfo")
    after = pids(bed)
    assert {name for name in before if before[name] != after[name]} == {"slurmctld"}


def test_a_controller_starts_without_the_accounting_once_it_has_a_state(new_bed):
    bed = new_bed()
    assert not (bed.folder / "state/last_tres").exists()  # it saves its state at its first orderly end
    for daemon in ("slurmctld", "slurmdbd", "mariadbd", "munged"):
        bed.testbed("kill", daemon)
    started = bed.testbed("start", "slurmctld")
    assert "slurmdbd is started too: slurmctld cannot start without it" in started.stdout
    bed.output("sinfo")
    assert set(pids(bed)) == set(DAEMONS)

    os.kill(pids(bed)["slurmctld"], signal.SIGTERM)
    bed.testbed("start", "slurmctld")
    for daemon in ("slurmdbd", "slurmctld"):
        bed.testbed("kill", daemon)
    bed.testbed("start", "slurmctld")
    bed.output("sinfo")
    assert set(DAEMONS) - set(pids(bed)) == {"slurmdbd"}


def test_a_controller_that_is_ending_is_waited_for_and_then_started(own_bed):
    for _ in range(2):
        before = pids(own_bed)["slurmctld"]
        os.kill(before, signal.SIGTERM)
        own_bed.testbed("start", "slurmctld")
        assert pids(own_bed)["slurmctld"] != before
        own_bed.output("sinfo")


def test_a_daemon_that_ends_at_once_is_an_error_with_its_last_words(new_bed):
    bed = new_bed(HORNLIB_TESTBED_ACCOUNTING="0")
    bed.testbed("kill", "slurmctld")
    with (bed.folder / "etc/slurm.conf").open("a") as conf:
        conf.write("NoSuchKey=1\n")
    done = bed.run([str(TESTBED), "start", "slurmctld"])
    assert done.returncode != 0
    assert "slurmctld" in done.stderr and "NoSuchKey" in done.stderr


@pytest.fixture
def private_apt(tmp_path):
    """An apt of a folder of its own, with one empty package to fetch; return its environment."""
    if shutil.which("apt-get") is None:
        pytest.skip("no apt-get on this machine")
    for folder in ("etc/apt/apt.conf.d", "repository", "var/lib/dpkg", "var/lib/apt/lists/partial"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "var/cache/apt/archives/partial").mkdir(parents=True)
    (tmp_path / "var/lib/dpkg/status").touch()
    package = tmp_path / "repository/nothing_1_all.deb"
    package.write_text("no package: it is fetched and not unpacked")
    digest = hashlib.sha256(package.read_bytes()).hexdigest()
    (tmp_path / "repository/Packages").write_text(
        "Package: nothing\nVersion: 1\nArchitecture: all\nMaintainer: nobody\nDescription: none\n"
        f"Filename: ./{package.name}\nSize: {package.stat().st_size}\nSHA256: {digest}\n"
    )
    (tmp_path / "etc/apt/sources.list").write_text(f"deb [trusted=yes] file:{tmp_path}/repository ./\n")
    status, etc = tmp_path / "var/lib/dpkg/status", tmp_path / "etc/apt"
    (tmp_path / "apt.conf").write_text(
        f'Dir "{tmp_path}";\nDir::State::status "{status}";\nDir::Etc "{etc}";\n'
    )
    return {**os.environ, "APT_CONFIG": str(tmp_path / "apt.conf")}


@pytest.mark.parametrize(
    "lock",
    ["lib/apt/lists/lock", "cache/apt/archives/lock", "lib/dpkg/lock", "lib/dpkg/lock-frontend"],
)
def test_an_apt_get_at_work_is_waited_for_whichever_lock_it_holds(private_apt, tmp_path, lock):
    code = f"import sys; sys.path.insert(0, {str(TESTBED.parent)!r}); import packages\n"
    code += "packages.apt_get('update')\n"
    code += "packages.apt_get('install', '--yes', '--download-only', 'nothing')"
    with (tmp_path / "var" / lock).open("w") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        installation = subprocess.Popen(
            [sys.executable, "-u", "-B", "-c", code], env=private_apt, text=True, stdout=subprocess.PIPE
        )
        assert "waiting for another apt-get to end" in installation.stdout.readline()
        assert installation.poll() is None
    assert installation.wait(60) == 0


def test_two_beds_share_nothing_and_down_leaves_no_process(own_bed, new_bed, tmp_path):
    extra = tmp_path / "extra.conf"
    extra.write_text("MaxArraySize=11\n")
    other = new_bed(HORNLIB_TESTBED_ACCOUNTING="0", HORNLIB_TESTBED_EXTRA=str(extra))
    assert "MaxArraySize            = 11" in other.output("scontrol", "show", "config")
    assert other.run(["sacct"]).returncode != 0
    # A process of a session of its own is what a job can best hide from its end.
    running = other.submit("setsid sleep 600 & sleep 600")
    mine = own_bed.submit("sleep 60")
    wait_until(lambda: other.state(running) == own_bed.state(mine) == "RUNNING")
    wait_until(lambda: sum(b"sleep" in command for command in processes_of(other).values()) == 2)

    other.testbed("down")
    assert processes_of(other) == {}
    assert own_bed.state(mine) == "RUNNING"
    own_bed.output("scancel", mine)


def test_a_pidfile_that_names_a_stranger_does_it_no_harm(new_bed, tmp_path):
    bed = new_bed(HORNLIB_TESTBED_ACCOUNTING="0")
    program = shutil.copy(shutil.which("sleep"), tmp_path / "slurmctld")
    pidfile = bed.folder / "run/slurmctld.pid"
    stranger = subprocess.Popen([program, "600"], env={"HORNLIB_TESTBED": "another bed"})
    try:
        bed.testbed("kill", "slurmctld")
        pidfile.write_text(f"{stranger.pid}\n")
        bed.testbed("up")
        bed.output("sinfo")

        bed.testbed("kill", "slurmctld")
        pidfile.write_text(f"{stranger.pid}\n")
        bed.testbed("down")
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.slow
def test_a_running_job_outlives_the_death_of_every_daemon(new_bed, tmp_path):
    bed = new_bed()
    lines = tmp_path / "lines"
    job = bed.submit(f"echo start >> {lines}; sleep 15; echo end >> {lines}")
    wait_until(lambda: bed.state(job) == "RUNNING")
    # The controller writes down that a job has started only when another comes or goes, some seconds late. Until then
    # a crash of its undoes the start: the job is ended and queued again.
    since = time.time()
    bed.submit("true")
    wait_until(lambda: (bed.folder / "state/job_state").stat().st_mtime > since)
    for daemon in pids(bed):
        bed.testbed("kill", daemon)
    assert pids(bed) == {}
    bed.testbed("up")
    assert bed.state(job) == "RUNNING"
    wait_until(lambda: bed.state(job) == "COMPLETED", 30)
    assert lines.read_text() == "start\nend\n"


@pytest.mark.slow
def test_a_job_whose_node_is_gone_runs_again_elsewhere(own_bed, tmp_path):
    nodes = tmp_path / "nodes"
    job = own_bed.submit(f"echo $SLURMD_NODENAME >> {nodes}; sleep 120", "--requeue")
    wait_until(lambda: nodes.exists() and nodes.read_text())
    first = nodes.read_text().strip()
    try:
        own_bed.testbed("kill", f"slurmd:{first}", "--with-jobs")
        assert not any(b"sleep" in command for command in processes_of(own_bed).values())
        wait_until(lambda: len(nodes.read_text().split()) == 2, 60)
        assert set(nodes.read_text().split()) == {"n1", "n2"}
    finally:
        own_bed.run(["scancel", job])
        own_bed.testbed("up")


@pytest.mark.slow
def test_a_job_of_low_priority_makes_room_and_is_queued_again(own_bed, tmp_path):
    signals = tmp_path / "signals"
    low = own_bed.submit(
        f"trap 'echo TERM >> {signals}' TERM; while :; do sleep 0.2; done",
        *("--partition=preemptible", "--nodelist=g1", "--gpus-per-node=2", "--requeue"),
    )
    wait_until(lambda: own_bed.state(low) == "RUNNING")
    high = own_bed.submit("sleep 1", "--partition=gpu", "--nodelist=g1", "--gpus-per-node=1")
    wait_until(lambda: own_bed.state(high) == "COMPLETED", 60)
    assert "TERM" in signals.read_text()
    wait_until(lambda: own_bed.state(low) == "RUNNING", 30)
    own_bed.output("scancel", low)
