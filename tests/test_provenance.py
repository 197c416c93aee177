"""Provenance: version and commit are those of the code that runs, never those of a repository around it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "hornlib"


def git(folder, *words):
    identity = {
        f"GIT_{role}_{key}": "someone" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")
    }
    command = ["git", "-C", str(folder), *words]
    environment = {**os.environ, **identity, "GIT_CONFIG_GLOBAL": os.devnull}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout.strip()


def provenance(root, **environment):
    """Return version and commit as a fresh process that imports the package from this folder sees them."""
    code = (
        "from hornlib import __version__; from hornlib.provenance import commit; print(__version__, commit())"
    )
    kept = {name: value for name, value in os.environ.items() if name != "HORNLIB_COMMIT"}
    environment = {**kept, **environment, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment, cwd=root
    )
    return done.stdout.split()


def copied_package(folder):
    (folder / "hornlib").mkdir(parents=True)
    for name in ("__init__.py", "provenance.py"):
        shutil.copy(PACKAGE / name, folder / "hornlib")
    return folder


@pytest.fixture
def repository(tmp_path):
    """A source tree in a repository of its own, with the tag v0.2.0."""
    copied_package(tmp_path)
    git(tmp_path, "init", "--quiet")
    (tmp_path / ".gitignore").write_text("__pycache__\nsite-packages\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "first")
    git(tmp_path, "tag", "v0.2.0")
    return tmp_path


def test_the_version_of_a_source_tree_follows_its_commits_without_a_new_installation(repository):
    assert provenance(repository)[0] == "0.2.0"
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "second")
    head = git(repository, "rev-parse", "--short=12", "HEAD")
    assert provenance(repository) == [f"0.2.1.dev1+g{head}", head]
    with (repository / "hornlib/__init__.py").open("a") as file:
        file.write("# changed\n")
    assert provenance(repository) == [f"0.2.1.dev1+g{head}.dirty", f"{head}-dirty"]


def test_without_a_tag_the_commit_still_follows(repository):
    git(repository, "tag", "--delete", "v0.2.0")
    head = git(repository, "rev-parse", "--short=12", "HEAD")
    version, commit = provenance(repository)
    assert commit == head
    assert version.endswith(f"+g{head}")


def test_a_snapshot_has_the_commit_that_it_was_made_of(tmp_path):
    version, commit = provenance(copied_package(tmp_path), HORNLIB_COMMIT="0123456789ab-dirty")
    assert commit == "0123456789ab-dirty"
    assert version.endswith("+g0123456789ab.dirty")


def test_the_commit_of_a_repository_around_an_installed_package_is_not_ours(repository):
    version, commit = provenance(copied_package(repository / "site-packages"))
    assert commit == "unknown"
    assert git(repository, "rev-parse", "--short=7", "HEAD") not in version


@pytest.mark.parametrize("ignored", [False, True], ids=["untracked", "ignored"])
def test_a_repository_that_does_not_track_the_package_at_its_top_is_not_ours(repository, ignored):
    git(repository, "rm", "-r", "--quiet", "--cached", "hornlib")
    if ignored:
        (repository / ".gitignore").write_text("hornlib\n")
        git(repository, "add", ".gitignore")
    git(repository, "commit", "--quiet", "--message", "theirs")
    version, commit = provenance(repository)
    assert commit == "unknown"
    assert git(repository, "rev-parse", "--short=7", "HEAD") not in version


def test_a_repository_that_tracks_the_package_in_a_folder_of_its_own_is_not_ours(repository):
    root = copied_package(repository / "vendor")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "theirs")
    assert provenance(root)[1] == "unknown"


def test_the_variables_of_a_git_hook_do_not_lead_to_another_repository(repository, tmp_path_factory):
    theirs = tmp_path_factory.mktemp("theirs")
    git(theirs, "init", "--quiet")
    git(theirs, "commit", "--quiet", "--allow-empty", "--message", "theirs")
    variables = {"GIT_DIR": str(theirs / ".git"), "GIT_WORK_TREE": str(repository)}
    assert provenance(repository, **variables)[1] == git(repository, "rev-parse", "--short=12", "HEAD")


def test_without_git_the_commit_is_unknown(repository):
    assert provenance(repository, PATH="/nonexistent")[1] == "unknown"
