"""Coverage of the intervals of secondary quantities, by simulation at five and ten runs.

`python benchmarks/coverage.py` writes benchmarks/coverage.md; `--simulations N` for a quicker look.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.statistics.estimators.aggregate import interquartile_mean, probability_of_improvement
from hornlib.statistics.estimators.factorial import components
from hornlib.statistics.estimators.final import share_of_runs
from hornlib.statistics.estimators.intervals import resampling_weights
from hornlib.statistics.estimators.student import student_interval
from hornlib.statistics.estimators.survival import fraction_reached
from hornlib.statistics.influence import at_best_learning_rate, effects

SEEDS = (5, 10)
PROMISED = 0.93
RUNS = ("simulation", "seed")
Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]

METRICS: dict[str, Draw] = {
    "normal": lambda random, shape: random.normal(0.9, 0.01, shape),
    "uniform": lambda random, shape: random.uniform(0.8, 0.9, shape),
    "skewed, beta(20, 2)": lambda random, shape: random.beta(20, 2, shape),
    "heavy tails, t(3)": lambda random, shape: random.standard_t(3, shape),
    "tied, 95 % of 180 images": lambda random, shape: random.binomial(180, 0.95, shape) / 180,
    "lognormal, sd .2": lambda random, shape: np.exp(0.2 * random.normal(size=shape)),
    "lognormal, sd .5": lambda random, shape: np.exp(0.5 * random.normal(size=shape)),
}
BEYOND = {"lognormal, sd .5"}
"""No metric is distributed like this; told to show where the promise ends."""


RATES = {
    "rates far apart": (0.5, 0.5),
    "rates nearly equal": (0.05, 0.05),
    "rates equal in half of the cells": (0.5, 0.0),
}
"""How much better the best learning rate is than the next, in log time, in either half of the cells."""


class Row(NamedTuple):
    """A line of the table: the coverage at each of `SEEDS`, and whether it is promised to be `PROMISED`."""

    estimator: str
    case: str
    coverage: tuple[float, ...]
    promised: bool


def main() -> None:
    """Simulate and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=20_000)
    simulations = parser.parse_args().simulations
    lines = report(list(table(simulations)), simulations)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


def table(simulations: int) -> Iterator[Row]:
    """Yield every line; each case has a generator of its own."""
    cases: list[tuple[str, str, Callable[[np.random.Generator, int, int], float], bool]] = [
        *(
            (f"Student's, n - 2 ({what})", name, on_mean(draw, paired), name not in BEYOND)
            for what, paired in (("mean", False), ("paired difference", True))
            for name, draw in METRICS.items()
        ),
        *(
            (f"fraction reached, at the time when {share:.0%} have", name, on_fraction(share, random), True)
            for name, random in (("budget alone censors", False), ("runs leave at random", True))
            for share in (0.1, 0.5, 0.9)
        ),
        ("share of runs (Wilson)", "mean over shares .01 to .99", on_share(np.mean), True),
        ("share of runs (Wilson)", "worst share of .01 to .99", on_share(np.min), False),
        *(
            ("probability of improvement", f"{name}, theta {theta}", on_improvement(theta, tied), True)
            for name, tied in (("normal", False), ("tied", True))
            for theta in (0.5, 0.75, 0.95)
        ),
        *(
            (f"interquartile mean, datasets: {number}", name, on_middle(METRICS[name], number), True)
            for number in (1, 3)
            for name in ("normal", "uniform", "skewed, beta(20, 2)", "heavy tails, t(3)")
        ),
        *(
            (
                "effects of parameters at their best learning rate",
                f"{name}, sd of log time {sd}",
                on_effects(sd, *gaps),
                True,
            )
            for name, gaps in RATES.items()
            for sd in (0.2, 0.5)
        ),
    ]
    for number, (estimator, case, cover, promised) in enumerate(cases):
        coverages = (cover(np.random.default_rng([number, seeds]), seeds, simulations) for seeds in SEEDS)
        yield Row(estimator, case, tuple(coverages), promised)


def on_mean(draw: Draw, paired: bool) -> Callable[[np.random.Generator, int, int], float]:
    """Cover the mean of a distribution, or of the difference of two runs that share half of their luck."""

    def cover(random: np.random.Generator, seeds: int, simulations: int) -> float:
        shape = (simulations, seeds)
        truth = 0.0 if paired else draw(random, (4_000_000,)).mean()
        runs = draw(random, shape) - (draw(random, shape) if paired else 0.0)
        interval = student_interval(xr.DataArray(runs, dims=RUNS))["interval"]
        return within(interval.values, truth)

    return cover


def on_fraction(share: float, leaving: bool) -> Callable[[np.random.Generator, int, int], float]:
    """Cover the fraction reached; times are exponential, and runs leave as often as half of them arrive."""

    def cover(random: np.random.Generator, seeds: int, simulations: int) -> float:
        times = random.exponential(size=(simulations, seeds))
        leave = random.exponential(2.0, times.shape) if leaving else np.inf
        ends = xr.DataArray(np.minimum(np.minimum(times, leave), 4.0), dims=RUNS)
        event = xr.DataArray(times <= ends.values, dims=RUNS)
        at = xr.DataArray([-np.log(1 - share)], dims="time_index")
        return within(fraction_reached(ends, event, at)["fraction_bound"].values[:, 0], share)

    return cover


def on_share(summary: Callable[[np.ndarray], float]) -> Callable[[np.random.Generator, int, int], float]:
    """Cover a share, exactly: the binomial probability of all counts whose interval holds it."""

    def cover(random: np.random.Generator, seeds: int, simulations: int) -> float:
        from scipy.stats import binom

        counts = np.arange(seeds + 1)
        happened = xr.DataArray(np.arange(seeds) < counts[:, None], dims=RUNS).astype(float)
        low, high = share_of_runs(happened)["interval"].values.T
        shares = np.linspace(0.01, 0.99, 99)[:, None]
        held = (low <= shares) & (shares <= high)
        return float(summary((binom.pmf(counts, seeds, shares) * held).sum(1)))

    return cover


def on_improvement(theta: float, tied: bool) -> Callable[[np.random.Generator, int, int], float]:
    """Cover P(X > Y) of two normal arms; tied rounds them to half of their sd."""

    def cover(random: np.random.Generator, seeds: int, simulations: int) -> float:
        from scipy.stats import norm

        def drawn(shape: tuple[int, ...], shift: float) -> np.ndarray:
            runs = random.normal(shift, 1.0, shape)
            return np.round(2 * runs) / 2 if tied else runs

        shift = np.sqrt(2) * norm.ppf(theta)
        many = drawn((2_000_000,), shift) - drawn((2_000_000,), 0.0)
        truth = (many > 0).mean() + (many == 0).mean() / 2 if tied else theta
        arms = [xr.DataArray(drawn((simulations, seeds), arm_shift), dims=RUNS) for arm_shift in (shift, 0.0)]
        return within(probability_of_improvement(*arms)["interval"].values, truth)

    return cover


def on_middle(draw: Draw, datasets: int) -> Callable[[np.random.Generator, int, int], float]:
    """Cover the interquartile mean of datasets that lie one sd apart."""

    def cover(random: np.random.Generator, seeds: int, simulations: int) -> float:
        simulations = max(simulations // 10, 1)
        apart = np.arange(datasets)[:, None] * draw(random, (10_000,)).std()
        many = np.sort((draw(random, (datasets, 400_000)) + apart).ravel())
        truth = many[len(many) // 4 : -(len(many) // 4)].mean()
        runs = draw(random, (simulations, datasets, seeds)) + apart
        scores = xr.DataArray(runs, dims=("simulation", "dataset", "seed"))
        return within(interquartile_mean(scores, seed=0, draws=1000)["interval"].values, truth)

    return cover


def on_effects(sd: float, *gaps: float) -> Callable[[np.random.Generator, int, int], float]:
    """Cover main effects and interactions on log time of 2 x 3 cells, each at the best of three learning rates.

    Half of a seed's luck is shared by all cells. The best rate is better than the next by the first gap at the first
    of the timesteps, and by the second at the second; the truth is that at the truly best rates.
    """

    def cover(random: np.random.Generator, seeds: int, simulations: int) -> float:
        dims = ("timesteps", "num_nodes", "learning_rate", "seed")
        levels = {"timesteps": [4, 8], "num_nodes": [16, 32, 64]}
        cells = np.array([[0.0, 0.3, 0.5], [0.2, 0.3, 0.9]])
        truths = components(xr.DataArray(cells, levels, dims[:2]), dims[:2])
        away = np.abs(np.arange(3) - np.array([[0, 1, 2], [1, 1, 1]])[..., None])
        expected = cells[..., None, None] + (away * np.array(gaps)[:, None, None])[..., None]
        weights = resampling_weights(1000, seeds, 0)
        covered = []
        for _ in range(max(simulations // 50, 1)):
            luck = np.sqrt(0.5) * sd * (random.normal(size=(2, 3, 3, seeds)) + random.normal(size=seeds))
            times = xr.DataArray(expected + luck, levels, dims)
            judged = at_best_learning_rate(times, times)
            for subset, effect in effects(judged, dims[:2], weights, alpha=0.05).items():
                covered.append(
                    within(effect["interval"].values.reshape(-1, 2), truths[subset].values.ravel())
                )
        return float(np.mean(covered))

    return cover


def within(interval: np.ndarray, truth: float | np.ndarray) -> float:
    """Return how often the truth lies in the interval; rounding decides nothing."""
    return float(((interval[:, 0] <= truth + 1e-12) & (truth - 1e-12 <= interval[:, 1])).mean())


def report(rows: list[Row], simulations: int) -> list[str]:
    """Return the table in Markdown."""
    return [
        "# Coverage of the intervals of secondary quantities",
        "",
        f"Share of {simulations:,} simulated sweeps in which an interval for 95 % holds the truth "
        f"({simulations // 10:,} for interquartile means; {simulations // 50:,} of 11 effects each for parameters; "
        f"Wilson's by counting). At least {PROMISED:.0%} is promised, but in the lines marked *: no metric is "
        "lognormal with an sd of .5, and Wilson's interval keeps its word on average over shares, not at each. "
        "The headline ratio's interval has a table of its own, interval_coverage.md. "
        "Made by `python benchmarks/coverage.py`.",
        "",
        f"| interval | runs | {' | '.join(f'n = {seeds}' for seeds in SEEDS)} |",
        "|---|---|" + "---:|" * len(SEEDS),
        *(
            f"| {row.estimator} | {row.case}{'' if row.promised else ' *'} | "
            f"{' | '.join(f'{share:.3f}' for share in row.coverage)} |"
            for row in rows
        ),
    ]


if __name__ == "__main__":
    main()
