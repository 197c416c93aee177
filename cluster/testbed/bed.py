"""A whole SLURM in one folder: its daemons, the order of their starts, and the end of all of them."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import packages
import processes
from configuration import NODES, node_ports, write_configuration
from daemon import Daemon, TestbedError
from options import Options

__all__ = ["Bed"]


class Bed:
    """The bed of a folder, running or not."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.options_file = folder / "etc/testbed.json"
        self.slurm_conf = folder / "etc/slurm.conf"

    @property
    def options(self) -> Options:
        """The options with which the bed was started."""
        options = Options.read(self.options_file)
        if options is None:
            raise TestbedError(f"there is no test bed in {self.folder}: `testbed up` makes one")
        return options

    def daemons(self) -> dict[str, Daemon]:
        """Every daemon by name, in the order in which they start."""
        options = self.options
        run, log, etc = (self.folder / name for name in ("run", "log", "etc"))

        def new(name: str, command: str, endpoint: int | Path, **environment: str) -> Daemon:
            file = name.replace(":", ".")
            pidfile, words = run / f"{file}.pid", log / f"{file}.log"
            return Daemon(name, command.split(), self.folder, pidfile, words, endpoint, environment)

        conf = str(self.slurm_conf)
        daemons = [
            # --force: munged would refuse a folder that others can read.
            new(
                "munged",
                f"munged --force --key-file={etc}/munge.key --socket={run}/munge.socket --num-threads=10"
                f" --pid-file={run}/munged.pid --log-file={log}/munged.log --seed-file={run}/munged.seed",
                run / "munge.socket",
            )
        ]
        if options.accounting:
            database = run / "mariadbd.socket"
            daemons += [
                new("mariadbd", f"mariadbd --defaults-file={etc}/mariadb.cnf", database),
                new("slurmdbd", "slurmdbd", options.port + 1, SLURM_CONF=conf, MYSQL_UNIX_PORT=str(database)),
            ]
        daemons.append(new("slurmctld", "slurmctld", options.port, SLURM_CONF=conf))
        for node, port in node_ports(options).items():
            daemons.append(new(f"slurmd:{node}", f"slurmd -N {node}", port, SLURM_CONF=conf))
        return {daemon.name: daemon for daemon in daemons}

    def daemon(self, name: str) -> Daemon:
        """The daemon of that name."""
        daemons = self.daemons()
        if name not in daemons:
            raise TestbedError(f"unknown daemon {name!r}; valid: {', '.join(daemons)}")
        return daemons[name]

    def up(self) -> None:
        """Start every daemon that does not run, and wait until every node takes jobs."""
        with self._alone():
            current = Options.read(self.options_file)
            wanted = (current or Options()).updated()
            if absent := packages.missing(wanted.accounting):
                raise TestbedError(
                    f"not installed: {', '.join(absent)}; `testbed install` does, called by root"
                )
            running = current is not None and any(daemon.pid() for daemon in self.daemons().values())
            if not running or wanted != current:
                if running:
                    raise TestbedError(
                        f"the bed in {self.folder} runs as {current}, not as {wanted}: `testbed down` first"
                    )
                write_configuration(self.folder, wanted)
                wanted.write(self.options_file)
            self.start(*self.daemons())
            if not processes.wait_for(self._nodes_serve, 30):
                raise TestbedError(
                    f"not every node came up:\n{self.slurm('sinfo', '-N', '-l')}\nsee {self.folder}/log"
                )

    def start(self, *names: str) -> None:
        """Start daemons that do not run, and whatever these cannot start without; return when all serve and stay.

        A daemon that is still shutting down is waited for, and is then started again.
        """
        daemons = self._with_needed(names)
        if not all(self._stay(daemons)):
            for daemon in daemons:
                if daemon.pid() is not None:
                    continue
                if daemon.name not in names:
                    print(f"{daemon.name} is started too: {' and '.join(names)} cannot start without it")
                if daemon.name == "mariadbd":
                    self._make_database()
                daemon.start()
            for daemon, stays in zip(daemons, self._stay(daemons), strict=True):
                if not stays:
                    raise TestbedError(f"{daemon.name} started, and ended at once:\n{daemon.last_words()}")

    def _with_needed(self, names: Iterable[str]) -> list[Daemon]:
        """Return the daemons, and those that they cannot start without, in the order in which they start."""
        needed = {self.daemon(name).name for name in names}
        # Before it has saved its state for the first time, a controller does not start without the accounting.
        if "slurmctld" in needed and not (self.folder / "state/last_tres").exists():
            needed.add("slurmdbd")
        if "slurmdbd" in needed:
            needed.add("mariadbd")
        if needed - {"mariadbd"}:
            needed.add("munged")
        return [daemon for name, daemon in self.daemons().items() if name in needed]

    def _stay(self, daemons: list[Daemon]) -> list[bool]:
        """Return for every daemon whether it serves and stays; all are watched at the same time."""
        with ThreadPoolExecutor() as pool:
            return list(pool.map(Daemon.stays, daemons))

    def kill(self, name: str, with_jobs: bool = False) -> None:
        """End one daemon as a crash would.

        Jobs do not end with their slurmd, nor their processes with the slurmstepd that watches over them.

        Args:
            name: the daemon's name, e.g. slurmd:n1.
            with_jobs: whether the jobs of its node end too, as in a crash of the whole node.
        """
        daemon = self.daemon(name)
        node = name.partition(":")[2]
        if with_jobs and not node:
            raise TestbedError(f"{name} has no jobs of its own; --with-jobs goes with slurmd:<node>")
        daemon.kill()
        if with_jobs:
            self._kill_jobs(node)

    def down(self) -> None:
        """Cancel every job, end every daemon, and forget the options. The accounting stays."""
        if Options.read(self.options_file) is None:
            return
        with self._alone():
            daemons = self.daemons()
            if daemons["slurmctld"].pid():
                self._cancel_all()
            for name in reversed(daemons):
                daemons[name].stop()
            for node in NODES:
                self._kill_jobs(node)
            self.options_file.unlink()

    def wipe(self) -> None:
        """End the bed and remove its folder."""
        if not (self.folder / "etc/munge.key").exists():
            raise TestbedError(f"{self.folder} holds no test bed; nothing was removed")
        self.down()
        shutil.rmtree(self.folder)

    def status(self) -> str:
        """The daemons' process ids, and SLURM's own view of nodes and jobs."""
        pids = {name: daemon.pid() for name, daemon in self.daemons().items()}
        lines = [f"{name:10} {pid or 'down'}" for name, pid in pids.items()]
        if pids["slurmctld"]:
            lines += ["", self.slurm("sinfo", "-N", "-o", "%N %P %t %c %m %G %E"), "", self.slurm("squeue")]
        return "\n".join(lines)

    def slurm(self, *command: str) -> str:
        """Return the output of one of SLURM's commands about this bed; "" if the controller does not answer."""
        # The caller's SQUEUE_STATES and the like would hide jobs, and SINFO_PARTITION nodes.
        families = ("SLURM_", "SQUEUE_", "SINFO_", "SCANCEL_")
        variables = {name: value for name, value in os.environ.items() if not name.startswith(families)}
        environment = {**variables, "SLURM_CONF": str(self.slurm_conf)}
        try:
            done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=10)
        except subprocess.TimeoutExpired:
            return ""
        return done.stdout.strip()

    def _nodes_serve(self) -> bool:
        # `*` marks a node that does not answer. A node that a person drained counts as serving.
        states = [line.split() for line in set(self.slurm("sinfo", "-h", "-N", "-o", "%N %t").splitlines())]
        serving = {
            node for node, state in states if "*" not in state and not state.startswith(("down", "unk"))
        }
        return serving == set(NODES)

    def _cancel_all(self) -> None:
        jobs = set(self.slurm("squeue", "-h", "-o", "%F").split())
        if jobs:
            # --full: the batch script's own processes too; those that take no notice are killed after KillWait.
            self.slurm("scancel", "--full", *jobs)
            processes.wait_for(lambda: not self.slurm("squeue", "-h", "-t", "R,CG", "-o", "%A"), 10)

    def _kill_jobs(self, node: str) -> None:
        """Kill every process of a node: the slurmstepds, their children, and what jobs put into the background."""
        log = str(self.folder / f"log/slurmd.{node}.log")
        steps = [
            pid
            for pid in processes.running()
            if processes.command_name(pid) == "slurmstepd" and log in processes.opened(pid)
        ]
        theirs = {"SLURMD_NODENAME": node, "SLURM_CONF": str(self.slurm_conf)}
        strays = [pid for pid in processes.running() if theirs.items() <= processes.environment(pid).items()]
        processes.kill({*steps, *processes.children_of(steps), *strays}, signal.SIGKILL)

    def _make_database(self) -> None:
        if (self.folder / "database/mysql").exists():
            return
        command = [
            "mariadb-install-db", f"--defaults-file={self.folder}/etc/mariadb.cnf",
            "--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve",
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise TestbedError(f"mariadb-install-db failed:\n{done.stdout}{done.stderr}")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Let one `up` or `down` of a bed end before the next one begins."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.folder.stat().st_uid != os.geteuid():
            raise TestbedError(
                f"{self.folder} belongs to another user; set HORNLIB_TESTBED to a folder of your own"
            )
        with (self.folder / "lock").open("w") as lock:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
