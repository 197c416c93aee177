"""The next look: which run files it needs, the commands that the page names, and `hornlib looks`."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from hornlib import cli
from hornlib.errors import ConfigError
from hornlib.grid.jobs import Range
from hornlib.results.file_kind import SCHEMA_VERSION
from hornlib.results.seal import seal
from hornlib.statistics.due import due_jobs, judged_looks, sequential_sweeps
from hornlib.statistics.next_look import commands
from hornlib.statistics.write import open_statistics, write_statistics

CONFIG = """
    seeds: 20
    per_job: 8
    statistics:
      sequential: [7, 10, 15, 20]
      targets: []
      bootstrap: 1000
      claims: {faster: {rivals: [cnn]}, cheaper: {axes: seconds, rivals: [aside]}}
    sweeps:
      one:
        data: {name: [digits, mnist]}
        model: [{name: horn_cnn}, {name: cnn}, {name: mlp, arm: aside}]
      plain: {extends: one, seeds: 3, statistics: {sequential: []}}
    """


@pytest.fixture
def grid(grid_from, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return grid_from(CONFIG)


@pytest.fixture
def judged(grid, results, settings):
    """Statistics after the first look, where horn_cnn is faster than cnn on digits, and not shown to be on mnist."""
    random = np.random.default_rng(0)
    arms, datasets, entries = [], [], []
    for name, arm in grid.sweeps["one"].arms.items():
        arms.append(arm)
        datasets.append(grid.cells[name].data.name)
        median = 50 if (arm, datasets[-1]) == ("horn_cnn", "digits") else 100
        entries.append((arm, median * np.exp(0.15 * random.standard_normal(20))))
    missing = [(cell, seed) for cell in range(len(arms)) for seed in range(7, 20)]
    ds = results(entries, dataset=datasets, missing=missing).assign_coords(cell=list(grid.sweeps["one"].arms))
    ds = ds.rename(arm="arm_one").assign_attrs(schema_version=SCHEMA_VERSION)
    ds = ds.assign_coords(in_one=("cell", [True] * len(arms), {"seeds": np.arange(20)}))
    folder = Path(grid.settings.results)
    folder.mkdir()
    ds.to_netcdf(folder / "partial.nc")
    seal(folder / "partial.nc")
    path = folder / "statistics.nc"
    rules = {"one": grid.sweeps["one"].statistics}
    write_statistics(folder / "partial.nc", path, rules, files=[Path("config/other.yaml")])
    return path


def ranges(grid, jobs):
    found = {}
    for job in jobs:
        found.setdefault((grid.sweeps["one"].arms[job.cell], grid.cells[job.cell].data.name), []).append(
            job.range
        )
    return found


@pytest.fixture
def hornlib(monkeypatch, capsys):
    """Call the command line in this process; return its status and what it printed."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["hornlib", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            cli.main()
            raise SystemExit(0)
        return int(left.value.code or 0), *capsys.readouterr()

    return call


def test_the_first_look_needs_the_first_seeds_of_every_cell(grid):
    sweep = grid.sweeps["one"]
    needed = ranges(grid, due_jobs(grid, sweep, judged_looks(Path("results/statistics.nc"), sweep), {}))
    assert len(needed) == 6 and all(own == [Range(0, 6)] for own in needed.values())


def test_a_later_look_needs_the_arms_of_open_claims_where_they_are_open(grid, judged):
    sweep = grid.sweeps["one"]
    present = {name: [Range(0, 6)] for name in sweep.arms}
    needed = ranges(grid, due_jobs(grid, sweep, judged_looks(judged, sweep), present))
    assert needed["horn_cnn", "mnist"] == needed["cnn", "mnist"] == [Range(0, 6), Range(7, 9)]
    for other in [("horn_cnn", "digits"), ("cnn", "digits"), ("aside", "digits"), ("aside", "mnist")]:
        assert needed[other] == [Range(0, 6)]


def test_statistics_of_other_looks_are_none_of_this_sweep(grid, judged):
    sweep = grid.sweeps["one"]
    rules = sweep.statistics.model_copy(update={"sequential": (7, 20)})
    assert judged_looks(judged, sweep) is not None
    assert judged_looks(judged, sweep._replace(statistics=rules)) is None


def test_the_limits_name_open_claims_and_the_commands_with_their_configuration(judged):
    summary = open_statistics(judged, "one")
    limit = json.loads(summary.attrs["limits"])[0]
    assert "faster on mnist: not shown, open after the look at 7 seeds, next look at 10 seeds" in limit
    assert "digits" not in limit and "cheaper" not in limit
    train = (
        "`hornlib looks --paths --sweep one --configfile config/other.yaml | "
        "HORNLIB_CONFIG=config/other.yaml xargs -r snakemake --cores N`"
    )
    assert train in limit
    assert "hornlib statistics --results results/partial.nc --configfile config/other.yaml" in limit
    assert summary.attrs["next_command"] == train.strip("`")


def test_the_default_configuration_is_not_named():
    train, judge = commands("one", Path("results"), [Path("config.yaml")])
    assert train == "hornlib looks --paths --sweep one | xargs -r snakemake --cores N"
    assert (
        judge
        == "hornlib gather --partial && hornlib statistics --results results/partial.nc && hornlib report"
    )


def test_looks_prints_standings_and_what_is_to_be_trained(grid, judged, hornlib):
    status, out, _ = hornlib("looks")
    lines = out.splitlines()
    assert status == 0 and lines[0] == "one: looks at 7, 10, 15, 20 seeds"
    assert "  faster on digits: yes, decided at the look at 7 seeds" in lines
    assert (
        "  cheaper on digits: not measured, open after the look at 7 seeds, and more seeds cannot measure it"
        in lines
    )
    assert lines[-1].startswith("  8 jobs to train: hornlib looks --paths --sweep one |")
    status, out, _ = hornlib("looks", "--paths")
    assert len(out.splitlines()) == 8 and all(line.startswith("results/runs/") for line in out.splitlines())


def test_looks_says_when_a_trained_look_waits_for_its_judgement(grid, judged, hornlib):
    for path in hornlib("looks", "--paths")[1].splitlines():
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).touch()
    assert "trained; judge them: hornlib gather --partial" in hornlib("looks")[1]


def test_paths_are_never_none_since_snakemake_without_targets_trains_everything(grid, judged, hornlib):
    summary = open_statistics(judged, "one")
    decided = summary.assign(seeds_to_train=summary["seeds_to_train"] * 0 + 7)
    assert due_jobs(grid, grid.sweeps["one"], decided, {})


def test_a_sweep_without_looks_is_refused(grid, hornlib):
    with pytest.raises(ConfigError, match=r"no sweep 'plain' with looks; valid: one"):
        sequential_sweeps(grid, "plain")
    status, out, err = hornlib("looks", "--sweep", "ones", "--paths")
    assert (status, out) == (1, "") and "'ones' with looks (did you mean 'one'?)" in err
