"""Labels of the configuration are text in every output: tables, page, SVG, CSV, file names and formulas."""

import base64
import csv
import gzip
import io
import re
import urllib.parse
import xml.etree.ElementTree
from html.parser import HTMLParser

import pytest
import yaml
from typer.testing import CliRunner

from hornlib.cli import app
from hornlib.report.page import write_report

HOSTILE = [
    "horn [t=4]",
    "[bold red]x",
    "[bold red]x[/bold red]",
    "[/]",
    "$a^$",
    "_cnn $5 & $6_",
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "\"quoted\", 'comma'; | `code` *star*",
    "{wildcards.sweep} %s {{ 7 * 7 }} {0}",
    "back\\slash\\",
    "../up/down",
    "größer ∞ & <less>",
]

VALID = [label for label in HOSTILE if not set(label) & set("/\\")]
"""Labels that the configuration accepts: the others come from results of elsewhere."""


@pytest.fixture(scope="module")
def outputs(folder):
    """The results folder of a sweep whose arms have hostile labels, with its page and figures."""
    results = folder("yes", arms=["horn", "cnn", *HOSTILE], datasets=["digits"])
    write_report(results, ["thesis"], results / "report.html")
    return results


class PageText(HTMLParser):
    """The words of a page, the addresses of its downloads, and its scripts and images."""

    def __init__(self, page):
        super().__init__()
        self.words, self.downloads, self.open, self.images = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.open.append(tag)
        if "download" in values:
            self.downloads.append(values["href"])
        if tag == "img":
            self.images.append(values["src"])
        assert not any(name.startswith("on") for name in values), values

    def handle_endtag(self, tag):
        while self.open and self.open.pop() != tag:
            pass

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("script", "style"):
            self.words.append(data)


@pytest.fixture(scope="module")
def page(outputs):
    return PageText((outputs / "report.html").read_text(encoding="utf-8"))


def decoded(address):
    """Return the text of a data: address."""
    head, _, body = address.partition(",")
    if head.endswith("base64"):
        return gzip.decompress(base64.b64decode(body)).decode()
    return urllib.parse.unquote(body)


def test_no_label_makes_an_image_of_its_own(page):
    assert all(source.startswith("data:") for source in page.images)


@pytest.mark.parametrize("label", HOSTILE)
def test_the_page_shows_a_label_as_it_is_written(page, label):
    assert any(label in words for words in page.words)


@pytest.mark.parametrize("label", HOSTILE)
def test_a_download_has_a_label_as_it_is_written(page, label):
    entries = {
        entry
        for address in page.downloads
        for row in csv.reader(io.StringIO(decoded(address), newline=""))
        for entry in row
    }
    assert label in entries


@pytest.mark.parametrize("label", HOSTILE)
def test_a_figure_shows_a_label_as_it_is_written(outputs, label):
    figure = outputs / "figures" / "report" / "thesis-digits-curves-samples.svg"
    tree = xml.etree.ElementTree.parse(figure)
    assert any(label in (element.text or "") for element in tree.iter())


def test_names_of_figures_are_plain(outputs):
    names = [path.name for path in (outputs / "figures").rglob("*.*")]
    assert names and all(re.fullmatch(r"[a-z0-9_-]+\.(svg|png)", name) for name in names)


@pytest.mark.parametrize("is_terminal", [True, False], ids=["terminal", "pipe"])
@pytest.mark.parametrize("command", [("plan",), ("plan", "--cells"), ("status",)], ids=" ".join)
def test_tables_of_the_command_line_show_labels_as_they_are_written(
    command, is_terminal, tmp_path, monkeypatch
):
    arms = [
        {"name": "cnn", "arm": label, "channels": f"4-8-{16 + index}"} for index, label in enumerate(VALID)
    ]
    document = {
        "results": str(tmp_path / "out"),
        "statistics": {"subject": VALID[0], "baseline": VALID[1]},
        "sweeps": {"tiny": {"data": {"name": "digits"}, "model": arms}},
    }
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(document, allow_unicode=True), encoding="utf-8")
    monkeypatch.setenv("COLUMNS", "300")
    if is_terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    answer = CliRunner().invoke(app, [*command, "--configfile", str(config)])
    assert answer.exit_code == 0, answer.output
    text = re.sub(r"\x1b\[[0-9;]*m", "", answer.output)
    assert [label for label in VALID if label not in text] == []
