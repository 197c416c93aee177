"""No row of the tables of verdicts contradicts itself: word, corrected p-value, interval and star agree."""

import importlib.util
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hornlib.results.seal import seal
from hornlib.statistics.write import write_statistics

ROOT = Path(__file__).resolve().parents[2]
ALPHA = 0.05


def scenes():
    """Return the module that simulates results of the report's scenes."""
    spec = importlib.util.spec_from_file_location("scenes", ROOT / "tests/report/conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def written(folder, scene, **coordinates):
    """Let docs/findings/verdicts.py write a page and a table about a scene; return the table."""
    simulated = scenes()
    results = simulated.make_results(scene)
    cells = {
        name: ("cell", np.full(results.sizes["cell"], value, object if isinstance(value, str) else float))
        for name, value in {"learning_rate": 0.01, **coordinates}.items()
    }
    results.assign_coords(cells).to_netcdf(folder / "results.nc")
    seal(folder / "results.nc")
    write_statistics(folder / "results.nc", folder / "statistics.nc", {"thesis": simulated.SETTINGS})
    csv = folder / "page.csv"
    words = [folder / "statistics.nc", "thesis", "--out", folder / "page.md", "--csv", csv]
    before = sys.argv
    try:
        sys.argv = ["verdicts.py", *map(str, words)]
        runpy.run_path(str(ROOT / "docs/findings/verdicts.py"), run_name="__main__")
    finally:
        sys.argv = before
    return csv


@pytest.fixture(scope="module", params=["yes", "mixed"])
def table(request, tmp_path_factory):
    """The table that docs/findings/verdicts.py writes about a scene, beside its page."""
    return written(tmp_path_factory.mktemp("verdicts"), request.param)


@pytest.fixture(scope="module")
def ratios(table):
    """The ratios of one table."""
    rows = pd.read_csv(table)
    rows = rows[rows["table"] == "ratio"]
    assert len(rows)
    return rows


def test_a_word_agrees_with_the_corrected_test(ratios):
    assert (ratios["p_holm"] >= ratios["p"] - 1e-12).all()
    decided = ratios["conclusion"].isin(["yes", "no"])
    assert (ratios.loc[decided, "p_holm"] <= ALPHA).all()
    assert (ratios.loc[ratios["conclusion"] == "not distinguished", "p_holm"] > ALPHA).all()


def test_an_interval_agrees_with_the_word_and_holds_its_ratio(ratios):
    single = ratios[(ratios["two_part"] == 0) & ratios["low"].notna()]
    assert ((single["low"] <= single["ratio"]) & (single["ratio"] <= single["high"])).all()
    assert (single.loc[single["conclusion"] == "yes", "high"] <= 1).all()
    assert (single.loc[single["conclusion"] == "no", "low"] >= 1).all()
    open_ = single[single["conclusion"] == "not distinguished"]
    assert ((open_["low"] < 1) & (open_["high"] > 1)).all()
    assert ratios.loc[ratios["two_part"] == 1, "low"].isna().all()


def test_few_arrivals_are_told_as_such(ratios):
    arrivals = ratios["arrived"] + ratios["rival_arrived"]
    assert (arrivals[ratios["conclusion"].isin(["yes", "no", "not distinguished"])] >= 7).all()
    assert (ratios[["arrived", "rival_arrived"]].max(axis=1) <= ratios["pairs"]).all()


def test_a_star_stands_where_the_interval_excludes_1_and_nowhere_else(table):
    sections = table.with_name("page.md").read_text().split("\n### ")
    page = "\n".join(section for section in sections if "over each rival" in section.partition("\n")[0])
    cells = re.findall(r"\| (\d+\.\d+) \[(\d+\.\d+), (\d+\.\d+)\](\*?)", page)
    assert cells
    for ratio, low, high, star in cells:
        assert float(low) <= float(ratio) <= float(high)
        if star:
            assert float(high) <= 1 or float(low) >= 1, (ratio, low, high)
        else:
            assert float(low) <= 1 <= float(high), (ratio, low, high)


def test_final_accuracies_are_told_with_their_margin_and_front(table):
    rows = pd.read_csv(table)
    found = rows[rows["table"] == "end"]
    margin = scenes().SETTINGS.margin
    assert len(found) and set(found["not_worse"]) <= {"yes", "no", "undecided", "not enough data"}
    assert (found.loc[found["not_worse"] == "yes", "difference"] > -margin).all()
    assert (found.loc[found["not_worse"] == "no", "difference"] < -margin).all()
    fronts = rows[rows["table"] == "arm"].dropna(subset=["on_front"])
    assert {"parameters", "training FLOPs"} <= set(", ".join(fronts["on_front"]).split(", "))
    page = table.with_name("page.md").read_text()
    assert "### Final test accuracy" in page
    section = page.split("### Final test accuracy")[1].split("\n### ")[0]
    for mark, answer in (("≥", "yes"), ("<", "no")):
        assert section.count(f"] {mark} |") == (found["not_worse"] == answer).sum()
    assert "yes" in set(found["not_worse"])
    first = found.iloc[0]
    assert f"{100 * first['difference']:.2f} [{100 * first['low']:.2f}, {100 * first['high']:.2f}]" in page


def test_only_these_words_are_used(ratios):
    words = {"yes", "no", "not distinguished", "too few arrivals", "not enough data", "not measured"}
    assert set(ratios["conclusion"]) <= words and np.isfinite(ratios["pairs"]).all()


@pytest.mark.parametrize("scene", ["diverged", "not reached"])
def test_a_sweep_without_any_ratio_has_a_page_and_no_figure(tmp_path, scene):
    (tmp_path / "page.svg").write_text("of earlier statistics")
    rows = pd.read_csv(written(tmp_path, scene))
    assert set(rows["table"]) == {"end", "arm"}
    page = (tmp_path / "page.md").read_text()
    assert "### Every arm" in page and "over each rival" not in page
    assert not (tmp_path / "page.svg").exists()


def test_a_sweep_that_is_only_tuned_for_accuracy_is_drawn(tmp_path):
    rows = pd.read_csv(written(tmp_path, "yes", selected_for="final_metric"))
    assert "tuned for accuracy" in set(rows["values"])
    assert (tmp_path / "page.svg").exists()
