"""Tables of the page: what is shown is rounded and short, what is downloaded is whole."""

from collections.abc import Sequence

from hornlib.report.blocks import Entry, Table
from hornlib.report.wording import GZIP, csv_address, number

__all__ = ["Number", "Row", "table"]

Row = Sequence[str | float]

MOST_ROWS = 60
"""Rows in the page; a sweep may have thousands of cells, and the download has them all."""


class Number(float):
    """A number that a table shows in words of its own, e.g. with its interval.

    Args:
        value: the number.
        shown: what stands in the table.
    """

    shown: str

    def __new__(cls, value: float, shown: str) -> "Number":
        made = super().__new__(cls, value)
        made.shown = shown
        return made


def table(name: str, caption: str, columns: Sequence[str], rows: Sequence[Row]) -> Table:
    """Return a table with its download.

    Args:
        name: anchor, and name of the downloaded file.
        caption: what it shows, with n and estimator.
        columns: headings.
        rows: text and numbers, the best rows first: of many, the first are shown.
    """
    shown = [[_entry(value) for value in row] for row in rows[:MOST_ROWS]]
    hidden = max(0, len(rows) - MOST_ROWS)
    address = csv_address(columns, rows)
    file = f"{name}.csv.gz" if address.startswith(GZIP) else f"{name}.csv"
    return Table(name, caption, columns, shown, address, file, hidden)


def _entry(value: str | float) -> Entry:
    if isinstance(value, str):
        return Entry(value, value)
    return Entry(value.shown if isinstance(value, Number) else number(value), float(value))
