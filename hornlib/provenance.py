"""Which code is running: its version, and the commit of its own source tree where there is one."""

import hashlib
import os
import re
import subprocess
from contextlib import suppress
from functools import lru_cache
from importlib import metadata
from pathlib import Path

__all__ = ["commit", "version"]

ROOT = Path(__file__).resolve().parents[1]
"""The folder that holds the package: the root of a source tree, or a folder of installed packages."""

CODE = ("hornlib", "cluster", "workflow", "Snakefile")
"""What decides the results of a run beside its specification. A change elsewhere, e.g. in config.yaml, is no change."""

_SINCE_TAG = re.compile(r"v(?P<release>[0-9.]+)-(?P<commits>[0-9]+)-g[0-9a-f]+")


@lru_cache(maxsize=1)
def commit() -> str:
    """Return the commit of the source tree, e.g. 0123456789ab, or `unknown`.

    Where `CODE` has uncommitted changes, `-dirty.` and a digest of the changed files follow: 0123456789ab-dirty.1a2b3c.
    A job on a cluster may run from a snapshot without history. The process that made the snapshot passes its commit in
    the environment variable HORNLIB_COMMIT. The commit of a foreign repository around the package is never returned.
    """
    return _commit_of_tree() or os.environ.get("HORNLIB_COMMIT") or "unknown"


@lru_cache(maxsize=1)
def version() -> str:
    """Return the version; that of a source tree follows the commit, e.g. 0.2.1.dev3+g0123456789ab.

    In a source tree it is that of the last tag and of the commits since, as hatch-vcs writes it into a wheel.
    Elsewhere it is that of the environment variable HORNLIB_VERSION, which comes with HORNLIB_COMMIT, or else the
    version of the installed package.
    """
    if not _commit_of_tree():
        return os.environ.get("HORNLIB_VERSION") or _installed_version()
    tag = _SINCE_TAG.fullmatch(_git("describe", "--tags", "--long", "--match=v[0-9]*") or "")
    if tag is None:
        return _installed_version()
    if tag["commits"] == "0" and "dirty" not in commit():
        return tag["release"]
    *first, last = tag["release"].split(".")
    upcoming = ".".join([*first, str(int(last) + 1)])
    return f"{upcoming}.dev{tag['commits']}{_local_part()}"


def _installed_version() -> str:
    """Return the version in the metadata of the installation; its commit is replaced by the one that runs."""
    try:
        installed = metadata.version("hornlib")
    except metadata.PackageNotFoundError:  # a bare source tree on PYTHONPATH
        installed = "0+unknown"
    if commit() == "unknown":
        return installed
    return installed.partition("+")[0] + _local_part()


def _local_part() -> str:
    """Return the part of a version that names the commit: +g0123456789ab.dirty.1a2b3c."""
    return f"+g{commit().replace('-', '.')}"


@lru_cache(maxsize=1)
def _commit_of_tree() -> str:
    """Return the commit of our own repository, with the digest of its changes; nothing where there is none.

    A repository is our own if the package lies at its top and git tracks the package. Otherwise it only surrounds the
    package: a virtual environment or an unpacked archive may lie in the repository of another project.
    """
    is_top = (ROOT / ".git").exists()  # a file in a worktree, a folder elsewhere
    package_file = str(Path(__file__).resolve().relative_to(ROOT))
    if not is_top or not _git("ls-files", "--error-unmatch", "--", package_file):
        return ""
    head, changes = _git("rev-parse", "--short=12", "HEAD"), _digest_of_changes()
    return f"{head}-dirty.{changes}" if head and changes else head or ""


def _digest_of_changes() -> str:
    """Return six hexadecimal digits that differ between changes of `CODE`; nothing where nothing is changed.

    Names and contents of the changed files decide the digest, and no setting of git does. A new module counts before
    git tracks it; any other untracked file may be a note.
    """
    new_modules = (f"{part}/*{suffix}" for part in CODE for suffix in (".py", ".smk"))
    listings = (
        _git("diff", "HEAD", "--name-only", "--no-renames", "-z", "--", *CODE),
        _git("ls-files", "--others", "--exclude-standard", "-z", "--", *new_modules),
    )
    if None in listings:
        return "unknown"
    names = sorted({name for listing in listings for name in (listing or "").split("\0") if name})
    hashed = hashlib.sha256()
    for name in names:
        hashed.update(b"\0" + os.fsencode(name) + b"\0")
        with suppress(OSError):  # a deleted file has no content
            hashed.update((ROOT / name).read_bytes())
    return hashed.hexdigest()[:6] if names else ""


def _git(*arguments: str) -> str | None:
    """Return what a git command prints in the source tree; None if it fails.

    Variables such as GIT_DIR, which a git hook sets, would lead git to another repository.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments],
            capture_output=True,
            timeout=10,
            check=False,
            env=environment,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return os.fsdecode(done.stdout).strip() if done.returncode == 0 else None
