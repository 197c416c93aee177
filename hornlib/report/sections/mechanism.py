"""Why: the experiments that could refute an explanation, each with its sentence and its figure."""

import xarray as xr

from hornlib.report.blocks import Block, Heading, Missing, Paragraph, Section
from hornlib.report.evidence import ReportEvidence
from hornlib.report.figures import picture
from hornlib.report.mechanism_figures import DRAWINGS, NOTES, draw_experiment_panels
from hornlib.report.wording import slug

__all__ = ["mechanism"]


def mechanism(evidence: ReportEvidence) -> Section:
    """Return the section on mechanism."""
    blocks: list[Block] = []
    for name, ds in evidence.mechanism.items():
        blocks += _experiment(name, ds)
    if not blocks:
        blocks = [
            Missing(
                "No experiment on the mechanism of fast early learning was run.",
                "hornlib run --cores 2 --configfile config/mechanism.yaml",
                "Each experiment needs a sweep of its own; config/mechanism.yaml has them all.",
            )
        ]
    return Section("mechanism", "Mechanism", blocks, "Experiments that could refute an explanation.")


def _experiment(name: str, ds: xr.Dataset) -> list[Block]:
    title = name.replace("_", " ").capitalize()
    blocks: list[Block] = [Heading(title, slug("experiment", name))]
    if question := str(ds.attrs.get("question", "")):
        blocks.append(Paragraph(question))
    sentence = str(ds.attrs.get("sentence", "")) or "The experiment ended in no sentence."
    blocks.append(Paragraph(sentence, "finding"))
    if name not in DRAWINGS:
        return blocks
    sweep, num_seeds = (ds.attrs.get(key, "unknown") for key in ("sweep", "num_seeds"))
    caption = f"{NOTES[name]} Sweep {sweep}, n = {num_seeds} seeds."
    figures = draw_experiment_panels(ds)
    return [*blocks, picture(slug("mechanism", name), f"Figure: {title}", caption, figures)]
