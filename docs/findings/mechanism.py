"""The mechanism experiments as Markdown: each question, its sentence with the effect sizes, its figure.

python docs/findings/mechanism.py results/mechanism_sweeps --out docs/findings/mechanism.md
"""

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from hornlib.mechanism.record import open_experiment

TITLES = {
    "scale": "Output and gradient scale",
    "effective_rate": "Effective learning rate",
    "tangent_kernel": "Tangent kernel at initialisation",
    "linear_probe": "Linear probes of untrained features",
    "frozen_recurrence": "Frozen recurrence",
    "resonance": "Resonance",
    "heterogeneity": "Heterogeneity at equal gain",
}
MARK = "<!-- below: made by docs/findings/mechanism.py -->"


def targets(ds: xr.Dataset) -> Iterator[str]:
    """Yield the level of the target, which is that of the sweep's best cell, or of its baseline."""
    if "target_level" in ds:
        levels = " and ".join(f"{level:.3f}" for level in sorted(set(np.round(ds["target_level"].values, 3))))
        yield f"Target: a validation accuracy of {levels}."


def main() -> None:
    """Read the experiments and write the page; what stands above the mark is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    figures = arguments.out.with_suffix("")
    figures.mkdir(exist_ok=True)
    lines = []
    for name, title in TITLES.items():
        ds = open_experiment(arguments.folder / "mechanism" / f"{name}.nc")
        question, sentence = ds.attrs["question"], ds.attrs["sentence"]
        shutil.copy(arguments.folder / "figures" / f"mechanism-{name}.svg", figures / f"{name}.svg")
        lines += [f"## {title}", f"*{question}*", "", *targets(ds), sentence.replace("; ", ";\n"), ""]
        lines += [f"![{title}]({figures.name}/{name}.svg)", ""]
    text = arguments.out.read_text() if arguments.out.exists() else f"# Mechanism\n\n{MARK}\n"
    arguments.out.write_text(text.split(MARK)[0] + MARK + "\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
