"""One writer and one reader of netCDF files: round trips, refusals, no crash when opened twice, no file locks."""

import ast
import contextlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import hornlib
from hornlib.errors import ResultsError
from hornlib.results import netcdf, open_results
from hornlib.results.analysis_files import EXPERIMENT_FILE, STABILITY_FILE, STATISTICS_FILE
from hornlib.results.calibration_file import CALIBRATION_FILE
from hornlib.results.declaration import Variable
from hornlib.results.dynamics_file import DYNAMICS_FILE
from hornlib.results.file_kind import RUN_FILE, TUNING_FILE, FileKind
from hornlib.results.gather import gather
from hornlib.results.netcdf import (
    copy_with_attributes,
    digest,
    load_dataset,
    load_groups,
    read_arrays,
    write_arrays,
    write_dataset,
    write_groups,
)
from hornlib.results.results_file import RESULTS_FILE
from hornlib.results.seal import seal

KIND = FileKind("test file", 3, "Write it anew", missing="The test writes it", outdated="Convert it")

DECLARED = {
    "word": Variable(("place",), "1", "a word"),
    "number": Variable(("place", "time"), "s", "a number", attributes={"estimator": "none"}),
    "flag": Variable(("place",), "1", "a flag"),
}

WORDS = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), max_size=12)


def example(words=("one", "", "drei")):
    return {
        "word": np.array(words, object),
        "number": np.arange(2.0 * len(words)).reshape(len(words), 2),
        "flag": np.ones(len(words), bool),
    }


def write_example(path, version=KIND.schema_version, **attributes):
    write_arrays(path, example(), DECLARED, {"schema_version": version, **attributes})
    return path


@given(words=st.lists(WORDS, max_size=4))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arrays_come_back_as_they_were_written(tmp_path, words):
    path = tmp_path / "arrays.nc"
    arrays = example(words)
    write_arrays(path, arrays, DECLARED, {"schema_version": 3, "host": "Zoë"})
    stored = read_arrays(path, KIND)
    assert stored.attributes == {"schema_version": 3, "host": "Zoë"}
    for name, values in arrays.items():
        assert stored.variables[name].tolist() == values.tolist()
    ds = load_dataset(path, KIND)
    assert ds["word"].values.tolist() == list(words) and ds["flag"].dtype == bool
    assert ds["number"].attrs == {"units": "s", "long_name": "a number", "estimator": "none"}


def test_datasets_and_groups_come_back_as_they_were_written(tmp_path):
    ds = xr.Dataset({"x": ("cell", [1.0, np.nan])}, {"cell": ["ä", "b"]}, {"note": "n"})
    write_dataset(tmp_path / "one.nc", KIND, ds)
    write_groups(tmp_path / "many.nc", KIND, {"title": "t"}, [("a", ds), ("b", ds.isel(cell=[1]))])
    one = load_dataset(tmp_path / "one.nc", KIND)
    groups = load_groups(tmp_path / "many.nc", KIND)
    assert one.attrs["note"] == "n" and one.attrs["schema_version"] == 3 and one.attrs["hornlib_version"]
    xr.testing.assert_equal(one, ds)
    assert list(groups) == ["a", "b"] and load_dataset(tmp_path / "many.nc", KIND).attrs["title"] == "t"
    xr.testing.assert_equal(groups["b"], ds.isel(cell=[1]))
    with pytest.raises(ResultsError, match=r"no group 'c'; it has: a, b"):
        load_dataset(tmp_path / "many.nc", KIND, "c")


def readers(path, kind):
    yield lambda: read_arrays(path, kind)
    yield lambda: load_dataset(path, kind)
    yield lambda: load_groups(path, kind)


@pytest.mark.parametrize(
    ("version", "message"),
    [(2, "version 2, this hornlib reads 3. Convert it"), (4, "version 4.*Use the hornlib that wrote it")],
)
def test_every_reader_refuses_another_schema_version_with_the_remedy(tmp_path, version, message):
    path = write_example(tmp_path / "example.nc", version)
    for read in readers(path, KIND):
        with pytest.raises(ResultsError, match=message):
            read()


def test_every_reader_refuses_missing_truncated_and_foreign_files_with_the_remedy(tmp_path):
    path = tmp_path / "example.nc"
    for read in readers(path, KIND):
        with pytest.raises(ResultsError, match=r"example\.nc: there is no such file. The test writes it"):
            read()
    whole = write_example(path).read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        for read in readers(path, KIND):
            with pytest.raises(ResultsError, match=r"damaged, or a test file.*`hornlib seal .*Write it anew"):
                read()
    path.write_text("no netCDF at all")
    for read in readers(path, KIND):
        with pytest.raises(ResultsError, match="damaged, or a test file of an earlier hornlib"):
            read()
    with netCDF4.Dataset(path, "w") as file:
        file.title = "of another program"
    for read in readers(path, KIND):
        with pytest.raises(ResultsError, match=f"of another program: .*`hornlib seal {path}`"):
            read()
    seal(path)
    for read in readers(path, KIND):
        with pytest.raises(ResultsError, match="no test file"):
            read()


def test_a_file_that_another_program_changed_is_refused_and_says_how_to_trust_it(tmp_path):
    path = write_example(tmp_path / "example.nc")
    with netCDF4.Dataset(path, "a") as file:
        file["number"][0, 0] = 7.0
    for read in readers(path, KIND):
        with pytest.raises(ResultsError, match=r"of another program: .*`hornlib seal"):
            read()


def test_a_copy_has_other_attributes_the_same_arrays_and_a_seal(tmp_path):
    path, copy = write_example(tmp_path / "example.nc", cell="a"), tmp_path / "copy.nc"
    copy_with_attributes(path, copy, KIND, {"cell": "b" * 10_000})
    stored, copied = read_arrays(path, KIND), read_arrays(copy, KIND)
    assert stored.attributes["cell"] == "a" and copied.attributes["cell"] == "b" * 10_000
    assert digest(copied.variables) == digest(stored.variables)


KINDS = {
    kind.name: kind
    for kind in (
        RUN_FILE,
        RESULTS_FILE,
        TUNING_FILE,
        CALIBRATION_FILE,
        DYNAMICS_FILE,
        STATISTICS_FILE,
        STABILITY_FILE,
        EXPERIMENT_FILE,
    )
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_no_kind_of_file_is_read_with_another_schema_version(tmp_path, kind):
    sizes = np.zeros(1)
    arrays = dict.fromkeys([*kind.essential, "other"], sizes)
    declared = {name: Variable(("one",), "1", name) for name in arrays}
    path = tmp_path / "some.nc"
    write_arrays(path, arrays, declared, {"schema_version": kind.schema_version + 1})
    for read in readers(path, kind):
        with pytest.raises(ResultsError, match=f"schema version {kind.schema_version + 1}"):
            read()


def test_files_with_variable_length_strings_of_earlier_versions_are_still_read(tmp_path):
    path = tmp_path / "old.nc"
    words = np.array(["ä", "", "c"], object)
    with netCDF4.Dataset(path, "w") as file:
        file.createDimension("place", 3)
        file.createVariable("word", str, ("place",))[:] = words
        file.setncatts({"schema_version": 3, "digest": digest({"word": words})})
    seal(path)
    assert read_arrays(path, KIND).variables["word"].tolist() == words.tolist()
    assert load_dataset(path, KIND)["word"].values.tolist() == words.tolist()


REOPEN = """
import sys
import netCDF4, xarray as xr
from hornlib.results import open_results
for path in sys.argv[1:]:
    for _ in range(60):
        file = netCDF4.Dataset(path)  # a cell of a notebook that is run again: nothing is closed
    for _ in range(60):
        ds = xr.open_dataset(path)
for number in range(20):
    part = f"{sys.argv[1]}.{number}.nc"
    open_results(sys.argv[1]).query(cell="model == 'toy'").to_netcdf(part)
    again = xr.open_dataset(part)
    ds = xr.open_dataset(sys.argv[1])
print("survived")
"""


def subprocess_of(code, *arguments, **environment):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def test_files_that_are_opened_again_while_open_kill_no_process(grid, cell, write_run, tmp_path):
    run = write_run(cell(), 0, 1)
    gather(grid({"s": ({"toy": [cell()]}, range(2))}))
    ds = xr.Dataset({"x": ("cell", ["a", "b"])}, {"cell": ["ä", "b"]})
    write_groups(tmp_path / "groups.nc", STABILITY_FILE, {}, [("cells", ds)])
    write_dataset(tmp_path / "one.nc", EXPERIMENT_FILE, ds)
    paths = [tmp_path / "results.nc", run, tmp_path / "groups.nc", tmp_path / "one.nc"]
    answer = subprocess_of(REOPEN, *paths)
    assert (answer.returncode, answer.stdout) == (0, "survived\n"), answer.stderr


def test_open_results_leaves_no_file_open(grid, cell, write_run, tmp_path):
    write_run(cell(), 0, 1)
    gather(grid({"s": ({"toy": [cell()]}, range(2))}))
    ds = open_results(tmp_path / "results.nc", sweep="s")
    for number in map(int, os.listdir("/dev/fd")):
        with contextlib.suppress(OSError):  # the descriptor of this listing is closed
            assert not os.path.samestat(os.fstat(number), os.stat(tmp_path / "results.nc"))
    assert all(variable._in_memory for variable in ds.variables.values())


FLOCK = """
#include <errno.h>
#include <stdlib.h>
int flock(int fd, int operation) { errno = atoi(getenv("FLOCK_ERRNO")); return -1; }
"""

WITHOUT_LOCKS = """
import sys
from pathlib import Path
import numpy as np
from hornlib.results.declaration import Variable
from hornlib.results.file_kind import FileKind
from hornlib.results.netcdf import copy_with_attributes, load_groups, read_arrays, write_arrays, write_groups
folder, kind = Path(sys.argv[1]), FileKind("test file", 1, "")
arrays = {"word": np.array(["a", "b"])}
write_arrays(folder / "a.nc", arrays, {"word": Variable(("x",), "1", "")}, {"schema_version": 1})
copy_with_attributes(folder / "a.nc", folder / "copy.nc", kind, {"title": "t"})
assert read_arrays(folder / "copy.nc", kind).attributes["title"] == "t"
import xarray as xr
write_groups(folder / "b.nc", kind, {}, [(name, xr.Dataset({"x": ("y", [1.0])})) for name in "ab"])
assert list(load_groups(folder / "b.nc", kind)) == ["a", "b"]
print(xr.open_dataset(folder / "a.nc")["word"].values.tolist())
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="the stand-in for flock needs a compiler")
@pytest.mark.parametrize("number", [524, 22, 37, 38, 95, 5])
@pytest.mark.parametrize("wish", ["", "BEST_EFFORT"])
def test_files_are_written_and_read_on_a_file_system_without_locks(tmp_path, number, wish):
    source, library = tmp_path / "flock.c", tmp_path / "flock.so"
    source.write_text(FLOCK)
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source], check=True)
    environment = {"LD_PRELOAD": str(library), "FLOCK_ERRNO": str(number)}
    answer = subprocess_of(WITHOUT_LOCKS, tmp_path, **environment, HDF5_USE_FILE_LOCKING=wish)
    assert (answer.returncode, answer.stdout) == (0, "['a', 'b']\n"), answer.stderr


def test_one_module_imports_netcdf4_so_that_locks_are_off_before_hdf5_starts():
    importers = {
        path
        for path in Path(hornlib.__file__).parent.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Import) and "netCDF4" in {name.name for name in node.names})
        and not is_for_types(path, node)
    }
    assert importers == {Path(netcdf.__file__)}


def is_for_types(path, node):
    """Return whether an import stands under TYPE_CHECKING."""
    blocks = [block for block in ast.walk(ast.parse(path.read_text())) if isinstance(block, ast.If)]
    return any("TYPE_CHECKING" in ast.dump(block.test) and node.lineno in lines(block) for block in blocks)


def lines(block):
    return range(block.lineno, block.end_lineno + 1)


def test_the_specification_of_a_run_file_is_refused_when_it_is_no_json(write_run, cell):
    from hornlib.results.run_file import read_run_file

    path = write_run(cell(), 0, 0)
    with netCDF4.Dataset(path, "a") as file:
        file.specification = json.dumps({})[:1]
    seal(path)
    with pytest.raises(ResultsError, match="its specification cannot be read"):
        read_run_file(path)
