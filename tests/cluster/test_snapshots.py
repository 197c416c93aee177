"""What is submitted is what runs: packages as zips that are named by their content and come first on PYTHONPATH."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from snakemake_executor_plugin_submitit.commands import job_environment
from snakemake_executor_plugin_submitit.snapshots import LAUNCHER, SnapshotError, snapshot, store

NAME = "package_of_a_snapshot_test"


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that can be imported."""
    root = tmp_path / "source" / NAME
    (root / "inner" / "__pycache__").mkdir(parents=True)
    (root / "__init__.py").write_text("VERSION = 1\n")
    (root / "inner" / "__init__.py").touch()
    (root / "inner" / "data.json").write_text("{}")
    (root / "inner" / "__pycache__" / "old.pyc").write_bytes(b"old")
    (root / ".git").mkdir()
    (root / ".git" / "HEAD").touch()
    monkeypatch.syspath_prepend(str(root.parent))
    return root


def test_the_same_content_is_one_file_and_changed_content_another(package, tmp_path):
    first = snapshot(NAME, tmp_path)
    before = first.stat().st_mtime_ns
    assert snapshot(NAME, tmp_path) == first and first.stat().st_mtime_ns == before
    os.utime(package / "__init__.py")
    assert snapshot(NAME, tmp_path) == first
    (package / "__init__.py").write_text("VERSION = 2\n")
    second = snapshot(NAME, tmp_path)
    assert second != first and first.exists()
    (package / "__init__.py").write_text("VERSION = 1\n")
    assert snapshot(NAME, tmp_path) == first


def test_the_order_in_which_a_disk_lists_files_does_not_change_the_name(package, tmp_path, monkeypatch):
    first = snapshot(NAME, tmp_path)
    rglob = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda *arguments: reversed(list(rglob(*arguments))))
    assert snapshot(NAME, tmp_path) == first


def test_content_that_moves_to_another_file_is_another_content(package, tmp_path):
    first = snapshot(NAME, tmp_path)
    (package / "inner" / "data.json").rename(package / "inner" / "data2.json")
    assert snapshot(NAME, tmp_path) != first


def test_the_zip_holds_the_package_and_no_byproduct(package, tmp_path):
    names = zipfile.ZipFile(snapshot(NAME, tmp_path)).namelist()
    assert sorted(names) == [f"{NAME}/__init__.py", f"{NAME}/inner/__init__.py", f"{NAME}/inner/data.json"]


def test_byproducts_do_not_change_the_name(package, tmp_path):
    first = snapshot(NAME, tmp_path)
    (package / "inner" / "__pycache__" / "new.pyc").write_bytes(b"new")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "new.pyc").write_bytes(b"new")
    assert snapshot(NAME, tmp_path) == first


def test_the_zip_is_alone_in_its_folder_so_that_no_half_written_one_is_imported(package, tmp_path):
    made = snapshot(NAME, tmp_path)
    assert [path.name for path in made.parent.iterdir()] == [
        made.name
    ] and made.parent.stat().st_mode & 0o077 == 0


def test_a_job_imports_the_snapshot_and_not_what_was_edited_since(package, tmp_path):
    made = snapshot(NAME, tmp_path)
    (package / "__init__.py").write_text("VERSION = 'edited'\n")
    variables = job_environment(1, str(made), {"PYTHONPATH": str(package.parent)})
    done = subprocess.run(
        [sys.executable, "-c", f"import {NAME}.inner; print({NAME}.VERSION, {NAME}.__file__)"],
        env={**os.environ, **variables},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["1", f"{made}/{NAME}/__init__.py"]


DAMAGES = {
    "cut": lambda path: path.write_bytes(path.read_bytes()[:-5]),
    "flipped": lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
    "emptied": lambda path: path.write_bytes(b""),
    "removed": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_snapshot_is_made_again(package, tmp_path, damage):
    made = snapshot(NAME, tmp_path)
    content = made.read_bytes()
    DAMAGES[damage](made)
    assert snapshot(NAME, tmp_path) == made and made.read_bytes() == content


def test_a_stored_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os, "fsync", lambda fd: events.append(os.readlink(f"/proc/self/fd/{fd}")) or fsync(fd)
    )
    monkeypatch.setattr(os, "replace", lambda *names: events.append("renamed") or replace(*names))
    made = store(tmp_path / "new", "x", ".py", b"1")
    assert [Path(event).name for event in events] == [f".{made.name}.{os.getpid()}", "renamed", "new"]


def test_a_full_disk_leaves_no_temporary_file(tmp_path, monkeypatch):
    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError):
        store(tmp_path, "x", ".py", b"1")
    assert list(tmp_path.iterdir()) == []


def launch(program, *words):
    """Start a stored program as a batch script does, but without patience."""
    code = LAUNCHER.replace("range(60)", "range(1)")
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", code, str(program), *words], text=True, capture_output=True
    )


PROGRAM = b"""
import sys
if __name__ == "__main__":
    print(sys.argv)
    sys.exit(3)
"""


def test_an_unchanged_program_runs_as_if_it_were_started_by_its_path(tmp_path):
    program = store(tmp_path / "a b", "task", ".py", PROGRAM)
    done = launch(program, "folder", "7")
    assert (done.returncode, done.stdout, done.stderr) == (3, f"{[str(program), 'folder', '7']}\n", "")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_program_is_refused_before_anything_of_it_runs(tmp_path, damage):
    program = store(tmp_path, "task", ".py", PROGRAM)
    DAMAGES[damage](program)
    done = launch(program)
    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr == f"{program} is not the code that was submitted\n"


@pytest.mark.parametrize(
    "name", ["package_that_is_nowhere", "", "..", "a b", "json.decoder", "this", f"{NAME}.nowhere"]
)
def test_what_is_no_package_is_refused_by_name(package, tmp_path, name):
    with pytest.raises(SnapshotError, match="--submitit-snapshot"):
        snapshot(name, tmp_path)


def test_a_folder_that_cannot_be_written_is_the_callers_to_explain(package, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError):
        snapshot(NAME, tmp_path / "file")
    shutil.rmtree(package)
