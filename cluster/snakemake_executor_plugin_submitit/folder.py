"""The executor's folder: its place, and who may write to it."""

import contextlib
import os
import shlex
import stat
from pathlib import Path

__all__ = ["FolderError", "find_folder"]


class FolderError(Exception):
    """A folder that cannot be the executor's."""


def find_folder(setting: str | None) -> Path:
    """Return the executor's folder, which may not exist yet. Nothing in it is read.

    Jobs run programs and commands out of this folder: whoever may write to it can run code as this user. The folder
    above it, .snakemake or the project, may be a group's: its members can change the workflow itself. A folder that
    they put in the place of this one is theirs, and is refused.

    Args:
        setting: --submitit-folder; None for the default.

    Raises:
        FolderError: the folder cannot be named, or another user may write to it.
    """
    try:
        folder = Path(setting or ".snakemake/submitit").expanduser().absolute()
    except RuntimeError:
        raise FolderError(
            f"--submitit-folder {setting}: there is no such home folder; name the whole path"
        ) from None
    if "%" in str(folder):
        raise FolderError(
            f"--submitit-folder: {folder} has a %, which SLURM would expand; name another folder"
        )
    for place in (folder, folder / "batches", folder / "snapshots"):
        _refuse_foreign(place)
    return folder


def _refuse_foreign(place: Path) -> None:
    try:
        status = place.stat()
    except OSError:  # it is made later, or the failure to make it is reported then
        return
    if status.st_uid != os.getuid() and status.st_uid == _overflow_uid():
        raise FolderError(
            f"{place} seems to belong to nobody (uid {status.st_uid}): the file server, or a container, hides its "
            "owner. Somebody else could run code in your name through it; nothing in it was read. As root, give the "
            "command as an ordinary user (the server may squash root); else name a folder on another file system with "
            "--submitit-folder"
        )
    if status.st_uid != os.getuid():
        raise FolderError(
            f"{place} belongs to another user (uid {status.st_uid}), who could run code in your name through it; "
            "nothing in it was read. Name a folder of your own with --submitit-folder"
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not _close_empty(place, status.st_mode):
        raise FolderError(
            f"others may write to {place} (mode {stat.S_IMODE(status.st_mode):04o}), and could run code in your name "
            f"through it; nothing in it was read. If you trust what is in it: chmod -R go-w {shlex.quote(str(place))}; "
            "else name another folder with --submitit-folder"
        )


def _close_empty(place: Path, mode: int) -> bool:
    """Take the right to write from others if a folder is empty, as one made under umask 002; return whether it was."""
    with contextlib.suppress(OSError):
        if not os.listdir(place):
            place.chmod(stat.S_IMODE(mode) & ~(stat.S_IWGRP | stat.S_IWOTH))
            return not os.listdir(place)
    return False


def _overflow_uid() -> int:
    """Return the user id that stands for all users that this machine cannot name."""
    try:
        return int(Path("/proc/sys/kernel/overflowuid").read_text())
    except (OSError, ValueError):
        return 65534
