"""The sweeps that come with the repository: valid, run whole, and read by the README's example."""

import re
import sys
from pathlib import Path

import pytest
import xarray as xr

from hornlib.data.parameters import DataParameters
from hornlib.grid import read_grid

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = ["config.yaml", *sorted(f"config/{file.name}" for file in (REPOSITORY / "config").glob("*.yaml"))]


@pytest.mark.parametrize("file", FILES)
def test_every_ready_sweep_is_valid_and_its_rivals_are_near(file):
    grid = read_grid([REPOSITORY / file])
    assert grid.cells
    for match in grid.matches:
        assert abs(match.deviation) <= 0.05, match


def test_the_default_sweep_has_some_twelve_stable_cells_of_seven_seeds():
    grid = read_grid([REPOSITORY / "config.yaml"])
    assert len(grid.cells) == 12 and not grid.warnings
    assert {len(seeds) for seeds in grid.seeds.values()} == {7}


@pytest.mark.slow
def test_the_default_sweep_in_short_runs_whole_and_the_readmes_example_reads_it(project):
    config = (REPOSITORY / "config.yaml").read_text()
    config = config.replace("epochs: 15", "steps: 6").replace("seeds: 7", "seeds: 2")
    project.configure(config)
    result = project.snakemake()
    assert result.returncode == 0, result.stderr
    example = re.search(r"```python\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.S)[1]
    said = project.run(sys.executable, "-W", "error", "-c", example)
    assert said.returncode == 0, said.stderr
    for word in ("horn_cnn", "timesteps", "time"):
        assert word in said.stdout


def test_an_existing_root_of_real_data_is_used_through_the_rule(project, monkeypatch):
    root = next(
        (
            folder
            for folder in (REPOSITORY.parent / "shared/data", DataParameters(name="mnist").root_path())
            if (folder / "FashionMNIST/raw/train-images-idx3-ubyte").exists()
        ),
        None,
    )
    if root is None:
        pytest.skip("no Fashion-MNIST here: neither in ../shared/data nor in $HORNLIB_DATA")
    monkeypatch.setenv("HORNLIB_DATA", str(root))
    before = {file: file.stat().st_mtime_ns for file in root.rglob("*")}
    project.configure(
        """
seeds: 1
sweeps:
  fashion:
    data: {name: fashion_mnist, image_size: 14, train_subset: 500}
    training: {steps: 3, evaluation_examples: 200}
    model: {name: cnn, channels: 4-8}
"""
    )
    result = project.snakemake("results/results.nc")
    assert result.returncode == 0, result.stderr
    assert len(list((project.folder / "results/data").glob("fashion_mnist-*.ready"))) == 1
    with xr.open_dataset(project.folder / "results/results.nc") as results:
        assert results["dataset"].values.tolist() == ["fashion_mnist"]
        assert (results["status"] == "complete").all()
    assert {file: file.stat().st_mtime_ns for file in root.rglob("*")} == before
    # a marker does not vouch for another root
    monkeypatch.setenv("HORNLIB_DATA", str(project.folder / "nowhere"))
    next((project.folder / "results/runs").glob("*.nc")).unlink()
    planned = project.snakemake("-n")
    assert re.search(r"^data +1$", planned.stdout + planned.stderr, re.MULTILINE)


def test_a_missing_root_is_told_before_any_training_with_what_to_put_where(project, monkeypatch, tmp_path):
    monkeypatch.setenv("HORNLIB_DATA", str(tmp_path / "nowhere"))
    project.configure(
        "seeds: 1\nsweeps:\n  patches:\n    data: {name: photo_patches}\n    model: {name: cnn}\n"
    )
    result = project.snakemake()
    assert result.returncode != 0
    assert "photo_patches.npz" in result.stderr and "HORNLIB_DATA" in result.stderr
    assert "Traceback" not in result.stderr
    assert not project.runs()
