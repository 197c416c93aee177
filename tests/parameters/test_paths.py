"""Paths of the configuration: one spelling of a folder, variables expanded or refused, in every path setting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornlib.config.settings import Settings
from hornlib.data.parameters import DataParameters
from hornlib.errors import ConfigError
from hornlib.parameters.paths import expanded

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


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("$NOT_SET/ck", "the environment variable NOT_SET is not set"),
        ("a/${NOT_SET}", "the environment variable NOT_SET is not set"),
        ("$EMPTY/ck", "the environment variable EMPTY is not set"),
        ("~nobody_of_this_name/ck", "there is no user 'nobody_of_this_name'"),
        ("$", "none of"),
        ("a$5", "none of"),
        ("${a", "none of"),
        ("a{b}", "none of"),
        ("*.nc", "none of"),
        ("-rf", "no - or space in front"),
        (" a", "no - or space in front"),
        ("a\tb", "no control characters"),
        ("$DOLLAR/x", "none of"),
    ],
)
@pytest.mark.parametrize("key", ["results", "checkpoints", "root"])
def test_a_path_that_cannot_be_meant_is_refused_with_line_and_key(
    grid_from, tmp_path, monkeypatch, path, reason, key
):
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("DOLLAR", "a$b")
    monkeypatch.delenv("NOT_SET", raising=False)
    quoted = "'" + path + "'" if "\t" not in path else '"a\\tb"'
    text = f"{key}: {quoted}\n" + SWEEP % "data" if key != "root" else "seeds: 1\n" + SWEEP % quoted
    with pytest.raises(ConfigError) as caught:
        grid_from(text)
    place = "1: " + key if key != "root" else "2: sweeps.a.data.root"
    assert str(caught.value).startswith(f"{tmp_path / 'config.yaml'}:{place}: got ") and reason in str(
        caught.value
    )


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
