"""Why: the experiments that could refute an explanation, each with its sentence and its figure."""

import xarray as xr

from hornlib.report.blocks import Block, Heading, Missing, Paragraph, Section
from hornlib.report.evidence import FIGURES_FOLDER, Evidence
from hornlib.report.mechanism_figures import DRAWINGS, plot_experiment
from hornlib.report.pictures import picture
from hornlib.report.wording import slug

__all__ = ["mechanism"]


def mechanism(evidence: Evidence) -> Section:
    """Return the section on mechanism."""
    blocks: list[Block] = []
    for name, ds in evidence.mechanism.items():
        blocks += _experiment(evidence, name, ds)
    if not blocks:
        told = "No experiment on the mechanism of fast early learning was run."
        blocks = [Missing(told, "snakemake --cores 2 --configfile config/mechanism.yaml")]
    return Section("mechanism", "Mechanism", blocks)


def _experiment(evidence: Evidence, name: str, ds: xr.Dataset) -> list[Block]:
    title = name.replace("_", " ").capitalize()
    blocks: list[Block] = [Heading(title, slug("experiment", name))]
    if question := str(ds.attrs.get("question", "")):
        blocks.append(Paragraph(question))
    sentence = str(ds.attrs.get("sentence", "")) or "The experiment ended in no sentence."
    blocks.append(Paragraph(sentence, "finding"))
    if name not in DRAWINGS:
        return blocks
    caption = f"Sweep {ds.attrs.get('sweep', 'unknown')}, n = {ds.attrs.get('num_seeds', 'unknown')} seeds."
    return [*blocks, picture(plot_experiment(ds, evidence.folder / FIGURES_FOLDER), title, caption)]
