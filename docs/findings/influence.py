"""The influence of parameters as tables: shares of variance, main effects and interactions with their intervals.

python docs/findings/influence.py results/influence/statistics.nc influence --out docs/findings/influence.md
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

from hornlib.statistics.influence_table import OUTCOMES as LIMITED
from hornlib.statistics.write import open_statistics

MARK = "<!-- below: made by docs/findings/influence.py -->"

OUTCOMES = {
    "log_time": ("Samples to the target", True),
    "log_training_flops": ("Training FLOPs to the target", True),
    "final_metric": ("Final test accuracy", False),
}
"""Outcome -> its words, and whether an effect is the logarithm of a ratio."""


def shares(own: xr.Dataset) -> Iterator[str]:
    """Yield the decomposition of one outcome's variance."""
    yield "| parameter | share alone | share with its interactions | largest in so many of the bootstrap's draws |"
    yield "|---|---:|---:|---:|"
    for name in own["axis_name"].values:
        alone, total, largest = (
            100 * float(own[variable].sel(axis_name=name))
            for variable in ("first_order_share", "total_share", "largest_in_draws")
        )
        yield f"| {name} | {alone:.0f} % | {total:.0f} % | {largest:.0f} % |"
    yield f"\nOf a single run's variance {100 * float(own['noise_share']):.0f} % is its seed's.\n"


def effects(own: xr.Dataset, is_ratio: bool) -> Iterator[str]:
    """Yield the main effects of one outcome, and the interactions whose interval leaves out no effect."""
    about = "factor on the outcome" if is_ratio else "points"
    yield f"| level | {about} [95 % interval] |"
    yield "|---|---:|"
    for level in own["parameter_level"].values:
        yield f"| {level} | {_told(own, 'main_effect', {'parameter_level': level}, is_ratio)} |"
    clear = []
    for pair in own["level_pair"].values:
        low, high = own["interaction_bound"].sel(level_pair=pair).values
        if np.isfinite(low) and (low > 0 or high < 0):
            clear.append(f"{pair}: {_told(own, 'interaction', {'level_pair': pair}, is_ratio)}")
    found = "; ".join(clear) or "none"
    yield f"\nInteractions whose interval leaves out no effect: {found}.\n"


def edges(ds: xr.Dataset, dataset: str, outcome: str) -> Iterator[str]:
    """Yield a warning where cells are best at the smallest or largest learning rate that was tried."""
    for limit in json.loads(str(ds.attrs.get("limits", "[]"))):
        if limit.startswith(f"{dataset}, {LIMITED[outcome]}: ") and "smallest or largest" in limit:
            told = limit.partition(": ")[2].partition(": widen it")[0]
            yield f"**† {told}**: their best learning rate may lie beyond, and they may do better with a wider range."


def _told(own: xr.Dataset, name: str, place: dict[str, str], is_ratio: bool) -> str:
    middle = float(own[name].sel(place))
    low, high = own[f"{name}_bound"].sel(place).values
    if is_ratio:
        return f"{np.exp(middle):.2f} [{np.exp(low):.2f}, {np.exp(high):.2f}]"
    return f"{100 * middle:+.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"


def main() -> None:
    """Read the statistics and write the tables; what stands above the mark is kept."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("statistics", type=Path)
    parser.add_argument("sweep")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    ds = open_statistics(arguments.statistics, arguments.sweep)
    lines: list[str] = []
    for dataset in ds["dataset"].values:
        for outcome, (words, is_ratio) in OUTCOMES.items():
            if outcome not in ds["outcome"].values:
                continue
            own = ds.sel(dataset=dataset, outcome=outcome)
            cells, seeds = int(own["factorial_cells"]), int(own["factorial_seeds"])
            lines += [
                f"## {words}, {dataset}",
                f"{cells} cells at their own best learning rate, n = {seeds} seeds each.",
                *edges(ds, str(dataset), outcome),
                "",
            ]
            lines += [*shares(own), *effects(own, is_ratio)]
    text = arguments.out.read_text() if arguments.out.exists() else f"# Influence of parameters\n\n{MARK}\n"
    arguments.out.write_text(text.split(MARK)[0] + MARK + "\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
