"""The mechanism experiments as Markdown: each question, its sentence with the effect sizes, its figure.

python docs/findings/mechanism.py results/mechanism_sweeps --out docs/findings/mechanism.md
"""

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr
from tables import write_below_mark

from hornlib.mechanism.effects import Effect, paired_difference, paired_ratio
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


def targets(ds: xr.Dataset) -> Iterator[str]:
    """Yield the level of the target, which is that of the sweep's best cell, or of its baseline."""
    if "target_level" in ds:
        levels = ds["target_level"].values
        words = " and ".join(f"{level:.3f}" for level in np.unique(levels[np.isfinite(levels)].round(3)))
        yield f"Target: a validation accuracy of {words}."


def contenders(ds: xr.Dataset) -> Iterator[str]:
    """Yield a row for every contender: its steps to the target, or the accuracy of its linear probe."""
    if "steps_to_target" in ds:
        yield "| contender | runs | reach the target | steps | first contender's steps over these | final accuracy, % |"
        yield "|---|---:|---:|---:|---:|---:|"
    elif "probe_accuracy" in ds:
        yield "| contender | runs | accuracy of the linear probe, % |"
        yield "|---|---:|---:|"
    else:
        return
    for name in ds["contender"].values:
        own = ds.sel(contender=name)
        if "steps_to_target" in ds:
            steps, ones = own["steps_to_target"].values, np.ones(ds.sizes["seed"])
            first = ds["steps_to_target"].values[0]
            columns = [
                f"{np.nansum(own['target_reached'].values):.0f}",
                _figures(paired_ratio(steps, ones), 0),
                _figures(paired_ratio(first, steps), 2),
                _percent(own["final_metric"].values),
            ]
            runs = np.isfinite(steps).sum()
        else:
            runs = np.isfinite(own["probe_accuracy"].values).sum()
            columns = [_percent(own["probe_accuracy"].values)]
        yield f"| {name} | {runs} | {' | '.join(columns)} |"
    yield ""


def _percent(shares: np.ndarray) -> str:
    return _figures(paired_difference(100 * shares, np.zeros(len(shares))), 1)


def _figures(effect: Effect, digits: int) -> str:
    if not np.isfinite(effect.estimate):
        return "-"
    interval = f" [{effect.low:.{digits}f}, {effect.high:.{digits}f}]" if np.isfinite(effect.low) else ""
    return f"{effect.estimate:.{digits}f}{interval}"


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
        lines += contenders(ds)
        lines += [f"![{title}]({figures.name}/{name}.svg)", ""]
    write_below_mark(arguments.out, "Mechanism", "docs/findings/mechanism.py", lines)


if __name__ == "__main__":
    main()
