"""The table of experiments, the files that they leave, and config/mechanism.yaml that they look at."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hornlib.errors import ConfigError, ResultsError
from hornlib.grid import read_grid
from hornlib.kernels.library import why_not
from hornlib.kernels.route import is_fused
from hornlib.mechanism import scale
from hornlib.mechanism.contenders import contenders
from hornlib.mechanism.experiments import EXPERIMENTS, experiments_of, run_experiment
from hornlib.mechanism.record import open_experiment

CONFIG = Path(__file__).resolve().parents[2] / "config" / "mechanism.yaml"
SWEEPS = "  arms:\n    model:\n      - {name: cnn, channels: [2-4, 3-4]}\n"


def test_the_ready_sweeps_serve_every_experiment_with_seven_seeds():
    grid = read_grid([CONFIG])
    assert experiments_of(grid) == list(EXPERIMENTS)
    assert {len(seeds) for seeds in grid.seeds.values()} == {7}
    assert not grid.warnings
    assert contenders(grid, "resonance")[4].label == "horn num_cycles=4"


def test_the_arms_have_equal_gain_where_they_should():
    grid = read_grid([CONFIG])
    found = {contender.arm: contender.cell for contender in contenders(grid, "arms")}
    gains = {
        arm: found[arm].model.derived(found[arm].task())["constant_drive_gain"]
        for arm in ("horn_cnn", "leaky_cnn", "overdamped", "no_recurrence", "one_step")
    }
    assert list(gains.values()) == pytest.approx([1.0244] * 5, rel=1e-3)
    assert found["tanh_cnn"].model.activation_gain == pytest.approx(gains["horn_cnn"], rel=1e-3)


def test_an_experiment_leaves_one_file_that_says_what_it_found(make_grid):
    grid = make_grid(SWEEPS, seeds=2)
    path = run_experiment("scale", grid)
    assert path == Path(grid.settings.results) / "mechanism" / "scale.nc"
    assert [file.name for file in path.parent.iterdir()] == ["scale.nc"]
    ds = open_experiment(path)
    assert ds.attrs["experiment"] == "scale" and ds.attrs["sweep"] == "arms" and ds.attrs["num_seeds"] == 2
    assert ds.attrs["sentence"] and ds.attrs["question"]
    figures = sorted(file.name for file in (path.parent.parent / "figures").iterdir())
    assert figures == ["mechanism-scale.png", "mechanism-scale.svg"]


@pytest.mark.parametrize("kernel", ["auto", "loop"])
def test_an_experiment_takes_the_route_of_the_setting(make_grid, monkeypatch, kernel):
    grid, measure, fused = make_grid(SWEEPS, seeds=2), scale.measure, []

    def noted(study):
        fused.append(is_fused("field", torch.zeros(1)))
        return measure(study)

    monkeypatch.setattr(scale, "measure", noted)
    run_experiment("scale", replace(grid, settings=grid.settings.model_copy(update={"kernel": kernel})))
    assert fused == [kernel == "auto" and not why_not("field", "float")]


def test_partial_results_serve_until_the_sweep_is_whole(trained):
    grid = trained(SWEEPS, lambda contender, seed: 50, seeds=2)
    folder = Path(grid.settings.results)
    (folder / "results.nc").rename(folder / "partial.nc")
    assert "steps_to_target" in open_experiment(run_experiment("scale", grid))


def test_what_is_not_there_is_refused_with_what_to_do(make_grid, tmp_path):
    grid = make_grid(SWEEPS)
    with pytest.raises(ConfigError, match=r"unknown experiment 'scales' \(did you mean 'scale'\?\)"):
        run_experiment("scales", grid)
    with pytest.raises(ConfigError, match="no sweep 'resonance'; valid: arms"):
        run_experiment("resonance", grid)
    with pytest.raises(ResultsError, match="snakemake --cores N arms"):
        run_experiment("resonance", grid, sweep="arms")
    (tmp_path / "bad.nc").write_text("no netCDF")
    for name, said in (
        (
            "bad.nc",
            r"bad\.nc: damaged, or a file of an experiment of an earlier.*`hornlib mechanism` writes it anew",
        ),
        ("none.nc", r"none\.nc: there is no such file"),
    ):
        with pytest.raises(ResultsError, match=said):
            open_experiment(tmp_path / name)
