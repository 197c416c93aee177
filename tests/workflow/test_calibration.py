"""Calibration in the flow: measured once a shape, alone, joined to the results, and never again for a seed more."""

import re

import numpy as np
import pytest
import xarray as xr

RESULTS = "results/results.nc"


def jobs(said):
    """Rule -> number of jobs, from the table that Snakemake prints."""
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", said, re.M)}


@pytest.mark.slow  # two small sweeps through Snakemake, each shape timed over seven rounds: half a minute
def test_a_seed_more_measures_nothing_and_a_shape_more_only_itself(project):
    first = project.snakemake(RESULTS)
    assert first.returncode == 0, first.stderr
    with xr.open_dataset(project.folder / RESULTS) as results:
        assert results["step_time"].dims == ("cell", "calibration_device")
        assert results.sizes["calibration_device"] == 1 and (results["step_time"] > 0).all()
        before = results["step_time"].load()
    config = (project.folder / "config.yaml").read_text()

    project.configure(config.replace("seeds: 2\n", "seeds: 3\n"))
    wanted = jobs((dry := project.snakemake("-n", RESULTS)).stdout + dry.stderr)
    assert wanted["train"] == 2 and wanted["gather"] == 1 and "calibrate" not in wanted

    project.configure(config.replace("timesteps: 4}", "timesteps: [4, 5]}"))
    again = project.snakemake(RESULTS)
    assert again.returncode == 0, again.stderr
    assert "3 shapes, 1 to be measured" in (project.folder / "results/logs/calibrate.log").read_text()
    with xr.open_dataset(project.folder / RESULTS) as results:
        assert results.sizes["cell"] == 3 and (results["step_time"] > 0).all()
        np.testing.assert_array_equal(results["step_time"].sel(cell=before["cell"]), before)


STAND_IN = """#!/bin/sh
case "$1" in
calibrate) if [ -e broken ]; then echo no device; exit 1; fi; touch results/calibration/device.nc ;;
train) touch "$2" ;;
gather) touch results/results.nc ;;
statistics) touch results/statistics.nc ;;
stability) touch results/stability.nc ;;
report) mkdir -p results/figures/report; touch results/report.html ;;
esac
"""


@pytest.fixture
def quick(project, monkeypatch):
    """Return a project whose jobs make empty files; measuring fails as long as the file `broken` is there."""
    program = project.folder / "programs" / "hornlib"
    program.parent.mkdir()
    program.write_text(STAND_IN)
    program.chmod(0o755)
    environment = {**project.environment, "PATH": f"{program.parent}:{project.environment['PATH']}"}
    monkeypatch.setattr(type(project), "environment", environment)
    project.configure(f"{project.configuration}\nprobes: off\n")
    return project


@pytest.mark.slow  # five calls of Snakemake
@pytest.mark.parametrize("has_other_shapes", [True, False])
def test_shapes_that_could_not_be_measured_are_tried_again_and_only_success_makes_results_anew(
    quick, has_other_shapes
):
    results, page = (quick.folder / "results" / name for name in ("results.nc", "report.html"))
    (quick.folder / "broken").touch()
    (quick.folder / "results/calibration").mkdir(parents=True)
    if has_other_shapes:
        (quick.folder / "results/calibration/device.nc").touch()
    first = quick.snakemake()
    assert first.returncode == 0 and "step times were not measured" in first.stderr, first.stderr
    before = results.stat().st_mtime_ns, page.stat().st_mtime_ns
    again = quick.snakemake()
    assert jobs(again.stdout + again.stderr).keys() == {"calibrate", "all", "total"}
    assert again.returncode == 0 and "step times were not measured" in again.stderr, again.stderr
    assert (results.stat().st_mtime_ns, page.stat().st_mtime_ns) == before
    (quick.folder / "broken").unlink()
    measured = quick.snakemake()
    assert measured.returncode == 0 and "the same command once more" in measured.stderr, measured.stderr
    last = quick.snakemake()
    assert {"gather", "statistics", "report"} <= jobs(last.stdout + last.stderr).keys()
    assert "calibrate" not in jobs(last.stdout + last.stderr)
    assert last.returncode == 0 and quick.planned() == {}, last.stderr
