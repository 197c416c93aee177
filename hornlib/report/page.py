"""The report: one HTML page that holds everything it shows, made from a results folder."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path

import jinja2
from markupsafe import Markup

from hornlib import __version__
from hornlib.config.commands import completed
from hornlib.report.blocks import Chart, Section
from hornlib.report.evidence import FIGURES_FOLDER, ReportEvidence, collect
from hornlib.report.figures import embedded_svg, specification, write_figures
from hornlib.report.sections.answer import answer
from hornlib.report.sections.compared import origin
from hornlib.report.sections.contenders import contenders
from hornlib.report.sections.dynamics import dynamics
from hornlib.report.sections.efficiency import efficiency
from hornlib.report.sections.estimators import estimators
from hornlib.report.sections.final import final
from hornlib.report.sections.growth import growth
from hornlib.report.sections.importance import importance
from hornlib.report.sections.mechanism import mechanism
from hornlib.report.sections.parameters import parameters
from hornlib.report.sections.provenance import provenance
from hornlib.report.sections.sparsity import sparsity
from hornlib.report.sections.speed import speed
from hornlib.report.sections.stability import stability
from hornlib.report.sections.tuning import tuning
from hornlib.results.atomic import written_atomically

__all__ = ["SECTIONS", "render", "write_report"]

SECTIONS: tuple[Callable[[ReportEvidence], Section], ...] = (
    answer,
    speed,
    efficiency,
    final,
    sparsity,
    growth,
    importance,
    stability,
    dynamics,
    mechanism,
    parameters,
    tuning,
    contenders,
    estimators,
    provenance,
)
"""In the order of the page. A section without blocks is left out."""

TITLE = "Do networks with dynamics of their own learn faster?"


def write_report(
    results_folder: Path, sweeps: Iterable[str], output: Path, configuration: Sequence[str | Path] = ()
) -> Path:
    """Write the page, and its charts as SVG and PNG into `figures/report` of the results folder.

    Args:
        results_folder: the folder of results.nc (or partial.nc), statistics.nc and the other files. The page names what
            is missing, with the command that makes it.
        sweeps: names of the sweeps, in the order of the page.
        output: the page, e.g. results/report.html.
        configuration: the configuration files, which the page names.

    Returns:
        `output`.

    Raises:
        ResultsError: a file is damaged or has another schema version, or a folder cannot be written.
    """
    evidence = collect(results_folder, sweeps, configuration)
    page, pictures = _render(evidence)
    write_figures(pictures, results_folder / FIGURES_FOLDER)
    with written_atomically(output) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return output


def render(evidence: ReportEvidence) -> tuple[str, list[Chart]]:
    """Return the page as HTML, and the charts in it."""
    page, pictures = _render(evidence)
    return page, list(pictures)


def _render(evidence: ReportEvidence) -> tuple[str, dict[Chart, str]]:
    """Return the page as HTML, and the charts in it, each with its SVG."""
    made = [section(evidence) for section in SECTIONS]
    sections = [section for section in made if section.blocks]
    charts = [block for section in sections for block in section.all_blocks() if isinstance(block, Chart)]
    pictures = {chart: embedded_svg(chart) for chart in charts}
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hornlib.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["completed"] = partial(completed, files=evidence.configuration)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "sort_keys": True}
    page = environment.get_template("page.html.jinja").render(
        title=TITLE,
        subtitle=origin(evidence),
        version=__version__,
        sections=sections,
        pictures={chart.name: Markup(svg) for chart, svg in pictures.items()},
        specifications={chart.name: specification(chart, "container") for chart in charts},
        style=_verbatim(_template("style.css")),
        script=_verbatim(_template("page.js")),
        vega=_verbatim(_vega() if charts else ""),
    )
    return page, pictures


def _template(name: str) -> str:
    return (files("hornlib.report") / "templates" / name).read_text(encoding="utf-8")


def _vega() -> str:
    import vl_convert

    return vl_convert.javascript_bundle()  # type: ignore[call-arg]


def _verbatim(text: str) -> Markup:
    """Return the page's own style or script unescaped, except for text that would end its element."""
    return Markup(text.replace("</script", "<\\/script").replace("</style", "<\\/style"))
