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
    names = ds["contender"].values
    if "steps_to_target" in ds:
        steps, reached = ds["steps_to_target"].values, ds["target_reached"].values
        columns = {
            "runs": [f"{number}" for number in np.isfinite(steps).sum(1)],
            "reach the target": [f"{number:.0f}" for number in np.nansum(reached, 1)],
            "steps": [_figures(paired_ratio(runs, np.ones(len(runs))), 0) for runs in steps],
        }
        if not any("=" in name for name in names):  # every contender is an arm of its own
            columns[f"steps of {names[0]} over these"] = [
                _figures(paired_ratio(steps[0], runs), 2) for runs in steps
            ]
        columns["final accuracy, %"] = [_percent(runs) for runs in ds["final_metric"].values]
    elif "probe_accuracy" in ds:
        probed = ds["probe_accuracy"].values
        columns = {
            "runs": [f"{number}" for number in np.isfinite(probed).sum(1)],
            "accuracy of the linear probe, %": [_percent(runs) for runs in probed],
        }
    else:
        return
    yield f"| contender | {' | '.join(columns)} |"
    yield "|---|" + "---:|" * len(columns)
    for name, *numbers in zip(names, *columns.values(), strict=True):
        yield f"| {name} | {' | '.join(numbers)} |"
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
    lines: list[str] = []
    first_table: list[str] = []
    for name, title in TITLES.items():
        ds = open_experiment(arguments.folder / "mechanism" / f"{name}.nc")
        question, sentence = ds.attrs["question"], ds.attrs["sentence"]
        shutil.copy(arguments.folder / "figures" / f"mechanism-{name}.svg", figures / f"{name}.svg")
        lines += [f"## {title}", f"*{question}*", "", *targets(ds), sentence.replace("; ", ";\n"), ""]
        table = list(contenders(ds))
        lines += (
            ["The contenders are those of the first table.", ""] if table and table == first_table else table
        )
        first_table = first_table or table
        lines += [f"![{title}]({figures.name}/{name}.svg)", ""]
    write_below_mark(arguments.out, "Mechanism", "docs/findings/mechanism.py", lines)


if __name__ == "__main__":
    main()
