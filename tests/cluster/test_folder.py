"""The executor's folder: refused where somebody else may write to it, before anything in it is read."""

import os
import re
import stat
import subprocess

import pytest
from snakemake_executor_plugin_submitit import folder as folder_module
from snakemake_executor_plugin_submitit.folder import FolderError, find_folder


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "executor"
    for place in (folder, folder / "batches", folder / "snapshots"):
        place.mkdir(mode=0o700)
        (place / "file").touch()
    return folder


def test_a_folder_of_ones_own_is_taken_and_one_that_is_not_there_may_be_made(folder, tmp_path, monkeypatch):
    assert find_folder(str(folder)) == folder
    assert find_folder(str(tmp_path / "later")) == tmp_path / "later"
    monkeypatch.chdir(tmp_path)
    assert find_folder(None) == tmp_path / ".snakemake/submitit"


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o700, 0o500])
def test_others_may_look_into_it(folder, mode):
    folder.chmod(mode)
    assert find_folder(str(folder)) == folder


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o722, 0o1777, 0o702])
@pytest.mark.parametrize("place", [".", "batches", "snapshots"])
def test_a_folder_that_others_may_write_to_is_refused_with_the_remedy(folder, place, mode):
    (folder / place).chmod(mode)
    with pytest.raises(FolderError, match=r"others may write to .*chmod -R go-w .*--submitit-folder"):
        find_folder(str(folder))


def test_the_command_in_the_message_works_for_a_path_with_spaces(tmp_path):
    folder = tmp_path / "my project's folder"
    folder.mkdir()
    (folder / "file").touch()
    folder.chmod(0o777)
    with pytest.raises(FolderError) as caught:
        find_folder(str(folder))
    command = re.search("chmod -R go-w [^;]*", str(caught.value))[0]
    subprocess.run(["bash", "-c", command], check=True)
    assert find_folder(str(folder)) == folder


@pytest.mark.parametrize("mode", [0o777, 0o775, 0o2775])
def test_an_empty_folder_that_a_generous_umask_left_open_is_closed_and_taken(tmp_path, mode):
    folder = tmp_path / "executor"
    folder.mkdir()
    folder.chmod(mode)
    assert find_folder(str(folder)) == folder
    assert stat.S_IMODE(folder.stat().st_mode) == mode & ~0o022


def test_a_folder_whose_owner_the_file_server_hides_is_refused_with_a_message_of_its_own(folder, monkeypatch):
    monkeypatch.setattr(folder_module, "_overflow_uid", lambda: folder.stat().st_uid)
    monkeypatch.setattr(os, "getuid", lambda: folder.stat().st_uid + 1)
    with pytest.raises(FolderError, match=r"seems to belong to nobody .*squash root.*--submitit-folder"):
        find_folder(str(folder))


def test_the_folder_above_may_be_a_groups(folder):
    folder.parent.chmod(0o775)
    assert find_folder(str(folder)) == folder


@pytest.mark.parametrize("place", [".", "batches", "snapshots"])
def test_a_folder_of_another_user_is_refused_with_the_remedy(folder, place, monkeypatch):
    uid = os.getuid()
    if uid == 0:
        os.chown(folder / place, 12345, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: uid + 1)
    with pytest.raises(FolderError, match=r"belongs to another user .*--submitit-folder"):
        find_folder(str(folder))


def test_a_link_is_judged_by_what_it_leads_to(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    assert find_folder(str(tmp_path / "link")) == tmp_path / "link"
    folder.chmod(0o777)
    with pytest.raises(FolderError):
        find_folder(str(tmp_path / "link"))


@pytest.mark.parametrize(
    ("setting", "message"),
    [("~nobody_of_this_name/x", "no such home"), ("/scratch/50%", "SLURM would expand")],
)
def test_a_name_that_cannot_be_is_refused(setting, message):
    with pytest.raises(FolderError, match=message):
        find_folder(setting)
