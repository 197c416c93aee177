"""Numbers and names as a reader sees them; tables and their downloads."""

import base64
import csv
import gzip
import io
import urllib.parse

import numpy as np
import pytest

from hornlib.report.comparisons import Comparison, strongest
from hornlib.report.sections.answer import intervals
from hornlib.report.tables import MOST_ROWS, Number, table
from hornlib.report.wording import bounded, counted_range, csv_address, number, percentage, sentence, slug


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.7134, "0.713"),
        (1234.5, "1,234"),
        (2e6, "2.00e+06"),
        (1e-5, "1.00e-05"),
        (0, "0"),
        (-0.25, "-0.25"),
        (np.nan, "–"),
        (np.inf, "∞"),
    ],
)
def test_a_number_has_three_digits(value, words):
    assert number(value) == words


def test_intervals_shares_and_counts_in_words():
    assert bounded(0.71, 0.6, 0.83) == "0.71 [0.6, 0.83]" and bounded(0.71, np.nan, np.nan) == "0.71"
    assert percentage(0.125) == "12.5 %" and percentage(np.nan) == "–"
    assert (
        counted_range([8, 10.0, 9]) == "8 to 10"
        and counted_range([5, 5]) == "5"
        and counted_range([np.nan]) == "0"
    )
    assert sentence(" mean over seeds") == "Mean over seeds." and sentence("") == ""


def test_a_slug_is_a_file_name_and_an_anchor():
    assert slug("My Sweep", "<script>", "../x") == "my-sweep-script-x"
    assert slug("ü", "/") == "unnamed"


def test_a_download_is_the_whole_table_as_csv():
    rows = [['a "quoted", label\nof two lines', Number(0.123456789, "short"), np.nan]] * (MOST_ROWS + 5)
    made = table("name", "caption", ["x", "y", "z"], rows)
    assert len(made.rows) == MOST_ROWS and made.num_hidden == 5 and made.rows[0][1].shown == "short"
    head, _, content = made.csv.partition(",")
    assert head == "data:text/csv;charset=utf-8"
    read = list(csv.reader(io.StringIO(urllib.parse.unquote(content), newline="")))
    assert read[0] == ["x", "y", "z"] and len(read) == MOST_ROWS + 6
    assert read[1] == ['a "quoted", label\nof two lines', "0.1234568", ""]
    large = table("name", "caption", ["x"], [["row"]] * 20_000)
    packed = base64.b64decode(large.csv.removeprefix("data:application/gzip;base64,"))
    assert large.file == "name.csv.gz" and gzip.decompress(packed).decode() == "x\n" + "row\n" * 20_000
    assert (
        made.file == "name.csv"
        and "&" not in csv_address(["a&b"], [])
        and "#" not in csv_address(["a#b"], [])
    )


def pair(ratio, low, high):
    return Comparison(
        "horn on digits", "cnn on digits", "horn", "cnn", "digits", "samples", ratio, low, high, 0.1, 0.2, 8
    )


def test_the_strongest_pairs_are_kept_in_their_order():
    found = [pair(ratio, 0.1, 9) for ratio in (1.1, 0.5, 0.9, 2.5, 1.0)]
    assert [kept.ratio for kept in strongest(found, 2)] == [0.5, 2.5]
    assert strongest(found, 9) == found
    assert found[0].label == "horn : cnn on digits"


def test_a_card_draws_ratios_to_scale_around_one():
    fast, slow, open_ended = intervals([pair(0.5, 0.25, 1), pair(2, 1, 4), pair(1.5, np.nan, np.inf)], False)
    assert fast.one == 50 and fast.high == 50 and slow.low == 50
    assert slow.point - 50 == pytest.approx(50 - fast.point, abs=0.02)
    assert slow.high - 50 == pytest.approx(2 * (slow.point - 50), abs=0.02)
    assert open_ended.low == open_ended.point == open_ended.high
    assert all(0 < place < 100 for drawn in (fast, slow) for place in (drawn.low, drawn.high))
