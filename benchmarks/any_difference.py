"""Size of the test whether the cells of a grid differ at all, where learning rates are chosen, and its power.

`python benchmarks/any_difference.py` writes benchmarks/any_difference.md; `--simulations N` for a quicker look.
"""

import argparse
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

import numpy as np
from scipy.stats import f

from hornlib.statistics.estimators.any_difference import any_difference, at_chosen_rates

SD_OF_RUNS, SD_OF_SEEDS, EFFECT = 0.3, 0.2, 0.3
"""Of log time: luck of one run, luck that a seed brings to all cells, difference of the halves where power is asked."""

NUM_RATES = 3
DRAWS = 199
SEEDS = (5, 7, 10)
CELLS = (6, 27)

Gaps = Callable[[int], np.ndarray]


def _halves(first: list[float], second: list[float]) -> Gaps:
    """Return how much worse each learning rate is than the best, (cell, rate), in either half of the cells."""
    return lambda cells: np.array([first] * (cells // 2) + [second] * (cells - cells // 2))


CASES: dict[str, tuple[Gaps, float]] = {
    "the rate was given": (_halves([0.0], [0.0]), 1),
    "rates far apart": (_halves([0.0, 0.5, 1.0], [0.0, 0.5, 1.0]), 1),
    "rates nearly equal": (_halves([0.0, 0.05, 0.1], [0.0, 0.05, 0.1]), 1),
    "rates equal in half of the cells *": (_halves([0.0, 0.5, 1.0], [0.0, 0.0, 0.0]), 1),
    "the best rate differs between halves *": (_halves([0.0, 0.5, 1.0], [1.0, 0.5, 0.0]), 1),
    "far apart, noise three times as large in one half *": (_halves([0.0, 0.5, 1.0], [0.0, 0.5, 1.0]), 3),
}
"""Case -> the gaps, and how many times as large the noise of the second half is."""


def main() -> None:
    """Simulate and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=1000)
    simulations = parser.parse_args().simulations
    lines = report(list(table(simulations)), simulations)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def table(simulations: int) -> Iterator[tuple[str, int, list[str]]]:
    """Yield for every case and number of cells: rejections by tables of F and by exchange, and power."""
    for number, ((case, (gaps, noise)), cells) in enumerate(product(CASES.items(), CELLS)):
        entries = []
        for seeds in SEEDS:
            random = np.random.default_rng([number, seeds])
            by_table, by_exchange = _rejections(random, gaps(cells), noise, seeds, 0.0, simulations)
            _, power = _rejections(random, gaps(cells), noise, seeds, EFFECT, simulations // 4)
            entries.append(f"{by_table:.3f} | {by_exchange:.3f} | {power:.2f}")
        yield case, cells, entries


def _rejections(
    random: np.random.Generator, gaps: np.ndarray, noise: float, seeds: int, effect: float, simulations: int
) -> tuple[float, float]:
    """Return how often the tables of F and the exchange of cells reject at 5 %."""
    cells, rates = gaps.shape
    is_second = np.arange(cells) >= cells // 2
    scale = np.where(is_second, noise, 1.0)[:, None, None] * SD_OF_RUNS
    rejected = np.zeros((simulations, 2))
    for place in range(simulations):
        runs = gaps[:, :, None] + effect * is_second[:, None, None]
        runs = (
            runs + scale * random.normal(size=(cells, rates, seeds)) + SD_OF_SEEDS * random.normal(size=seeds)
        )
        rejected[place] = _by_table(at_chosen_rates(runs, runs)), any_difference(runs, runs, place, DRAWS)
    return tuple((rejected <= 0.05).mean(0))


def _by_table(runs: np.ndarray) -> float:
    """Return the p-value of F by its tables, which do not know of any choice."""
    cells, seeds = runs.shape
    of_cells, of_seeds, mean = runs.mean(1, keepdims=True), runs.mean(0), runs.mean()
    between = seeds * ((of_cells - mean) ** 2).sum() / (cells - 1)
    within = ((runs - of_cells - of_seeds + mean) ** 2).sum() / ((cells - 1) * (seeds - 1))
    return float(f.sf(between / within, cells - 1, (cells - 1) * (seeds - 1)))


def report(rows: list[tuple[str, int, list[str]]], simulations: int) -> list[str]:
    """Return the table in Markdown."""
    error = np.sqrt(0.05 * 0.95 / simulations)
    return [
        "# The test of any difference among the cells of a grid",
        "",
        f"Share of {simulations:,} simulated grids in which a test at 5 % rejects; all cells are truly alike at their "
        f"best learning rates of {NUM_RATES} (standard error {error:.3f}). By tables: F with its tabled distribution. "
        f"By exchange: `statistics.estimators.any_difference`, {DRAWS} draws. Power: by exchange, half of the cells "
        f"slower by a factor of {np.exp(EFFECT):.2f} ({simulations // 4:,} grids). The sd of a run's log time is "
        f"{SD_OF_RUNS}. In the lines marked * cells that are alike at their best rates differ otherwise, so that they "
        "cannot be exchanged and the test may reject more often or less. "
        "Made by `python benchmarks/any_difference.py`.",
        "",
        "| cells | number | "
        + " | ".join(f"n = {seeds}: by tables | by exchange | power" for seeds in SEEDS)
        + " |",
        "|---|---:|" + "---:|" * (3 * len(SEEDS)),
        *(f"| {case} | {cells} | {' | '.join(entries)} |" for case, cells, entries in rows),
    ]


if __name__ == "__main__":
    main()
