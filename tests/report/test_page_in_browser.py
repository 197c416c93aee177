"""The page in a real browser: no errors, every chart visible, nothing wider than a phone, and it prints."""

import base64
import json
import os
import re
import shutil
import subprocess
import time

import pytest

from hornlib.report.evidence import collect
from hornlib.report.page import render

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REQUIRED = os.environ.get("HORNLIB_REQUIRE_CHROMIUM") == "1"

pytestmark = pytest.mark.skipif(
    not CHROMIUM and not REQUIRED,
    reason="there is no chromium; HORNLIB_REQUIRE_CHROMIUM=1 makes this a failure",
)


class Browser:
    """A headless browser, spoken to over a pipe in its own protocol: JSON, each message ended by a zero byte."""

    def __init__(self, profile):
        assert CHROMIUM, "HORNLIB_REQUIRE_CHROMIUM=1, and there is no chromium"
        read_there, self.write_here = os.pipe()
        self.read_here, write_there = os.pipe()
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--remote-debugging-pipe"]
        options.append(f"--user-data-dir={profile}")
        self.process = subprocess.Popen(
            ["bash", "-c", f'exec "$0" "$@" 3<&{read_there} 4>&{write_there}', CHROMIUM, *options],
            pass_fds=(read_there, write_there),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_there)
        os.close(write_there)
        self.pending, self.count, self.events, self.session = b"", 0, [], None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **parameters):
        self.count += 1
        message = {"id": self.count, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.write_here, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != self.count:
            self.events.append(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _read(self):
        while b"\0" not in self.pending:
            chunk = os.read(self.read_here, 1 << 16)
            assert chunk, "the browser has gone"
            self.pending += chunk
        message, self.pending = self.pending.split(b"\0", 1)
        return json.loads(message)

    def open(self, path, width, unfold=True, **media):
        """Open a page, unfold its sections if asked, and wait until the charts in view are drawn again by vega."""
        self.events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        self.call("Emulation.setEmulatedMedia", **media)
        self.call("Page.navigate", url=path.as_uri())
        deadline = time.monotonic() + 60
        while not self.evaluate("document.documentElement?.dataset.charts === 'drawn'"):
            assert time.monotonic() < deadline, "the charts are not drawn after a minute"
            time.sleep(0.02)
        if unfold:
            self.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
            while self.evaluate("document.querySelector('.chart:not([data-drawn=done])') !== null"):
                assert time.monotonic() < deadline, "the unfolded charts are not drawn after a minute"
                time.sleep(0.02)

    def evaluate(self, script):
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def complaints(self):
        """Return what the console, the log and uncaught errors say, and every request but for the page itself."""
        complaints = []
        for event in self.events:
            parameters = event.get("params", {})
            if event.get("method") == "Runtime.consoleAPICalled" and parameters["type"] in (
                "error",
                "warning",
            ):
                complaints.append(parameters["args"])
            if event.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                complaints.append(parameters)
            if event.get("method") == "Network.requestWillBeSent":
                url, page = parameters["request"]["url"], parameters["type"] == "Document"
                if not url.startswith("data:") and not (page and url.startswith("file:")):
                    complaints.append(url[:200])
        return complaints

    def close(self):
        self.process.terminate()
        self.process.wait(timeout=10)
        os.close(self.write_here)
        os.close(self.read_here)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def written(folder, tmp_path_factory):
    """A function that writes the page of a scene, without its figures as files."""

    def write(scene, **how):
        page = tmp_path_factory.mktemp("page") / "report.html"
        page.write_text(render(collect(folder(scene, **how), ["thesis"]))[0], encoding="utf-8")
        return page

    return write


@pytest.fixture(scope="module")
def page(written):
    return written("yes", datasets=["digits"])


OVERFLOWING = """[...document.querySelectorAll('body *')].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width && (box.right > innerWidth + 1 || box.left < -1)
    && !e.closest('.scroll *, nav ul, .skip, svg *') && getComputedStyle(e).position !== 'absolute';
}).map(e => e.tagName + '.' + e.className + '#' + e.id)"""

INVISIBLE = """[...document.querySelectorAll('figure, .chart svg, .card, img')].filter(e => {
  const box = e.getBoundingClientRect(); return box.width < 20 || box.height < 5;
}).map(e => e.id || e.className || e.tagName)"""


@pytest.mark.parametrize("width", [360, 1280])
def test_page_is_quiet_and_whole_at_every_width(browser, page, width):
    browser.open(page, width)
    assert browser.complaints() == []
    charts, drawn = (
        browser.evaluate(f"document.querySelectorAll({chosen!r}).length")
        for chosen in (".chart", ".chart svg")
    )
    assert charts == drawn > 8
    assert browser.evaluate(INVISIBLE) == []
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(OVERFLOWING) == []


def test_a_chart_follows_the_width_of_its_window(browser, page):
    drawn = "document.querySelector('.wide .chart svg').getBoundingClientRect().width"
    browser.open(page, 1280)
    assert browser.evaluate(drawn) > 900
    browser.open(page, 360)
    assert 250 < browser.evaluate(drawn) < 360


CONTRAST = """(() => {
  const channel = v => v <= 10 ? v / 255 / 12.92 : ((v / 255 + .055) / 1.055) ** 2.4;
  const luminance = colour => {
    const [r, g, b] = colour.match(/[\\d.]+/g).map(channel);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const paper = luminance(getComputedStyle(document.body).backgroundColor);
  const ratio = e => {
    const style = getComputedStyle(e);
    const ink = luminance(e instanceof SVGElement ? style.fill : style.color);
    return (Math.max(ink, paper) + .05) / (Math.min(ink, paper) + .05);
  };
  return [...document.querySelectorAll('p, h1, h2, td, figcaption, .chart svg text, .verdict')]
    .map(e => [ratio(e), e.textContent.slice(0, 40)]).filter(([r]) => r < 4.5);
})()"""
"""Text whose contrast to the paper is below 4.5 : 1, the least that WCAG 2 allows."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_light_and_dark(browser, page, scheme):
    browser.open(page, 1280, features=[{"name": "prefers-color-scheme", "value": scheme}])
    paper = browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light")
    assert browser.evaluate(CONTRAST) == []


def test_tables_sort_by_size_and_back(browser, page):
    browser.open(page, 1280)
    table = "document.querySelector('#thesis-ratios-samples-table')"
    keys = f"[...{table}.querySelectorAll('tbody tr')].map(r => +r.cells[3].dataset.key)"
    for descending in (False, True):
        browser.evaluate(f"{table}.querySelectorAll('th button')[3].click()")
        values = browser.evaluate(keys)
        assert len(values) == 4 and values == sorted(values, reverse=descending)
    assert browser.evaluate(f"{table}.querySelectorAll('th')[3].getAttribute('aria-sort')") == "descending"


def num_printed_pages(browser):
    printed = base64.b64decode(browser.call("Page.printToPDF", printBackground=True)["data"])
    assert printed.startswith(b"%PDF")
    return len(re.findall(rb"/Type\s*/Page\b", printed))


def test_page_prints_what_is_unfolded(browser, page):
    browser.open(page, 1280, unfold=False)
    first_page = num_printed_pages(browser)
    browser.open(page, 1280)
    assert first_page <= 2 < num_printed_pages(browser)


def test_a_link_of_the_index_unfolds_its_section_and_the_index_marks_it(browser, page):
    browser.open(page, 1280, unfold=False)
    marked = "[...document.querySelectorAll('nav a[aria-current]')].map(a => a.hash)"
    wait_for(browser, marked, ["#answer"])
    assert not browser.evaluate("document.getElementById('speed').checkVisibility()")
    browser.evaluate("document.querySelector('nav a[href=\"#speed\"]').click()")
    wait_for(browser, marked, ["#speed"])
    assert browser.evaluate("document.getElementById('speed').checkVisibility()")


def wait_for(browser, script, value):
    deadline = time.monotonic() + 20
    while (last := browser.evaluate(script)) != value:
        assert time.monotonic() < deadline, last
        time.sleep(0.05)


def test_on_a_phone_every_entry_of_a_table_is_in_view_under_its_heading(browser, page):
    browser.open(page, 400)
    outside = """[...document.querySelectorAll('td')].filter(e => {
      const box = e.getBoundingClientRect(); return box.right > innerWidth || box.left < 0;
    }).map(e => e.textContent)"""
    assert browser.evaluate(outside) == []
    heading = "getComputedStyle(document.querySelectorAll('td.number')[0], '::before').content"
    assert browser.evaluate(heading).strip('"').rstrip().endswith(":")


def test_page_prints_light_and_within_the_paper(browser, page):
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    browser.open(page, 700, media="print", features=dark)
    assert browser.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert browser.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert browser.evaluate("document.documentElement.scrollWidth") <= 700


@pytest.mark.slow  # statistics and pages of eight sweeps
@pytest.mark.parametrize(
    "scene", ["yes", "no", "mixed", "few seeds", "not reached", "diverged", "one arm", "nan"]
)
def test_poor_data_make_a_page_without_errors(browser, written, scene):
    browser.open(written(scene), 360)
    assert browser.complaints() == []
    assert browser.evaluate(OVERFLOWING) == [] and browser.evaluate(INVISIBLE) == []


def test_labels_of_the_configuration_are_text_and_run_nothing(browser, written):
    evil = "</script><script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>"
    browser.open(written("yes", arms=["horn", "cnn", evil], datasets=["digits"]), 1280)
    assert browser.complaints() == []
    assert browser.evaluate("window.hacked === undefined")
    assert browser.evaluate(f"document.body.textContent.includes({json.dumps(evil)})")
