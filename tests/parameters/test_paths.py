"""Paths of the configuration: one spelling of a folder, variables expanded or refused, in every path setting."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornlib.cli.jobs import data as data_command
from hornlib.cli.overrides import parse_assignment, write_overridden
from hornlib.config.settings import Settings
from hornlib.data.parameters import DataParameters
from hornlib.errors import ConfigError
from hornlib.grid import read_grid
from hornlib.parameters.paths import expanded, given_path

SWEEP = "sweeps: {a: {data: {name: digits, root: %s}, model: {name: cnn}}}\n"


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("results", "results"),
        ("results/", "results"),
        ("./results", "results"),
        ("./results//tiny/./", "results/tiny"),
        ("/scratch/ck/", "/scratch/ck"),
        ("//scratch/ck", "/scratch/ck"),
        ("../results/", "../results"),
        ("a/../b", "a/../b"),  # `a` may be a symbolic link
        ("with space", "with space"),
        ("$SCRATCH/ck", "/fast/ck"),
        ("${SCRATCH}/ck/", "/fast/ck"),
        ("${SCRATCH}2", "/fast2"),
        ("./$NAME", "one"),
        ("~/ck", "/home/ada/ck"),
        ("~", "/home/ada"),
        ("$WITH_TILDE/ck", "/home/ada/disk/ck"),
        ("a~b", "a~b"),
    ],
)
def test_a_folder_has_one_spelling_in_every_path_setting(monkeypatch, path, folder):
    for name, value in {
        "SCRATCH": "/fast/",
        "NAME": "one",
        "HOME": "/home/ada",
        "WITH_TILDE": "~/disk",
    }.items():
        monkeypatch.setenv(name, value.rstrip("/"))
    assert expanded(path) == folder
    settings = Settings(results=path, checkpoints=path)
    assert (settings.results, settings.checkpoints) == (folder, folder)
    assert DataParameters(name="digits", root=path).root == folder


REFUSED = [
    ("$NOT_SET/ck", "the environment variable NOT_SET is not set"),
    ("a/${NOT_SET}", "the environment variable NOT_SET is not set"),
    ("$EMPTY/ck", "the environment variable EMPTY is not set"),
    ("~nobody_of_this_name/ck", "there is no user 'nobody_of_this_name'"),
    ("a<b>", "none of"),
    ("a>b", "none of"),
    ("%j", "none of"),
    ("a'b", "none of"),
    ("a\\b", "none of"),
    ("a?", "none of"),
    ("$(touch pwned)", "none of"),
    ("$", "none of"),
    ("a$5", "none of"),
    ("${a", "none of"),
    ("a{b}", "none of"),
    ("*.nc", "none of"),
    ("a/" + "é" * 128, "at most 255 bytes between slashes"),
    ("a/" * 1501 + "b", "and 3,000 in all"),
    ("-rf", "no - or space in front"),
    ("./-rf", "no - or space in front"),
    (" a", "no - or space in front"),
    ("a\tb", "no control characters"),
    ("a\nb", "no control characters"),
    ("a\0b", "no control characters"),
    ("a\x7fb", "no control characters"),
    ("a\u202eb", "no control characters"),
    ("$DOLLAR/x", "none of"),
]
PLACES = ["results", "checkpoints", "root", "--set", "HORNLIB_DATA", "--root"]


@pytest.mark.parametrize(
    ("path", "reason", "place"),
    [
        pytest.param(path, reason, place, id=f"{path[:20]}-{place}")
        for (path, reason), place in itertools.product(REFUSED, PLACES)
        if not ("\0" in path and place == "HORNLIB_DATA")  # no environment variable can hold it
    ],
)
def test_a_path_that_cannot_be_meant_is_refused_with_its_place(
    config_file, tmp_path, monkeypatch, path, reason, place
):
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("DOLLAR", "a$b")
    monkeypatch.delenv("NOT_SET", raising=False)
    quoted = json.dumps(path)  # which is YAML, too
    root = {"root": f", root: {quoted}", "HORNLIB_DATA": ""}.get(place, ", root: data")
    setting = f"{place}: {quoted}\n" if place in ("results", "checkpoints") else "seeds: 1\n"
    file = config_file(f"{setting}sweeps: {{a: {{data: {{name: mnist{root}}}, model: {{name: cnn}}}}}}\n")
    beginning = {
        "results": f"{file}:1: results: got ",
        "checkpoints": f"{file}:1: checkpoints: got ",
        "root": f"{file}:2: sweeps.a.data.root: got ",
        "--set": "--set results: got ",
        "HORNLIB_DATA": "HORNLIB_DATA: got ",
        "--root": "--root: got ",
    }[place]
    if place == "HORNLIB_DATA":
        monkeypatch.setenv("HORNLIB_DATA", path)
    with pytest.raises(ConfigError) as caught:
        if place == "--root":
            data_command("mnist", Path(path))
        elif place == "--set":
            write_overridden([file], [parse_assignment(f"results={quoted}")])
        else:
            read_grid([file])
    assert str(caught.value).startswith(beginning) and reason in str(caught.value)


@pytest.mark.parametrize("path", [".", "./", ".//."])
def test_results_need_a_folder_of_their_own(grid_from, path):
    with pytest.raises(ConfigError, match=r":1: results: .*a folder of their own"):
        grid_from(f"results: {path}\n" + SWEEP % "data")


@given(st.text("abc./~ ", min_size=1, max_size=12))
def test_an_expanded_path_is_expanded_to_itself(text):
    try:
        path = expanded(text)
    except ValueError:
        return
    assert expanded(path) == path
    assert path == "/" or not path.endswith("/")


def test_the_files_of_a_sweep_do_not_depend_on_how_its_folder_is_spelled(grid_from):
    grids = [grid_from(f"results: {path}\n" + SWEEP % "data") for path in ("out", "out/", "./out")]
    paths = {str(grid.run_path(job)) for grid in grids for job in grid.jobs({})}
    assert len(paths) == 1 and paths.pop().startswith("out/runs/")
    assert {grid.settings.results for grid in grids} == {"out"}


@pytest.fixture
def unknown_user(monkeypatch):
    """A user without HOME whom the user database does not know, as in a container."""

    def unknown(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)


@pytest.mark.usefixtures("unknown_user")
def test_a_home_folder_that_is_not_there_is_an_error_that_names_the_path(monkeypatch):
    reason = "this user has no home folder for `~`"
    with pytest.raises(ValueError, match=reason):
        expanded("~/results")
    monkeypatch.setenv("HORNLIB_DATA", "~/data")
    with pytest.raises(ConfigError, match=f"HORNLIB_DATA: got '~/data'; {reason}"):
        DataParameters(name="digits").root_path()
    with pytest.raises(ConfigError, match=r"--root: .*there is no user 'nobody_of_this_name'"):
        given_path("~nobody_of_this_name/data", "--root")
