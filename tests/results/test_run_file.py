"""Run files: what goes in comes out, whole or not at all, and only for the cell that asked."""

import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hornlib.errors import ResultsError
from hornlib.results.run_file import read_run_file, samples_seen, write_run_file
from hornlib.results.variables import CURVES, RUN_VARIABLES

NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=64)


@given(data=st.data(), first=st.integers(0, 999), count=st.integers(1, 4), text=st.text(max_size=20))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_written_is_read_back_bit_for_bit(tmp_path, cell, record, data, first, count, text):
    asked = cell(steps=data.draw(st.integers(1, 30)))
    printable = "".join(character for character in text if character.isprintable())
    made = record(asked, range(first, first + count), host=printable)
    for name in made.curves:
        made.curves[name][...] = data.draw(arrays(np.float64, made.curves[name].shape, elements=NUMBERS))
    path = tmp_path / f"{asked.name}.seeds-{first}-{first + count - 1}.nc"
    write_run_file(path, asked, made)
    run = read_run_file(path, asked)
    for name, curve in made.curves.items():
        np.testing.assert_array_equal(run.variables[name], curve)
    assert run.variables["seed"].tolist() == made.seeds
    assert run.variables["step"].tolist() == made.steps.tolist()
    assert list(run.variables["status"]) == made.status
    assert run.specification == asked.specification()
    assert run.attributes == made.attributes


def test_a_run_file_is_plain_netcdf_that_says_what_it_holds(write_run, cell):
    asked = cell()
    with xr.open_dataset(write_run(asked, 0, 2, diverged={1: 10})) as ds:
        assert dict(ds.sizes) == {
            "seed": 3,
            "step": len(asked.training.evaluation_steps(asked.data.num_train)),
        }
        assert ds.status.values.tolist() == ["complete", "diverged", "complete"]
        for name, variable in ds.variables.items():
            assert variable.dims == RUN_VARIABLES[name].dims
            assert variable.attrs["units"] and variable.attrs["long_name"]


def test_samples_count_the_smaller_last_batch_of_an_epoch(cell):
    asked = cell(
        steps=None, epochs=2, batch_size=100
    )  # 1,293 of digits are trained on: 13 batches, the last of 93
    num_train = asked.data.num_train
    expected = np.cumsum([100] * 12 + [num_train - 1200] + [100] * 12 + [num_train - 1200])
    np.testing.assert_array_equal(samples_seen(asked, np.arange(1, 27)), expected)
    assert samples_seen(cell(batch_size=10**6), np.array([3])) == 3 * num_train


def test_truncation_anywhere_is_noticed_and_the_remedy_said(write_run, cell):
    path = write_run(cell(), 0, 4)
    whole = path.read_bytes()
    for length in [0, 1, 100, *range(1000, len(whole) - 600, 2000)]:
        path.write_bytes(whole[:length])
        with pytest.raises(
            ResultsError, match=r"seeds-0-4\.nc: damaged.*Delete it and give the same command again"
        ):
            read_run_file(path)


def test_a_block_of_zeros_among_the_values_is_noticed(write_run, cell, record):
    asked = cell()
    made = record(asked, range(5))
    path = write_run(asked, 0, 4, made)
    whole = bytearray(path.read_bytes())
    place = whole.index(made.curves["test_metric"].tobytes())
    whole[place : place + 64] = bytes(64)
    path.write_bytes(whole)
    with pytest.raises(ResultsError, match="do not have the SHA-256"):
        read_run_file(path)


def test_another_specification_is_refused_with_key_asked_and_stored(write_run, cell):
    path = write_run(cell(learning_rate=1e-3), 0, 4)
    with pytest.raises(ResultsError, match=r"training.learning_rate: asked 0.01, stored 0.001"):
        read_run_file(path, cell(learning_rate=1e-2))


def test_a_renamed_file_is_refused(write_run, cell):
    path = write_run(cell(), 0, 4)
    renamed = path.rename(path.with_name(path.name.replace("0-4", "5-9")))
    with pytest.raises(ResultsError, match=r"seeds \[0, 1, 2, 3, 4\]"):
        read_run_file(renamed)
    with pytest.raises(ResultsError, match="not the name of a run file"):
        read_run_file(renamed.rename(path.with_name("anything.nc")))


def test_a_name_that_is_not_the_jobs_is_refused_before_writing(tmp_path, cell, record):
    with pytest.raises(ResultsError, match=r"is called .*\.seeds-0-1\.nc"):
        write_run_file(tmp_path / "out.nc", cell(), record(cell(), range(2)))
    assert not list(tmp_path.iterdir())


def test_a_record_without_a_curve_or_of_a_wrong_shape_is_refused(write_run, cell, record, tmp_path):
    made = record(cell(), range(2))
    del made.curves["seconds"]
    with pytest.raises(ValueError, match=r"lacks \['seconds'\]"):
        write_run(cell(), 0, 1, made)
    made = record(cell(), range(2))
    made.curves["seconds"] = made.curves["seconds"][:, 1:]
    with pytest.raises(ValueError, match=r"seconds has the shape"):
        write_run(cell(), 0, 1, made)
    assert not list(tmp_path.rglob("*.nc"))


def test_a_full_disk_leaves_the_old_file_and_no_temporary_one(write_run, cell, record):
    path = write_run(cell(), 0, 4)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8192, hard))
    try:
        with pytest.raises(ResultsError, match=r"cannot be written.*Make room"):
            write_run(cell(), 0, 4, record(cell(), range(5), threads=2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_folder_that_cannot_be_made_is_told(cell, record, tmp_path):
    (tmp_path / "runs").write_text("in the way")
    with pytest.raises(ResultsError, match="cannot be written"):
        write_run_file(tmp_path / "runs" / f"{cell().name}.seeds-0-0.nc", cell(), record(cell(), range(1)))


def test_fifty_evaluations_of_five_seeds_take_less_than_60_kilobytes(write_run, cell):
    asked = cell(steps=9000)
    path = write_run(asked, 0, 4)
    assert len(asked.training.evaluation_steps(asked.data.num_train)) >= 44
    assert os.path.getsize(path) < 60_000


def loaded_by(*modules):
    """Return which of the heavy packages importing these modules loads, in a fresh process."""
    code = (
        f"import sys, {', '.join(modules)}; print(*({{'torch', 'xarray', 'matplotlib'}} & set(sys.modules)))"
    )
    return set(
        subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        ).stdout.split()
    )


def test_a_trainer_that_writes_run_files_needs_no_xarray_and_nothing_here_loads_torch():
    assert not loaded_by("hornlib.results.run_file", "hornlib.results.gather", "hornlib.results.migrate")
    assert loaded_by(
        "hornlib.results.opening", "hornlib.results.target_times", "hornlib.report.learning_curves"
    ) == {"xarray"}


def test_optional_curves_may_be_given(write_run, cell, record):
    made = record(cell(), range(2))
    made.curves["depth"] = np.full_like(made.curves["seconds"], 3.0)
    assert (read_run_file(write_run(cell(), 0, 1, made)).variables["depth"] == 3).all()
    assert CURVES["depth"].optional
