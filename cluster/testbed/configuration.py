"""The daemons' configuration files, made from the templates beside this file."""

import getpass
import os
import re
import socket
from pathlib import Path

from daemon import TestbedError
from options import Options

__all__ = ["GPU_NODES", "NODES", "node_ports", "write_configuration"]

NODES = ("n1", "n2", "g1", "g2")
GPU_NODES = ("g1", "g2")
TEMPLATES = Path(__file__).resolve().parent


def node_ports(options: Options) -> dict[str, int]:
    """Return the TCP port of every node's slurmd; the first two ports are those of slurmctld and slurmdbd."""
    return {node: options.port + 11 + index for index, node in enumerate(NODES)}


def write_configuration(folder: Path, options: Options) -> None:
    """Write the configuration files, and make the folders, the key and the fake GPUs that they name.

    Args:
        folder: the folder of the bed.
        options: ports, accounting, and further lines of slurm.conf.
    """
    # SLURM's files have no quoting, and the path of a socket has a limit.
    if not re.fullmatch(r"[\w./+-]{1,80}", str(folder)):
        raise TestbedError(
            f"HORNLIB_TESTBED: {folder} is longer than 80 signs or has others than letters, digits and ._+-/"
        )
    for name in ("etc", "run", "log", "state", "spool", "dev", "database"):
        (folder / name).mkdir(exist_ok=True)
    for index in range(2):
        gpu = folder / "dev" / f"gpu{index}"
        if not gpu.is_symlink():
            gpu.symlink_to("/dev/null")
    key = folder / "etc/munge.key"
    if not key.exists():
        _write(key, os.urandom(128))
    host = socket.gethostname().partition(".")[0]
    address, bind = _loopback()
    values = {
        "FOLDER": str(folder),
        "USER": getpass.getuser() if os.geteuid() else "root",
        "HOST": host,
        "ADDRESS": address,
        "BIND": bind,
        "PORT": str(options.port),
        "DBD_PORT": str(options.port + 1),
        "NODES": "\n".join(
            _node_line(node, port, host, address) for node, port in node_ports(options).items()
        ),
        "ACCOUNTING": _accounting_lines(folder, options, address),
    }
    for name in ("slurm.conf", "gres.conf", "cgroup.conf", "slurmdbd.conf", "mariadb.cnf"):
        text = (TEMPLATES / f"{name}.in").read_text()
        text = re.sub(r"@([A-Z_]+)@", lambda match: values[match[1]], text)
        if name == "slurm.conf":
            text = _with_extra(text, options.extra)
        _write(folder / "etc" / name, text.encode())


def _loopback() -> tuple[str, str]:
    """The address the daemons are reached at, and the setting that keeps them from listening on any other.

    With that setting SLURM listens on whatever the machine's own name stands for. Where that is an address of the
    network, the setting would do the contrary of what is wanted and is left out.
    """
    try:
        address = socket.gethostbyname(socket.gethostname())
    except OSError:
        address = ""
    if address.startswith("127."):
        return address, "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny"
    return (
        "127.0.0.1",
        "# This machine's name is not a loopback address: the daemons listen on every interface.",
    )


def _node_line(node: str, port: int, host: str, address: str) -> str:
    gpus = " Gres=gpu:2" if node in GPU_NODES else ""
    return f"NodeName={node} NodeHostname={host} NodeAddr={address} Port={port}{gpus}"


def _accounting_lines(folder: Path, options: Options, address: str) -> str:
    if not options.accounting:
        return "AccountingStorageType=accounting_storage/none"
    settings = {
        "AccountingStorageType": "accounting_storage/slurmdbd",
        "AccountingStorageHost": address,
        "AccountingStoragePort": str(options.port + 1),
        "AccountingStoragePass": f"{folder}/run/munge.socket",
        "AccountingStorageTRES": "gres/gpu",
    }
    return "\n".join(f"{key}={value}" for key, value in settings.items())


def _with_extra(text: str, extra: tuple[str, ...]) -> str:
    """Return the text with the lines appended, without its own lines of these keys; SLURM refuses doubled keys."""
    keys = {
        line.partition("=")[0].strip().lower() for line in extra if "=" in line and not line.startswith("#")
    }
    keys -= {"nodename", "partitionname"}
    lines = [line for line in text.splitlines() if line.partition("=")[0].lower() not in keys]
    return "\n".join([*lines, *extra]) + "\n"


def _write(file: Path, content: bytes) -> None:
    """Replace a file; only its owner can read it, which slurmdbd and munged demand."""
    draft = file.with_name(file.name + ".new")
    draft.touch(mode=0o600)
    draft.write_bytes(content)
    draft.replace(file)
