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
