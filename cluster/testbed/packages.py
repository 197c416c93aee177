"""The Debian and Ubuntu packages a bed needs."""

import os
import shutil
import subprocess

from daemon import TestbedError

__all__ = ["install", "missing"]

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
    command = ["apt-get", "install", "--yes", "--quiet=2", "--no-install-recommends", *packages]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise TestbedError(
            f"not installed: {', '.join(packages)}; an administrator of Debian or Ubuntu can: {' '.join(command)}"
        )
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run(["apt-get", "update", "--quiet=2"], env=environment, check=True)
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    except subprocess.CalledProcessError as error:
        raise TestbedError(f"could not be installed: {', '.join(packages)} ({error})") from None
