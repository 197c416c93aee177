"""Atomic files: the whole file or the old one, and only an error of the writing is reported as one."""

import resource
import signal

import numpy as np
import pytest
import xarray as xr

from hornlib.errors import ResultsError
from hornlib.results.atomic import written_atomically
from hornlib.results.declaration import Variable
from hornlib.results.file_kind import FileKind
from hornlib.results.netcdf import new_file, write_arrays, write_dataset, write_groups

KIND = FileKind("example", 1, "Make it anew.")


@pytest.fixture
def full_disk():
    """A limit on the size of files: whatever is written beyond it fails, as on a full disk."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


def write_plain(path):
    with written_atomically(path) as temporary:
        temporary.write_bytes(bytes(10_000))


def write_netcdf(path):
    values = {"x": np.arange(100_000.0)}
    write_arrays(path, values, {"x": Variable(("n",), "1", "x")}, {"schema_version": 1})


def write_one(path):
    write_dataset(path, KIND, xr.Dataset({"x": ("n", np.random.default_rng(0).random(100_000))}))


def write_many(path):
    write_groups(path, KIND, {}, [("a", xr.Dataset({"x": ("n", np.random.default_rng(0).random(100_000))}))])


@pytest.mark.usefixtures("full_disk")
@pytest.mark.parametrize("write", [write_plain, write_netcdf, write_one, write_many])
def test_a_full_disk_is_named_and_leaves_the_old_file(tmp_path, write):
    path = tmp_path / "file.nc"
    path.write_text("old")
    with pytest.raises(ResultsError, match=r"file\.nc: cannot be written .* Is the disk full"):
        write(path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [RuntimeError, ValueError])
def test_an_error_of_other_code_in_the_block_is_no_full_disk(tmp_path, error):
    with pytest.raises(error, match="boom"), written_atomically(tmp_path / "file.nc") as temporary:
        temporary.write_text("half")
        raise error("boom")
    with pytest.raises(error, match="boom"), new_file(tmp_path / "file.nc") as file:
        file.setncatts({"title": "t"})
        raise error("boom")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [RuntimeError, OSError])
def test_an_error_in_the_statistics_is_no_full_disk(tmp_path, error):
    def groups():
        yield "a", xr.Dataset({"x": ("n", [1.0])})
        raise error("boom in the statistics")

    with pytest.raises(error, match=r"^boom in the statistics$"):
        write_groups(tmp_path / "file.nc", KIND, {}, groups())
    assert list(tmp_path.iterdir()) == []
