"""Tables of the page: rounded numbers are shown, the download has all digits and all rows."""

from collections.abc import Sequence
from typing import Self

from hornlib.report.blocks import Entry, PageTable
from hornlib.report.wording import GZIP, bounded, csv_address, number

__all__ = ["Estimate", "Number", "Row", "p_value", "table"]

Row = Sequence[str | float]

MOST_ROWS = 60
"""Rows in the page; a sweep may have thousands of cells, and the download has them all."""


class Number(float):
    """A number with its own text in the table, e.g. with its interval.

    Args:
        value: the number.
        shown: its text in the table.
    """

    shown: str

    def __new__(cls, value: float, shown: str) -> Self:
        number_with_text = super().__new__(cls, value)
        number_with_text.shown = shown
        return number_with_text


class Estimate(Number):
    """A number with its interval: one column in the page, three columns in the download.

    Args:
        value: the number.
        low, high: ends of its interval; NaN where there is none.
    """

    low: float
    high: float

    def __new__(cls, value: float, low: float, high: float) -> Self:  # type: ignore[override]
        estimate = super().__new__(cls, value, bounded(value, low, high))
        estimate.low, estimate.high = low, high
        return estimate


def p_value(value: float) -> Number:
    """Return a p-value for a table, which shows "< 0.001" for smaller values; the download has all digits."""
    return Number(value, "< 0.001" if value < 0.001 else number(value))


def table(name: str, caption: str, columns: Sequence[str], rows: Sequence[Row]) -> PageTable:
    """Return a table with its download.

    Args:
        name: anchor, and name of the downloaded file.
        caption: what it shows, with n and estimator.
        columns: headings.
        rows: text and numbers, the best rows first: of many, the first are shown.
    """
    shown = [[_entry(value) for value in row] for row in rows[:MOST_ROWS]]
    hidden = max(0, len(rows) - MOST_ROWS)
    address = csv_address(*_download(columns, rows))
    file = f"{name}.csv.gz" if address.startswith(GZIP) else f"{name}.csv"
    return PageTable(name, caption, columns, shown, address, file, hidden)


def _download(columns: Sequence[str], rows: Sequence[Row]) -> tuple[list[str], list[Row]]:
    """Return the columns and rows of the download, in which an estimate and the ends of its interval stand apart."""
    bounded_places = {
        place for place in range(len(columns)) if any(isinstance(row[place], Estimate) for row in rows)
    }
    heads = [
        head
        for place, column in enumerate(columns)
        for head in ([column, f"{column}, low", f"{column}, high"] if place in bounded_places else [column])
    ]

    def cells(row: Row) -> Row:
        return [
            cell
            for place, value in enumerate(row)
            for cell in (_with_ends(value) if place in bounded_places else [value])
        ]

    return heads, [cells(row) for row in rows]


def _with_ends(value: str | float) -> Row:
    return (
        [value, value.low, value.high] if isinstance(value, Estimate) else [value, float("nan"), float("nan")]
    )


def _entry(value: str | float) -> Entry:
    if isinstance(value, str):
        return Entry(value, value)
    return Entry(value.shown if isinstance(value, Number) else number(value), float(value))
