"""The report: it answers first, says what is missing, has no dead link, and refuses what is damaged."""

import dataclasses
import hashlib
import html
import json
import re
from html.parser import HTMLParser

import altair as alt
import pytest
import xarray as xr

from hornlib.errors import ResultsError
from hornlib.report.evidence import collect
from hornlib.report.page import SECTIONS, render, write_report
from hornlib.statistics.write import open_statistics

VOID = {"meta", "img", "br", "link", "input", "line", "circle", "path"}


class Outline(HTMLParser):
    """What a page is made of; complains of elements that are not closed in turn."""

    def __init__(self, page):
        super().__init__()
        self.anchors, self.links, self.open, self.sources, self.text, self.problems = [], [], [], [], [], []
        self.labelled = []
        self.feed(page)
        self.problems += [f"<{tag}> is not closed" for tag in self.open]

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if "id" in values:
            self.anchors.append(values["id"])
        self.links += [values["href"]] if tag == "a" else []
        self.sources += [values[name] for name in ("src", "srcset", "data") if name in values]
        self.sources += [values["href"]] if tag == "link" else []
        if tag == "img" or values.get("role") == "img":
            self.labelled.append(values.get("alt") or values.get("aria-label"))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        pass

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> closes nothing")

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)


@pytest.fixture(scope="module")
def results(folder):
    """A results folder with four arms on one dataset."""
    return folder("yes", datasets=["digits"], arms=["horn", "cnn", "leaky", "mobilenet"])


@pytest.fixture(scope="module")
def made(results):
    """Its page, and the charts in it."""
    return render(collect(results, ["thesis"]))


def test_page_is_well_formed_and_every_link_leads_somewhere(made):
    outline = Outline(made[0])
    assert outline.problems == []
    assert len(outline.anchors) == len(set(outline.anchors))
    inside = [link[1:] for link in outline.links if link.startswith("#")]
    assert set(inside) <= set(outline.anchors)
    # no network of this sweep is sparse or grows
    assert {section.__name__ for section in SECTIONS} - set(inside) == {"sparsity", "growth", "importance"}
    assert all(link.startswith(("#", "data:text/csv", "data:application/gzip")) for link in outline.links)
    assert all(source.startswith("data:") for source in outline.sources)
    assert all(outline.labelled) and len(outline.labelled) >= len(made[1])


def test_page_answers_first_and_holds_the_numbers_of_the_statistics(made, results):
    words = " ".join(" ".join(Outline(made[0]).text).split())
    ds = open_statistics(results / "statistics.nc", "thesis")
    places = []
    for name in ds["claim"].values:
        claim = ds.sel(claim=name)
        question, verdict = str(claim["question"].item()), str(claim["overall_verdict"].item()).capitalize()
        sentence = str(claim["overall_sentence"].item()).removeprefix(f"{verdict}: ")
        places += [words.index(question), words.index(sentence)]
    assert places == sorted(places) and max(places) < words.rindex("Speed") < words.rindex("Efficiency")
    assert all(limit.replace("`", "") in words.replace(" .", ".") for limit in json.loads(ds.attrs["limits"]))
    at = {"target": 0.9, "axis": "samples", "rival": "cnn"}
    for ratio in ds["ratio"].sel(at).values[ds["arm"].values == "horn"]:
        assert f"{ratio:.3g}" in words
    assert ds["ratio"].attrs["estimator"][1:] in words


@pytest.mark.parametrize("scene", ["one arm", "not reached", "diverged", "nan"])
def test_a_page_that_can_conclude_nothing_says_what_is_lacking(folder, scene):
    results = folder(scene, datasets=["digits"])
    words = " ".join(Outline(render(collect(results, ["thesis"]))[0]).text)
    assert words.count("Not measured") >= 3
    assert ("the sweep has no arm cnn" if scene == "one arm" else "no level to reach") in words


def test_every_chart_is_valid_says_n_and_has_words_for_who_does_not_see_it(made):
    _, charts = made
    assert len({chart.name for chart in charts}) == len(charts) > 8
    for chart in charts:
        alt.LayerChart.from_dict(chart.chart.to_dict(validate=True))
        assert re.search(r"n = \d", chart.caption), chart.name
        assert len(chart.alternative) > 20


def test_every_chart_is_seen_without_a_script(made):
    page, charts = made
    for chart in charts:
        picture = page.split(f'id="{chart.name}-chart"')[1].split("</div>")[0]
        assert "<svg" in picture and picture.count("<path") + picture.count("<rect") > 2, chart.name
        # A legend below the chart names its series; the axes carry words, too.
        assert "<text" in picture and f"{chart.name}-specification" in page
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_no_sentence_stands_twice(folder):
    arms = ["horn", "cnn", "cnn_flops", "leaky"]
    page, _ = render(collect(folder("yes", arms=arms, datasets=["digits"]), ["thesis"]))
    page = page.split("How each number was made")[
        0
    ]  # that list repeats what captions say of their own number
    visible = re.sub(r"<(script|style|td|svg|title)\b.*?</\1>", " ", page, flags=re.DOTALL)
    text = html.unescape(re.sub(r"<[^>]+>", "\n", visible))
    sentences = [
        sentence.strip()
        for line in text.splitlines()
        for sentence in re.split(r"(?<=[a-z)]\.) (?=[A-Z])", line)
        if len(sentence.strip()) > 40
    ]
    assert len(sentences) > 20
    assert [sentence for sentence in set(sentences) if sentences.count(sentence) > 1] == []


def test_the_first_page_says_what_was_compared_on_which_data_and_with_which_target(made, results):
    words = " ".join(" ".join(Outline(made[0]).text).split())
    first_page = words[: words.index("All comparisons that the verdicts rest on")]
    for arm in ("horn", "cnn", "leaky", "mobilenet"):
        assert f" {arm} " in first_page
    level = float(open_statistics(results / "statistics.nc", "thesis")["level"].sel(target=0.9).item())
    assert f"validation accuracy of {100 * level:.3g} %" in first_page
    assert "1,797 handwritten digits" in first_page and "32" in first_page
    ratio = float(
        open_statistics(results / "statistics.nc", "thesis")["ratio"]
        .sel(contender="horn", rival="cnn", target=0.9, axis="samples")
        .item()
    )
    assert f"{ratio:.3g} [" in first_page


def test_the_subtitle_names_configuration_date_and_host(folder):
    evidence = collect(folder("yes", arms=["horn", "cnn"], datasets=["digits"]), ["thesis"], ["my.yaml"])
    run = {"host": "node7", "device": "cpu x86", "finished": "2031-05-09T10:11:12+00:00"}
    words = " ".join(Outline(render(dataclasses.replace(evidence, last_run=run))[0]).text)
    assert "configured in my.yaml" in words and "9 May 2031 on the host node7 (cpu x86)" in words


def test_colours_are_those_that_the_colour_blind_tell_apart(made):
    safe = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"}
    for chart in made[1]:
        styles = {(swatch.colour, swatch.dash, swatch.shape) for swatch in chart.legend}
        assert len(styles) == len(chart.legend)
        assert {swatch.colour.lower() for swatch in chart.legend} <= safe


def test_report_writes_the_page_and_every_chart_twice(folder):
    results = folder("yes", arms=["horn"], datasets=["digits"])
    path = write_report(results, ["thesis"], results / "report.html")
    assert path == results / "report.html" and path.stat().st_size < 3_000_000
    figures = results / "figures" / "report"
    stems = {figure.stem for figure in figures.iterdir()}
    assert {figure.name for figure in figures.iterdir()} == {
        f"{stem}.{kind}" for stem in stems for kind in ("svg", "png")
    }
    for stem in stems:
        assert (figures / f"{stem}.svg").read_text().startswith("<svg")
        assert (figures / f"{stem}.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_at_all_makes_a_page_that_says_what_to_do(tmp_path):
    page, charts = render(collect(tmp_path, ["thesis"]))
    outline = Outline(page)
    assert outline.problems == [] and charts == []
    words = " ".join(outline.text)
    for command in ("snakemake --cores 2", "hornlib stability", "config/mechanism.yaml"):
        assert command in words
    assert render(collect(tmp_path, []))[0].startswith("<!doctype html>")


def test_a_sweep_without_runs_is_named_as_such(results):
    words = " ".join(Outline(render(collect(results, ["thesis", "later"]))[0]).text)
    assert "No run of the sweep later is gathered" in words and "Sweep thesis" in words


def test_results_without_statistics_are_drawn_and_the_command_is_named(folder):
    results = folder("yes", arms=["horn", "cnn"], datasets=["digits"])
    (results / "statistics.nc").unlink()
    (results / "results.nc").rename(results / "partial.nc")
    page, charts = render(collect(results, ["thesis"]))
    assert len(charts) == 3 and all("curves" in chart.name for chart in charts)
    words = " ".join(Outline(page).text)
    assert "hornlib statistics" in words and "hornlib calibrate" in words and "not finished" in words


@pytest.mark.parametrize("name", ["results.nc", "statistics.nc", "stability.nc", "mechanism/scale.nc"])
def test_a_damaged_file_is_refused_by_name(folder, name):
    results = folder("nan", arms=["horn"], datasets=["digits"])
    (results / "mechanism").mkdir()
    path = results / name
    path.write_bytes(path.read_bytes()[:1000] if path.exists() else b"not netCDF at all")
    with pytest.raises(ResultsError, match=re.escape(name.rpartition("/")[2])):
        write_report(results, ["thesis"], results / "report.html")


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(ResultsError, match="taken"):
        write_report(tmp_path, [], tmp_path / "taken" / "report.html")


def test_versions_that_are_mixed_are_listed(folder):
    page, _ = render(collect(folder("mixed", arms=["horn"]), ["thesis"]))
    assert "1.0 abc: 1 run files; 1.1 def: 1 run files" in " ".join(Outline(page).text)


def test_the_page_says_which_results_and_which_hornlib_made_the_statistics(folder):
    results = folder("yes", arms=["horn", "cnn"], datasets=["digits"])
    with xr.open_dataset(results / "statistics.nc") as ds:
        ds.load()
    words = " ".join(Outline(render(collect(results, ["thesis"]))[0]).text)
    digest = hashlib.sha256((results / "results.nc").read_bytes()).hexdigest()
    version = f"{ds.attrs['hornlib_version']}, commit {ds.attrs['hornlib_commit']}"
    assert f"statistics.nc, made by hornlib {version}, from results with the SHA-256 {digest}" in words


def test_an_old_results_file_does_not_win_over_the_partial_one_that_the_statistics_are_of(folder):
    results = folder("yes", arms=["horn", "cnn"], datasets=["digits"])
    (results / "results.nc").rename(results / "partial.nc")
    other = folder("no", arms=["horn", "cnn"], datasets=["digits"])
    (results / "results.nc").write_bytes((other / "results.nc").read_bytes())
    evidence = collect(results, ["thesis"])
    assert evidence.source == "partial.nc" and evidence.statistics_match
    assert "not made from" not in " ".join(Outline(render(evidence)[0]).text)


def test_statistics_of_another_results_file_are_named_once(folder):
    results = folder("yes", arms=["horn", "cnn"], datasets=["digits"])
    other = folder("no", arms=["horn", "cnn"], datasets=["digits"])
    (results / "results.nc").write_bytes((other / "results.nc").read_bytes())
    evidence = collect(results, ["thesis"])
    assert evidence.source == "results.nc" and not evidence.statistics_match
    assert " ".join(Outline(render(evidence)[0]).text).count("was not made from results.nc") == 1
