"""Provenance: version and commit are those of the code that runs, never those of a repository around it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "hornlib"

PASSED_ON = ("HORNLIB_COMMIT", "HORNLIB_VERSION")
"""Variables that a workflow passes on to its jobs."""


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
    inherited = {name: value for name, value in os.environ.items() if name not in PASSED_ON}
    environment = {**inherited, **environment, "PYTHONPATH": str(root)}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment, cwd=root
    )
    return done.stdout.split()


def change(path, text):
    """Add a comment to the end of a file, and make the file where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(f"# {text}\n")


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
    change(repository / "hornlib/__init__.py", "changed")
    version, commit = provenance(repository)
    assert re.fullmatch(f"{head}-dirty\\.[0-9a-f]{{6}}", commit)
    assert version == f"0.2.1.dev1+g{commit.replace('-', '.')}"


def test_a_changed_release_is_not_that_release(repository):
    change(repository / "hornlib/__init__.py", "changed")
    assert provenance(repository)[0].startswith("0.2.1.dev0+g")


def test_two_changes_of_the_code_are_told_apart_and_the_same_change_is_the_same(repository):
    original = (repository / "hornlib/__init__.py").read_text()
    commits = []
    for text in ("one", "other", "one"):
        (repository / "hornlib/__init__.py").write_text(original)
        change(repository / "hornlib/__init__.py", text)
        commits.append(provenance(repository)[1])
    assert commits[0] == commits[2] != commits[1]
    (repository / "hornlib/__init__.py").write_text(original)
    assert "dirty" not in provenance(repository)[1]


@pytest.mark.parametrize("name", ["hornlib/new.py", "workflow/rules/new.smk"])
def test_a_new_module_is_a_change_of_the_code(repository, name):
    change(repository / name, "one")
    commit = provenance(repository)[1]
    assert "-dirty." in commit
    change(repository / name, "more")
    assert provenance(repository)[1] != commit


def test_the_content_of_a_change_may_be_in_any_encoding(repository):
    (repository / "hornlib/é.py").write_bytes("# é".encode("latin-1"))
    git(repository, "add", ".")
    assert "-dirty." in provenance(repository)[1]


def test_a_deleted_module_is_a_change_of_the_code(repository):
    change(repository / "workflow/rules/new.smk", "one")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "second")
    (repository / "workflow/rules/new.smk").unlink()
    assert "-dirty." in provenance(repository)[1]


@pytest.mark.parametrize("name", ["config.yaml", "README.md", "docs/page.py"])
def test_a_change_outside_the_code_is_none(repository, name):
    change(repository / name, "first")
    git(repository, "add", ".")
    git(repository, "commit", "--quiet", "--message", "second")
    before = provenance(repository)
    change(repository / name, "seeds: 7")
    assert provenance(repository) == before


@pytest.mark.parametrize("tagged", [True, False], ids=["with a tag", "without a tag"])
def test_a_workflow_records_the_version_that_a_run_by_hand_records(repository, tagged):
    git(repository, "commit", "--quiet", "--allow-empty", "--message", "second")
    if not tagged:
        git(repository, "tag", "--delete", "v0.2.0")
    by_hand = provenance(repository)
    assert provenance(repository, HORNLIB_COMMIT=by_hand[1]) == by_hand
    # variables of another tree do not hide what git knows of this one
    assert provenance(repository, HORNLIB_COMMIT="fedcba987654", HORNLIB_VERSION="9.9.9") == by_hand


def test_the_snakefile_passes_both_on():
    text = (PACKAGE.parent / "Snakefile").read_text()
    assert all(f'"{name}": ' in text for name in PASSED_ON)


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
    passed_on = {"HORNLIB_COMMIT": "0123456789ab", "HORNLIB_VERSION": "0.2.1.dev1+g0123456789ab"}
    assert provenance(tmp_path, **passed_on) == ["0.2.1.dev1+g0123456789ab", "0123456789ab"]


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
