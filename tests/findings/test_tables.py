"""No row of a committed table contradicts itself: word, corrected p-value, interval and star agree."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

FINDINGS = Path(__file__).resolve().parents[2] / "docs" / "findings"
TABLES = sorted(
    path for path in FINDINGS.glob("*.csv") if "conclusion" in path.read_text().partition("\n")[0].split(",")
)
ALPHA = 0.05


@pytest.fixture(params=TABLES, ids=lambda path: path.stem)
def ratios(request):
    """The ratios of one committed table."""
    table = pd.read_csv(request.param)
    return table[table["table"] == "ratio"]


def test_there_is_a_table_to_look_at():
    assert TABLES


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


@pytest.mark.parametrize("table", TABLES, ids=lambda path: path.stem)
def test_a_star_stands_where_the_interval_excludes_1_and_nowhere_else(table):
    sections = table.with_suffix(".md").read_text().split("\n### ")
    page = "\n".join(section for section in sections if "over its rival" in section.partition("\n")[0])
    cells = re.findall(r"\| (\d+\.\d+) \[(\d+\.\d+), (\d+\.\d+)\](\*?)", page)
    assert cells
    for ratio, low, high, star in cells:
        assert float(low) <= float(ratio) <= float(high)
        if star:
            assert float(high) <= 1 or float(low) >= 1, (ratio, low, high)
        else:
            assert float(low) <= 1 <= float(high), (ratio, low, high)


def test_only_these_words_are_used(ratios):
    words = {"yes", "no", "not distinguished", "too few arrivals", "not enough data", "not measured"}
    assert set(ratios["conclusion"]) <= words and np.isfinite(ratios["pairs"]).all()
