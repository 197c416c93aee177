"""The copies of a configuration that a workflow reads after its start."""

import os
from pathlib import Path

import pytest

from hornlib.config.copies import COPIES_VARIABLE, edited_files
from hornlib.errors import ConfigError
from hornlib.grid import read_grid
from hornlib.results import configuration_copies
from hornlib.results.configuration_copies import MOST_COPIES, read_grid_for_workflow

CONFIG = (
    "results: {results}\nseeds: {seeds}\nsweeps: {{a: {{data: {{name: digits}}, model: {{name: cnn}}}}}}\n"
)


@pytest.fixture
def configure(tmp_path, config_file):
    return lambda seeds: config_file(CONFIG.format(results=tmp_path / "results", seeds=seeds))


@pytest.fixture
def started(configure, monkeypatch):
    """A workflow that has started with three seeds; return its configuration file and its copies."""
    file = configure(3)
    _, copies = read_grid_for_workflow([file])
    copies.write()
    monkeypatch.setenv(COPIES_VARIABLE, copies.variable())
    return file, copies


def the_copy(copies):
    (path,) = copies.folder.iterdir()
    return path


def test_reading_for_a_workflow_writes_nothing(configure, tmp_path):
    grid, _ = read_grid_for_workflow([configure(3)])
    assert grid.sweeps["a"].seeds == (0, 1, 2)
    assert not (tmp_path / "results").exists()


def test_after_an_edit_the_copy_is_read_under_the_name_of_the_file(started, configure, monkeypatch):
    file, _ = started
    assert edited_files() == []
    configure(5)
    grid = read_grid([file])
    assert grid.sweeps["a"].seeds == (0, 1, 2) and grid.files == (file,)
    assert edited_files() == [str(file)]
    monkeypatch.delenv(COPIES_VARIABLE)
    assert len(read_grid([file]).sweeps["a"].seeds) == 5


def test_a_file_that_is_gone_counts_as_edited_and_its_copy_is_read(started):
    file, _ = started
    file.unlink()
    assert len(read_grid([file]).sweeps["a"].seeds) == 3
    assert edited_files() == [str(file)]


def test_another_configuration_is_read_from_its_own_file(started, config_file):
    other = config_file("sweeps: {b: {data: {name: digits}, model: {name: cnn}}}", "other.yaml")
    assert list(read_grid([other]).sweeps) == ["b"]


def test_a_workflow_inside_a_workflow_has_the_same_copies(started, configure):
    file, copies = started
    configure(5)
    assert read_grid_for_workflow([file])[1] == copies


@pytest.mark.parametrize(
    "damage", [Path.unlink, lambda copy: copy.write_bytes(copy.read_bytes()[:-9] + b"#")]
)
def test_a_missing_or_damaged_copy_is_refused_by_its_name_and_made_again(started, damage):
    file, copies = started
    copy = the_copy(copies)
    damage(copy)
    with pytest.raises(
        ConfigError, match=f"{copy}: this copy of {file}.*missing or damaged; give the same command"
    ):
        read_grid([file])
    copies.write()
    assert len(read_grid([file]).sweeps["a"].seeds) == 3


def test_a_copy_that_exists_is_not_written_again(started):
    _, copies = started
    before = the_copy(copies).stat()
    copies.write()
    after = the_copy(copies).stat()  # whose time of access a reading may have changed
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_old_copies_are_removed_and_those_in_use_stay(configure):
    files = []
    for seeds in range(1, MOST_COPIES + 3):
        _, copies = read_grid_for_workflow([configure(seeds)])
        copies.write()
        (new,) = set(copies.folder.iterdir()) - set(files)
        files.append(new)
        os.utime(new, (seeds, seeds))  # seconds since 1970: each copy is newer than the one before
    _, first = read_grid_for_workflow([configure(1)])
    first.remove_old()
    assert set(first.folder.iterdir()) == {files[0], *files[-MOST_COPIES + 1 :]}


def test_an_edit_while_the_configuration_is_read_is_refused(configure, monkeypatch):
    file = configure(3)

    def edited_meanwhile(files):
        grid = read_grid(files)
        configure(5)
        return grid

    monkeypatch.setattr(configuration_copies, "read_grid", edited_meanwhile)
    with pytest.raises(ConfigError, match="edited while it was read"):
        read_grid_for_workflow([file])
