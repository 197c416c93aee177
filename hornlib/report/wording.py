"""Numbers and names as a reader sees them: rounded, with units, and safe in a file's name or an address."""

import base64
import gzip
import re
import urllib.parse
from collections.abc import Sequence

import numpy as np

from hornlib.statistics.axes import COST_AXES

__all__ = [
    "AXES",
    "COSTS",
    "GZIP",
    "bounded",
    "counted_range",
    "csv_address",
    "number",
    "percentage",
    "sentence",
    "slug",
]

COSTS = {name: axis.title for name, axis in COST_AXES.items()}
"""Axis of cost -> its name."""

AXES = {name: title for name, title in COSTS.items() if name != "training_loss"}
"""Axis of a learning curve -> its name."""

UNESCAPED = ",;:=/()[]*!"
"""Letters that a data: address may hold as they are; encoded, a table would be a third longer."""

LARGE_TABLE = 50_000
"""Letters beyond which a table is compressed."""

GZIP = "data:application/gzip"

LARGE, SMALL = 1e6, 1e-3

ROUNDING = 1e-9
"""Share of its interval below which an estimate is a rounding error of zero."""


def number(value: float, digits: int = 3) -> str:
    """Return a number as text.

    Args:
        value: NaN becomes "–", and large or small numbers are written like 1.2e+09.
        digits: number of significant digits.
    """
    if np.isnan(value):
        return "–"
    if np.isinf(value):
        return "∞" if value > 0 else "−∞"
    size = abs(value)
    if size and not SMALL <= size < LARGE:
        return f"{value:.{digits - 1}e}"
    if size >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def bounded(value: float, low: float, high: float) -> str:
    """Return a number with its interval, e.g. 0.71 [0.60, 0.83].

    Args:
        value: the estimate.
        low, high: ends of the interval; where both are NaN, the number stands alone.
    """
    if np.isnan(low) and np.isnan(high):
        return number(value)
    if abs(value) < ROUNDING * max(abs(low), abs(high)):
        value = 0.0
    return f"{number(value)} [{number(low)}, {number(high)}]"


def percentage(share: float) -> str:
    """Return a share in per cent, "–" for NaN."""
    return "–" if np.isnan(share) else f"{100 * share:.3g} %"


def counted_range(counts: Sequence[float] | np.ndarray) -> str:
    """Return a number of things, e.g. of seeds, in words: "10", or "8 to 10" if the counts differ.

    Args:
        counts: counts of any shape, (..). NaN is skipped; without any other count the result is "0".
    """
    distinct = sorted({int(count) for count in np.ravel(counts) if np.isfinite(count)})
    if not distinct:
        return "0"
    return f"{distinct[0]}" if len(distinct) == 1 else f"{distinct[0]} to {distinct[-1]}"


def sentence(words: str) -> str:
    """Return words with a capital and a full stop; "" stays ""."""
    words = words.strip()
    return words[:1].upper() + words[1:] + ("" if not words or words.endswith((".", "?", "!")) else ".")


def slug(*words: str) -> str:
    """Return words joined to a name that is valid as a file's name and as an anchor; never empty."""
    joined = "-".join(re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-") for word in words)
    return re.sub(r"-+", "-", joined).strip("-") or "unnamed"


def csv_address(columns: Sequence[str], rows: Sequence[Sequence[str | float]]) -> str:
    """Return a table as CSV in a data: address; a large table is compressed by gzip.

    Args:
        columns: headings.
        rows: text and numbers; NaN becomes an empty entry.
    """
    lines = [",".join(_quoted(entry) for entry in row) for row in (columns, *rows)]
    text = "\n".join(lines) + "\n"
    if len(text) > LARGE_TABLE:
        packed = gzip.compress(text.encode(), mtime=0)  # the same table gives the same page
        return f"{GZIP};base64,{base64.b64encode(packed).decode()}"
    return "data:text/csv;charset=utf-8," + urllib.parse.quote(text, safe=UNESCAPED)


def _quoted(entry: str | float) -> str:
    if isinstance(entry, str):
        return '"' + entry.replace('"', '""') + '"' if re.search(r'[",\r\n]', entry) else entry
    return "" if np.isnan(entry) else f"{entry:.7g}"
