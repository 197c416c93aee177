"""statistics.nc: a round trip, and files that are damaged, foreign or absent."""

import netCDF4
import numpy as np
import pytest
import xarray as xr

from hornlib.errors import ResultsError
from hornlib.results.file_kind import SCHEMA_VERSION
from hornlib.results.seal import seal
from hornlib.statistics.summary import summarise
from hornlib.statistics.write import open_statistics, statistics_sweeps, write_statistics


@pytest.fixture(scope="module")
def written(results, settings, lognormal, tmp_path_factory):
    """A results file of two sweeps, and the statistics made of it."""
    folder = tmp_path_factory.mktemp("results")
    times = {"horn_cnn": lognormal(60, seed=1), "cnn": lognormal(120, seed=2), "mlp": lognormal(90, seed=3)}
    ds = results(times).rename(arm="arm_small").assign_attrs(schema_version=SCHEMA_VERSION)
    seeds = {"seeds": np.arange(10)}
    ds = ds.assign_coords(
        in_small=("cell", [True, True, False], seeds),
        in_pair=("cell", [False, True, True], seeds),
        arm_pair=("cell", ["", "cnn", "mlp"]),
    )
    ds.to_netcdf(folder / "results.nc")
    seal(folder / "results.nc")
    answers = write_statistics(
        folder / "results.nc",
        folder / "statistics.nc",
        {"small": settings(), "pair": settings(subject="mlp")},
    )
    return folder / "statistics.nc", answers


def test_what_is_written_is_what_the_summary_says(written, settings):
    from hornlib import open_results

    path, answers = written
    assert statistics_sweeps(path) == ["small", "pair"]
    expected = summarise(open_results(path.with_name("results.nc"), sweep="small"), settings())
    found = open_statistics(path, "small")
    xr.testing.assert_allclose(found, expected)
    assert found.attrs["answer"] == answers["small"] == expected.attrs["answer"]
    assert "Does mlp learn faster?" in answers["pair"]
    assert found["conclusion"].sel(contender="horn_cnn", rival="cnn", axis="samples") == "yes"


def test_it_says_what_it_was_made_from(written):
    import hashlib

    path, _ = written
    with netCDF4.Dataset(path) as file:
        assert file.made_from == hashlib.sha256(path.with_name("results.nc").read_bytes()).hexdigest()


def test_an_unknown_sweep_is_refused_with_the_nearest(written):
    with pytest.raises(ResultsError, match=r"'smal' \(did you mean 'small'\?\)"):
        open_statistics(written[0], "smal")


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(ResultsError, match=r"statistics\.nc: there is no such file"):
        open_statistics(tmp_path / "statistics.nc", "small")


def test_absent_results_leave_no_statistics(tmp_path, settings):
    with pytest.raises(ResultsError, match=r"results\.nc: cannot be read"):
        write_statistics(tmp_path / "results.nc", tmp_path / "statistics.nc", {"small": settings()})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.99])
def test_a_truncated_file_is_named(written, tmp_path, keep):
    content = written[0].read_bytes()
    path = tmp_path / "statistics.nc"
    path.write_bytes(content[: int(keep if keep > 1 else keep * len(content))])
    with pytest.raises(
        ResultsError, match=r"statistics\.nc: damaged, or a statistics file of an earlier hornlib"
    ):
        open_statistics(path, "small")


@pytest.mark.parametrize("share", [0, 0.3, 0.9])
def test_a_damaged_number_is_no_result(written, tmp_path, share):
    content = bytearray(written[0].read_bytes())
    content[int(share * len(content))] ^= 0xFF
    path = tmp_path / "statistics.nc"
    path.write_bytes(content)
    with pytest.raises(ResultsError, match=r"statistics\.nc: damaged: .*`hornlib statistics` writes it anew"):
        open_statistics(path, "small")


def test_damaged_results_are_named_as_such_and_leave_the_statistics_unchanged(written, tmp_path, settings):
    path, statistics = tmp_path / "results.nc", tmp_path / "statistics.nc"
    content = bytearray((written[0].parent / "results.nc").read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    statistics.write_text("old")
    with pytest.raises(ResultsError, match=r"results\.nc: damaged: .*`hornlib gather` writes it anew"):
        write_statistics(path, statistics, {"small": settings()})
    assert statistics.read_text() == "old"


def test_another_schema_version_is_refused(written, tmp_path):
    path = tmp_path / "statistics.nc"
    path.write_bytes(written[0].read_bytes())
    with netCDF4.Dataset(path, "a") as file:
        file.schema_version = 99
    seal(path)
    with pytest.raises(ResultsError, match="schema version 99"):
        open_statistics(path, "small")
