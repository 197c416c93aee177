"""Which code is running: its version, and the commit of its own source tree where there is one."""

import os
import re
import subprocess
from functools import lru_cache
from importlib import metadata
from pathlib import Path

__all__ = ["commit", "version"]

ROOT = Path(__file__).resolve().parents[1]
"""The folder that holds the package: the root of a source tree, or a folder of installed packages."""

_SINCE_TAG = re.compile(r"v(?P<release>[0-9.]+)-(?P<commits>[0-9]+)-g(?P<commit>[0-9a-f]+)(?P<dirty>-dirty)?")


@lru_cache(maxsize=1)
def commit() -> str:
    """Return the commit of the source tree, `-dirty` with uncommitted changes, or `unknown`.

    A job on a cluster runs from a snapshot without history. The process that made the snapshot passes its commit in the
    environment variable HORNLIB_COMMIT. The commit of a foreign repository around the package is never returned.
    """
    return (
        os.environ.get("HORNLIB_COMMIT") or _describe("--always", "--abbrev=12", "--exclude=*") or "unknown"
    )


@lru_cache(maxsize=1)
def version() -> str:
    """Return the version; that of an editable install follows the commit, e.g. 0.2.1.dev3+g0123456789ab.

    In a source tree it is that of the last tag and of the commits since, as hatch-vcs writes it into a wheel.
    Elsewhere it is the version of the installed package.
    """
    described = _SINCE_TAG.fullmatch(_describe("--tags", "--long", "--abbrev=12", "--match=v[0-9]*"))
    if described is None or "HORNLIB_COMMIT" in os.environ:
        return _installed_version()
    if described["commits"] == "0" and not described["dirty"]:
        return described["release"]
    *first, last = described["release"].split(".")
    upcoming = ".".join([*first, str(int(last) + 1)])
    return (
        f"{upcoming}.dev{described['commits']}+g{described['commit']}{'.dirty' if described['dirty'] else ''}"
    )


def _installed_version() -> str:
    """Return the version in the metadata of the installation; its commit is replaced by the one that runs."""
    try:
        installed = metadata.version("hornlib")
    except metadata.PackageNotFoundError:  # a bare source tree on PYTHONPATH
        installed = "0+unknown"
    if commit() == "unknown":
        return installed
    return f"{installed.partition('+')[0]}+g{commit().replace('-', '.')}"


def _describe(*options: str) -> str:
    """Return what `git describe --dirty` prints for our own repository; nothing where there is none.

    A repository is our own if the package lies at its top and git tracks the package. Otherwise it only surrounds the
    package: a virtual environment or an unpacked archive may lie in the repository of another project.
    """
    is_top = (ROOT / ".git").exists()  # a file in a worktree, a folder elsewhere
    if not is_top or not _git(
        "ls-files", "--error-unmatch", "--", str(Path(__file__).resolve().relative_to(ROOT))
    ):
        return ""
    return _git("describe", "--dirty", *options)


def _git(*arguments: str) -> str:
    """Return what a git command prints in the source tree; nothing if it fails.

    Variables such as GIT_DIR, which a git hook sets, would lead git to another repository.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
