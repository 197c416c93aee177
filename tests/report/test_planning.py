"""Planning on the page: seeds needed with their interval, and where a sequential sweep stands."""

import numpy as np
import pytest

from hornlib.parameters.statistics import StatisticsSettings
from hornlib.report.blocks import PageTable, Paragraph
from hornlib.report.evidence import SweepEvidence, collect
from hornlib.report.sections.planning import looks, seeds_needed
from hornlib.results.seal import seal
from hornlib.statistics.write import write_statistics
from tests.report.conftest import make_results

CLAIMS = {"faster": {"rivals": ["cnn", "leaky"]}}


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
    """A function that gives a sweep after a look, and its results folder; later seeds of some arms are missing."""

    def make(scene="mixed", **values):
        folder = tmp_path_factory.mktemp("looks")
        ds = make_results(scene, arms=["horn", "cnn", "leaky"], num_seeds=10)
        ds["status"] = ds["status"].where(ds["seed"] < 7, "missing")
        ds.to_netcdf(folder / "partial.nc")
        seal(folder / "partial.nc")
        rules = StatisticsSettings(claims=CLAIMS, bootstrap=1000, targets=(), **values)
        write_statistics(folder / "partial.nc", folder / "statistics.nc", {"thesis": rules})
        return collect(folder, ["thesis"]).sweeps[0]

    return make


@pytest.fixture(scope="module")
def sequential(sweeps):
    return sweeps(sequential=[7, 10])


def words(table, row=None):
    return [[entry.shown for entry in own] for own in table.rows][row] if row is not None else table.caption


def test_a_claims_seeds_needed_stand_beside_the_uncertainty_of_the_deviation(sequential):
    by_claim, by_comparison = (block for block in seeds_needed(sequential) if isinstance(block, PageTable))
    assert "correlations" in by_claim.caption and "chi-square" in by_claim.caption
    first = words(by_claim, 0)
    assert first[:3] == ["digits", "faster", "7"] and "[" in first[4] and first[-1].startswith("7 [7, ")
    assert {row[1].shown.split(" on ")[0] for row in by_comparison.rows} == {"cnn", "leaky"}


def test_the_page_says_at_which_look_a_claim_was_decided_and_how_the_next_is_trained(sequential):
    table = next(block for block in looks(sequential) if isinstance(block, PageTable))
    assert words(table, 0) == ["digits", "faster", "yes", "–", "7 seeds", "–"]
    assert words(table, 1)[3:] == ["–", "7 seeds", "–"] and words(table, 1)[2] == "no"
    assert "at level 0.0" in table.caption and "one test at 0.05" in table.caption


def test_an_open_claim_has_its_next_look_and_the_two_commands(sweeps):
    sweep = sweeps("yes", sequential=[7, 10], baseline="leaky", min_seeds=7, confirm=1, alpha=1e-9)
    table = next(block for block in looks(sweep) if isinstance(block, PageTable))
    assert words(table, 0)[-2:] == ["–", "10 seeds"]
    text = next(block.text for block in looks(sweep) if isinstance(block, Paragraph))
    assert "hornlib looks --paths --sweep thesis | xargs -r snakemake --cores N" in text
    assert "hornlib gather --partial && hornlib statistics" in text


def test_a_sweep_without_looks_or_without_a_deviation_says_so(sweeps, sequential):
    assert looks(sweeps()) == [] and looks(SweepEvidence("thesis", None, None)) == []
    assert seeds_needed(SweepEvidence("thesis", None, None)) == []
    summary = sequential.statistics
    nothing = summary.assign(
        {name: summary[name] * np.nan for name in ("log_ratio_sd", "claim_seeds_needed")}
    )
    (paragraph,) = seeds_needed(SweepEvidence("thesis", None, nothing))
    assert "no deviation was measured" in paragraph.text


def test_runs_of_later_looks_are_not_missing_on_the_page(sweeps, sequential):
    assert not (sequential.results["status"] == "missing").any()
    assert (sweeps().results["status"] == "missing").sum() == 18
