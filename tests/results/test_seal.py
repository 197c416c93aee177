"""Seals: HDF5 is given no byte of a damaged file, every program reads a sealed one, and earlier files can be sealed."""

import os
import subprocess
import sys

import netCDF4
import numpy as np
import pytest
import xarray as xr

from hornlib.errors import ResultsError
from hornlib.results import open_results
from hornlib.results.analysis_files import EXPERIMENT_FILE, STATISTICS_FILE
from hornlib.results.declaration import Variable
from hornlib.results.file_kind import RUN_FILE, FileKind
from hornlib.results.gather import gather
from hornlib.results.netcdf import (
    check_unsealed,
    digest,
    load_dataset,
    load_groups,
    read_arrays,
    write_arrays,
    write_dataset,
    write_groups,
)
from hornlib.results.run_file import read_run_file
from hornlib.results.seal import fault_of, seal
from hornlib.results.sealing import seal_files

KIND = FileKind("test file", 1, "Write it anew")

LENGTH = len(b"\nhornlib sha256 \n") + 64


def write_example(path):
    write_arrays(path, {"x": np.arange(9.0)}, {"x": Variable(("n",), "1", "x")}, {"schema_version": 1})
    return path


def test_run_files_have_the_checksum_without_which_hornlib_0_2_calls_them_damaged(cell, write_run):
    path = write_run(cell(), 0, 1)
    with netCDF4.Dataset(path) as file:
        stored_digest = file.digest
    assert stored_digest == digest(read_run_file(path).variables)
    path.write_bytes(path.read_bytes()[:-LENGTH])
    check_unsealed(path)
    with netCDF4.Dataset(path, "a") as file:
        file["lanes"][0] = 77
    with pytest.raises(ResultsError, match="do not have the checksum"):
        check_unsealed(path)


def unseal(path):
    """Make a file what an earlier hornlib wrote: without a seal, with a checksum of its values."""
    path.write_bytes(path.read_bytes()[:-LENGTH])
    with netCDF4.Dataset(path, "a") as file:
        file.digest = digest({name: variable[...] for name, variable in file.variables.items()})
    return path


@pytest.fixture
def readers(grid, cell, write_run, tmp_path):
    """One file of each writer, with its reader."""
    run = write_run(cell(), 0, 1)
    gather(grid({"s": ({"toy": [cell()]}, range(2))}))
    ds = xr.Dataset({"x": ("n", [1.0, 2.0])})
    write_dataset(tmp_path / "one.nc", EXPERIMENT_FILE, ds)
    write_groups(tmp_path / "many.nc", STATISTICS_FILE, {}, [("a", ds)])
    return {
        run: read_run_file,
        tmp_path / "results.nc": open_results,
        tmp_path / "one.nc": lambda path: load_dataset(path, EXPERIMENT_FILE),
        tmp_path / "many.nc": lambda path: load_groups(path, STATISTICS_FILE),
        write_example(tmp_path / "arrays.nc"): lambda path: read_arrays(path, KIND),
    }


def test_a_changed_bit_is_refused_before_hdf5_sees_a_byte(readers, monkeypatch):
    def entered(*arguments, **options):
        raise AssertionError("HDF5 was given a damaged file")

    random = np.random.default_rng(0)
    monkeypatch.setattr("netCDF4.Dataset", entered)
    for path, read in readers.items():
        whole = path.read_bytes()
        places = [
            *range(0, 512, 7),
            *random.integers(len(whole), size=200),
            *range(len(whole) - LENGTH, len(whole)),
        ]
        for place in places:
            content = bytearray(whole)
            content[place] ^= 1 << int(random.integers(8))
            path.write_bytes(content)
            with pytest.raises(ResultsError, match=f"{path.name}: damaged"):
                read(path)


def test_every_writer_seals_and_plain_xarray_and_netcdf4_read_the_files(readers):
    for path, read in readers.items():
        read(path)
        with xr.open_dataset(path) as ds, netCDF4.Dataset(path) as file:
            assert xr.load_dataset(path).identical(ds.load())
            assert set(file.variables) == set(ds.variables)


def test_results_that_xarray_wrote_again_are_refused_with_what_to_do(readers, tmp_path):
    path = tmp_path / "results.nc"
    xr.load_dataset(path).to_netcdf(path)
    with pytest.raises(ResultsError, match=r"another program: .*`hornlib seal .*`hornlib gather`"):
        open_results(path)
    assert seal_files([path], report=lambda line: None) == []
    assert "cell" in open_results(path).dims


def test_a_fault_names_file_and_remedy_and_is_gone_once_the_file_is_whole(cell, write_run):
    path = write_run(cell(), 0, 1)
    whole = path.read_bytes()
    assert fault_of(path, RUN_FILE) == ""
    path.write_bytes(whole[:-1])
    assert fault_of(path, RUN_FILE).startswith(f"{path}: damaged, or a run file of an earlier hornlib")
    assert "Delete it and give the same command again" in fault_of(path, RUN_FILE)
    path.write_bytes(whole)
    assert fault_of(path, RUN_FILE) == ""
    path.unlink()
    assert fault_of(path, RUN_FILE) == ""


def test_a_fault_is_looked_for_once_as_long_as_a_file_does_not_change(cell, write_run, monkeypatch):
    path = write_run(cell(), 0, 1)
    fault_of(path, RUN_FILE)
    monkeypatch.setattr("hornlib.results.seal.read_sealed", None)
    assert fault_of(path, RUN_FILE) == ""
    os.utime(path, ns=(1, 1))
    with pytest.raises(TypeError):
        fault_of(path, RUN_FILE)


def test_files_of_an_earlier_hornlib_are_sealed_and_damaged_ones_are_refused_unchanged(tmp_path):
    names = ("earlier", "sealed", "cut", "changed", "flipped")
    earlier, sealed, cut, changed, flipped = (write_example(tmp_path / f"{name}.nc") for name in names)
    for path in (earlier, cut, changed):
        unseal(path)
    cut.write_bytes(cut.read_bytes()[:3000])
    with netCDF4.Dataset(changed, "a") as file:
        file["x"][0] = 7.0
    flipped.write_bytes(flipped.read_bytes()[:-10] + b"0" * 9 + b"\n")
    before = {path: path.read_bytes() for path in (sealed, cut, changed, flipped)}
    lines = []
    missing = tmp_path / "missing.nc"
    assert seal_files([earlier, sealed, missing, cut, changed, flipped], lines.append) == [
        missing,
        cut,
        changed,
        flipped,
    ]
    assert read_arrays(earlier, KIND).variables["x"].tolist() == list(range(9))
    assert {path: path.read_bytes() for path in before} == before
    assert lines[0] == f"sealed: {earlier}"
    for path, line in zip((missing, cut, changed, flipped), lines[1:-1], strict=True):
        assert line.startswith(f"refused: {path}: ")
    assert lines[-1] == "1 file(s) sealed, 1 were sealed already, 4 refused"


def test_a_file_that_is_not_read_to_its_end_in_time_is_refused_and_the_next_one_is_read(
    tmp_path, monkeypatch
):
    path = unseal(write_example(tmp_path / "example.nc"))
    monkeypatch.setattr("hornlib.results.sealing.BYTES_A_SECOND", 1e12)
    lines = []
    assert seal_files([path], lines.append, seconds=0.0) == [path]
    assert "did not read it to its end" in lines[0]
    assert seal_files([path], lines.append) == []


def test_the_command_seals_and_ends_with_an_error_where_a_file_is_refused(tmp_path):
    earlier, other = unseal(write_example(tmp_path / "example.nc")), tmp_path / "other.nc"
    other.write_text("no netCDF")
    command = [sys.executable, "-m", "hornlib.cli", "seal", str(earlier), str(other)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answer.returncode == 1 and "1 file refused" in answer.stderr
    assert (
        f"sealed: {earlier}" in answer.stdout and f"refused: {other}: damaged, or no netCDF" in answer.stdout
    )
    assert fault_of(earlier, KIND) == ""


def test_a_seal_is_what_sha256sum_says_of_the_bytes_before_it(tmp_path):
    path = tmp_path / "plain"
    path.write_bytes(b"abc")
    seal(path)
    expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert path.read_bytes() == f"abc\nhornlib sha256 {expected}\n".encode()
