"""Blows of a storm that damage what the sweep relies on: records, code, the configuration, the disk, sbatch itself."""

import json
import os
import random
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster.end_to_end.kills import kill_task
from tests.cluster.end_to_end.storm import Blow, Storm

__all__ = ["DAMAGES", "mount_disks", "unmount_disks"]


def damage(
    path: Path, chance: random.Random, ways: dict[str, Callable[[bytes, random.Random], bytes | None]]
) -> str:
    """Damage a file in one of the ways and return in which.

    Args:
        path: the file.
        chance: chooses.
        ways: each takes the content and returns another, or None to remove the file.
    """
    way = chance.choice(sorted(ways))
    content = ways[way](path.read_bytes(), chance)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    return way


def torn(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(max(1, len(content)))]


def flipped(content: bytes, chance: random.Random) -> bytes:
    if not content:
        return b"\0"
    changed = bytearray(content)
    changed[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def emptied(content: bytes, chance: random.Random) -> bytes:
    return b""


def removed(content: bytes, chance: random.Random) -> None:
    return None


def reshaped(content: bytes, chance: random.Random) -> bytes:
    """Keep it JSON, but of another shape: a value of another type, or a key of another name."""
    line, _, rest = content.partition(b"\n")
    try:
        record = json.loads(line)
    except ValueError:
        return b"[]"
    wrong: list[Any] = [None, 7, -1, "x", [], {}, [[1]], {"job_id": {}}]
    if isinstance(record, dict) and record and chance.random() < 0.8:
        key = chance.choice(sorted(record))
        value = record.pop(key)
        record |= {key: chance.choice(wrong)} if chance.random() < 0.7 else {f"{key}e": value}
    else:
        record = chance.choice(wrong)
    return json.dumps(record).encode() + b"\n" + rest


def edited(content: bytes, chance: random.Random) -> bytes:
    return content + b"\nraise SystemExit(3)\n"


RECORD_DAMAGES = {
    "torn": torn,
    "flipped": flipped,
    "emptied": emptied,
    "removed": removed,
    "reshaped": reshaped,
}
CODE_DAMAGES = {"torn": torn, "flipped": flipped, "emptied": emptied, "removed": removed, "edited": edited}


RECORDS = {
    "batch.json",
    "jobs.jsonl",
    "array.json",
    "head.json",
    "collected",
    "abandoned",
    ".starts",
    ".exit",
}


def damage_record(storm: Storm) -> str | None:
    """A record of the executor, sometimes with its copy; often the head dies too, so that the next one reads it."""
    folder = storm.workflow.executor_folder
    kinds: dict[str, list[Path]] = {}
    for path in [folder / "head.json", *folder.glob("batches/*/*")]:
        kind = path.suffix if path.stem.isdecimal() else path.name
        if kind in RECORDS and path.exists():
            kinds.setdefault(kind, []).append(path)
    if not kinds:
        return None
    path = storm.random.choice(sorted(kinds[storm.random.choice(sorted(kinds))]))
    copy = path.with_name(f"{path.name}.copy")
    with_copy = copy.exists() and storm.random.random() < 0.3
    dies = storm.random.random() < 0.7 and storm.head_leaves(signal.SIGKILL)
    try:
        ways = [
            damage(file, storm.random, RECORD_DAMAGES) for file in ([path, copy] if with_copy else [path])
        ]
    except FileNotFoundError:
        return None
    how = " and its copy ".join(ways)
    return f"{path.parent.name}/{path.name} {how}{', and the head gets SIGKILL' if dies else ''}"


def damage_code(storm: Storm) -> str | None:
    """The snapshot of the package, or the node's program."""
    folder = storm.workflow.executor_folder
    paths = sorted([*folder.glob("snapshots/*.zip"), *folder.glob("task-*.py")])
    if not paths:
        return None
    path = storm.random.choice(paths)
    return f"{path.name} {damage(path, storm.random, CODE_DAMAGES)}"


def kill_controller_in_sbatch(storm: Storm) -> str | None:
    """The controller dies while the next sbatch talks to it; a task is killed, so that there is a next one."""
    workflow = storm.workflow
    killed = workflow.folder / "killed_in_sbatch"

    def mend() -> None:
        (workflow.folder / "kill_in_sbatch").unlink(missing_ok=True)
        storm.tell(f"slurmctld was{'' if killed.exists() else ' not'} killed within sbatch")
        killed.unlink(missing_ok=True)
        storm.bed.testbed("start", "slurmctld")

    if not storm.breaks("slurmctld", 10, 25, mend):
        return None
    (workflow.folder / "kill_in_sbatch").write_text(f"{storm.random.uniform(0, 0.15):.3f}")
    task = kill_task(storm)
    return f"slurmctld is killed within the next sbatch{f'; {task}' if task else ''}"


EDITS = {
    "gets a further seed": ("seeds: 3", "seeds: 4"),
    "gets a typo": ("sweeps:", "sweps:"),
    "names another results folder": ("results: results", "results: elsewhere"),
}


def edit_configuration(storm: Storm) -> str | None:
    """Someone edits config.yaml while the sweep runs, and takes it back later."""
    config = storm.workflow.config
    if not re.search(
        "submitted [0-9]|taken over", storm.workflow.said()
    ):  # the head may not have read it yet
        return None
    original = config.read_text()
    if not storm.breaks("config.yaml", 3, 20, lambda: config.write_text(original)):
        return None
    edit = storm.random.choice(sorted(EDITS))
    config.write_text(original.replace(*EDITS[edit]))
    return f"config.yaml {edit}"


DISKS = ("results", "checkpoints")
SIZE_KB = 64 * 1024


def mount_disks(folder: Path) -> bool:
    """Give the sweep small disks of its own; return False where that is not allowed.

    Args:
        folder: the sweep's folder.
    """
    if os.geteuid() != 0:
        return False
    for disk in DISKS:
        (folder / disk).mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE_KB}k", "tmpfs", str(folder / disk)]
        if subprocess.run(command, capture_output=True).returncode:
            unmount_disks(folder)
            return False
    return True


def unmount_disks(folder: Path) -> None:
    """Take the disks away.

    Args:
        folder: the sweep's folder.
    """
    for disk in DISKS:
        if os.path.ismount(folder / disk):
            subprocess.run(["umount", "--lazy", str(folder / disk)], check=True)


def fill_disk(storm: Storm) -> str | None:
    """A disk has no room for some seconds."""
    disk = storm.workflow.folder / storm.random.choice(DISKS)

    def resize(kilobytes: int) -> bool:
        command = ["mount", "-o", f"remount,size={kilobytes}k", str(disk)]
        return subprocess.run(command, capture_output=True).returncode == 0

    if disk.name in storm.away:
        return None
    state = os.statvfs(disk)
    used = (state.f_blocks - state.f_bfree) * state.f_frsize // 1024
    if not resize(used + storm.random.choice([4, 16, 64])):  # it has grown meanwhile
        return None
    storm.breaks(disk.name, 3, 20, lambda: resize(SIZE_KB))
    return f"the disk of {disk.name} is full"


DAMAGES = {
    "damage_record": Blow(damage_record, 5),
    "damage_code": Blow(damage_code, 2),
    "kill_controller_in_sbatch": Blow(kill_controller_in_sbatch, 3),
    "edit_configuration": Blow(edit_configuration, 2),
    "fill_disk": Blow(fill_disk, 2),
}
"""The blows by name."""
