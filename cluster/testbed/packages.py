"""The Debian and Ubuntu packages a bed needs."""

import os
import shutil
import subprocess
import time

from daemon import TestbedError

__all__ = ["apt_get", "install", "missing"]

# Programs, not packages, are looked for: a SLURM installed in some other way serves as well.
SLURM = {"slurmctld": "slurmctld", "slurmd": "slurmd", "sbatch": "slurm-client", "munged": "munge"}
ACCOUNTING = {
    "slurmdbd": "slurmdbd",
    "mariadbd": "mariadb-server-core",
    "my_print_defaults": "mariadb-client-core",  # mariadb-install-db calls it
}


def missing(accounting: bool) -> list[str]:
    """Return the packages whose programs are missing."""
    wanted = {**SLURM, **(ACCOUNTING if accounting else {})}
    return [package for program, package in wanted.items() if shutil.which(program) is None]


def install(accounting: bool) -> None:
    """Install the missing packages.

    Raises:
        TestbedError: the user is not root, or the installation failed.
    """
    packages = missing(accounting)
    if not packages:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *packages]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise TestbedError(
            f"not installed: {', '.join(packages)}; an administrator of Debian or Ubuntu can: {' '.join(command)}"
        )
    try:
        apt_get("update")
        apt_get(*command[1:])
    except subprocess.CalledProcessError as error:
        raise TestbedError(
            f"could not be installed: {', '.join(packages)} ({error}):\n{error.stderr.strip()}"
        ) from None


def apt_get(*words: str, patience: float = 600) -> None:
    """Run apt-get, again and again while another one has the lock: a fresh machine updates itself.

    apt's own DPkg::Lock::Timeout waits for two of its four locks only.

    Args:
        words: the words of its command line.
        patience: the longest wait for the lock, in seconds.

    Raises:
        CalledProcessError: it failed, or the lock did not become free.
    """
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
    deadline = time.monotonic() + patience
    waits = False
    while True:
        done = subprocess.run(
            ["apt-get", "--quiet=2", *words], env=environment, capture_output=True, text=True
        )
        locked = done.returncode != 0 and "Could not get lock" in done.stderr
        if not locked or time.monotonic() > deadline:
            done.check_returncode()
            return
        if not waits:
            print(f"waiting for another apt-get to end: {done.stderr.strip().splitlines()[0]}", flush=True)
            waits = True
        time.sleep(1)
