"""The summary: its figures stand on the pages that it rests on, and the README has its first rows."""

import re
from itertools import takewhile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FINDINGS = REPOSITORY / "docs" / "findings"
HEAD = "| question | found | rests on | what would change it |"


def table(text):
    """Return the rows of the summary, each a list of its cells."""
    rows = takewhile(bool, text.split(HEAD)[1].splitlines()[2:])
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]


SUMMARY = table((FINDINGS / "README.md").read_text())


@pytest.mark.parametrize("row", SUMMARY, ids=lambda row: row[0][:40])
def test_every_figure_stands_on_a_page_that_the_row_rests_on(row):
    assert len(row) == 4 and all(row)
    pages = re.findall(r"\]\((\w+\.md)\)", row[2])
    assert pages
    text = " ".join(plain((FINDINGS / page).read_text()) for page in pages)
    for figure in re.findall(r"-?\d[\d.,]* \[[^\]]+\]|n = \d+", " ".join(row[1:3])):
        assert re.search(rf"{re.escape(plain(figure))}(?!\d)", text), (
            f"{figure} stands on none of {', '.join(pages)}"
        )


def plain(text):
    """Return a text without what two ways of writing a number differ in: a 0 before the point, blanks and signs."""
    return re.sub(r"(?<![\d.])0(?=\.\d)", "", " ".join(text.split())).replace("−", "-")


def test_the_readme_has_the_first_rows_of_the_summary():
    rows = table((REPOSITORY / "README.md").read_text())
    shown = [
        [cell.replace("(docs/findings/README.md#", "(#").replace("(docs/findings/", "(") for cell in row]
        for row in rows
    ]
    assert shown == SUMMARY[: len(shown)]
    number = {6: "six", 7: "seven", 8: "eight"}[len(shown)]
    assert f"The first {number} rows of the [summary]" in (REPOSITORY / "README.md").read_text()
