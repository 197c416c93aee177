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
from hornlib.report.tables import MOST_ROWS, Estimate, Number, table
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


def test_an_estimate_is_one_column_of_the_page_and_three_of_the_download():
    made = table("name", "caption", ["x", "y"], [["a", Estimate(0.5, 0.25, 1)], ["b", np.nan]])
    assert [row[1].shown for row in made.rows] == ["0.5 [0.25, 1]", "–"]
    lines = urllib.parse.unquote(made.csv.partition(",")[2]).splitlines()
    assert lines == ['x,y,"y, low","y, high"', "a,0.5,0.25,1", "b,,,"]


def pair(ratio, low, high, **more):
    own = "horn on digits", "cnn on digits", "horn", "cnn", "digits", "samples", ratio, low, high, 0.1, 0.2, 8
    return Comparison(*own, **{"short_contender": "horn", "short_rival": "cnn", **more})


def test_a_pair_says_once_what_both_share():
    tuned = pair(1, 0.5, 2)._replace(
        contender="horn on digits, tuned for speed", rival="cnn on digits, tuned for speed"
    )
    assert tuned.label == "horn : cnn on digits, tuned for speed" and tuned.pair == "horn : cnn"


def test_a_pair_has_the_number_of_arrivals_only_where_some_did_not_arrive():
    assert pair(0.5, 0.2, 0.9, arrived=8, rival_arrived=8).words == "0.5 [0.2, 0.9], n = 8"
    assert pair(0.5, 0.2, 0.9, arrived=7, rival_arrived=8).words == "0.5 [0.2, 0.9], n = 8, 7 and 8 arrived"
    few = pair(1, 0.99, 1.01, arrived=2, rival_arrived=1, word="too few arrivals")
    assert few.words == "too few arrivals, n = 8, 2 and 1 arrived" and not few.has_ratio


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
