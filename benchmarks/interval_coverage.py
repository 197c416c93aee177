"""Coverage of four intervals of the ratio of restricted mean times, and size and power of two tests.

python benchmarks/interval_coverage.py > benchmarks/interval_coverage.md
"""

import argparse
from collections.abc import Callable

import numpy as np
from scipy import stats

from hornlib.statistics.intervals import log_ratio_interval, resampling_weights
from hornlib.statistics.paired_t import paired_t_p

ALPHA, DRAWS = 0.05, 2000

LEVELS = (0.05, 0.05 / 6)
"""Alone, and as the smallest of six under Holm's correction."""

GRID = np.unique(np.round(10 ** (np.arange(61) / 12)))
"""Evaluations of a run."""

Sample = Callable[[np.random.Generator, tuple[int, int]], tuple[np.ndarray, np.ndarray]]


def lognormal(sd: float, ratio: float = 1.0, correlation: float = 0.0, budget: float = np.inf) -> Sample:
    """Return a sampler of pairs of restricted times, the second around 100 steps."""

    def draw(random: np.random.Generator, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        shared, own, other = random.standard_normal((3, *shape))
        mix = np.sqrt(1 - correlation**2)
        a = 100 * ratio * np.exp(sd * (correlation * shared + mix * own))
        b = 100 * np.exp(sd * (correlation * shared + mix * other))
        return np.minimum(a, budget), np.minimum(b, budget)

    return draw


def rounded(sampler: Sample) -> Sample:
    """Return the sampler with times rounded up to the next evaluation."""

    def draw(random: np.random.Generator, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        a, b = sampler(random, shape)
        return GRID[np.searchsorted(GRID, a)], GRID[np.searchsorted(GRID, b)]

    return draw


def with_misses(sampler: Sample, share: float, budget: float, of_both: bool = False) -> Sample:
    """Return the sampler with a share of the first arm's runs, or of both arms', at the budget: they diverged."""

    def draw(random: np.random.Generator, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        a, b = sampler(random, shape)
        lost = random.random((2, *shape)) < share
        return np.where(lost[0], budget, a), np.where(lost[1] & of_both, budget, b)

    return draw


CASES: dict[str, Sample] = {
    "lognormal, sd .2": lognormal(0.2),
    "lognormal, sd .2, 1.5 times faster": lognormal(0.2, 1 / 1.5),
    "lognormal, sd .5": lognormal(0.5),
    "lognormal, sd .5, 1.5 times faster": lognormal(0.5, 1 / 1.5),
    "sd .3, pairs correlated": lognormal(0.3, 1 / 1.2, 0.7),
    "sd .2, rounded up to evaluations": rounded(lognormal(0.2)),
    "sd .2, rounded up, 1.5 times faster": rounded(lognormal(0.2, 1 / 1.5)),
    "sd .05, rounded up: nearly all tied": rounded(lognormal(0.05)),
    "sd .5, budget twice the median (8 % miss)": lognormal(0.5, budget=200),
    "sd .5, budget 1.5 times the median (21 % miss)": lognormal(0.5, budget=150),
    "sd .3, 20 % of one arm diverge, budget 4 medians": with_misses(lognormal(0.3), 0.2, 400),
    "sd .3, 10 % of both arms diverge, budget 4 medians": with_misses(lognormal(0.3), 0.1, 400, of_both=True),
}


def intervals(a: np.ndarray, b: np.ndarray) -> dict[str, np.ndarray]:
    """Return (row, 2) bounds of the log ratio, by method."""
    weights = resampling_weights(DRAWS, a.shape[1], 0)
    return {
        "percentile": percentile(a, b, weights),
        "BCa": accelerated(a, b, weights),
        "studentised": log_ratio_interval(a, b, weights, ALPHA),
        "studentised, with rounding": log_ratio_interval(
            a, b, weights, ALPHA, rounding_of(a, b, relative=False)
        ),
    }


def _resampled(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return np.log(a @ weights.T) - np.log(b @ weights.T)


def percentile(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return quantiles of the resampled log ratios."""
    return np.quantile(_resampled(a, b, weights), [ALPHA / 2, 1 - ALPHA / 2], axis=1).T


def accelerated(a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the bias-corrected and accelerated bounds (Efron, 1987), the acceleration by the jackknife."""
    theta = np.log(a.mean(1) / b.mean(1))
    draws = np.sort(_resampled(a, b, weights), axis=1)
    below = ((draws < theta[:, None]).mean(1) + (draws <= theta[:, None]).mean(1)) / 2
    bias = stats.norm.ppf(np.clip(below, 1 / DRAWS, 1 - 1 / DRAWS))
    left_out = np.log((a.sum(1, keepdims=True) - a) / (b.sum(1, keepdims=True) - b))
    deviation = left_out.mean(1, keepdims=True) - left_out
    square = (deviation**2).sum(1)
    acceleration = (deviation**3).sum(1) / np.where(square > 0, 6 * square**1.5, 1)
    bounds = []
    for z in stats.norm.ppf([ALPHA / 2, 1 - ALPHA / 2]):
        level = stats.norm.cdf(bias + (bias + z) / (1 - acceleration * (bias + z)))
        index = np.clip((level * DRAWS).astype(int), 0, DRAWS - 1)
        bounds.append(np.take_along_axis(draws, index[:, None], 1)[:, 0])
    return np.stack(bounds, axis=1)


def rounding_of(a: np.ndarray, b: np.ndarray, relative: bool) -> np.ndarray:
    """Return the variance that rounding up to evaluations adds to ln(mean a / mean b), or to mean ln(a / b)."""
    grid = np.append(0, GRID)
    total = np.zeros(len(a))
    for times in (a, b):
        length = times - grid[np.maximum(np.searchsorted(grid, times) - 1, 0)]
        length = np.where(np.isin(times, GRID), length, 0)
        scale = times * times.shape[1] if relative else times.sum(1, keepdims=True)
        total += ((length / scale) ** 2).sum(1) / 12
    return total


def sign_flip_p(differences: np.ndarray) -> np.ndarray:
    """Return the share of sign patterns whose mean is at least as large: all, or 10,000 drawn at random."""
    num_pairs = differences.shape[1]
    if num_pairs <= 13:
        patterns = 1.0 - 2.0 * (np.arange(2**num_pairs)[:, None] >> np.arange(num_pairs) & 1)
    else:
        patterns = np.random.default_rng(0).choice((-1.0, 1.0), size=(10_000, num_pairs))
        patterns[0] = 1
    share = []
    for row in differences:
        flipped = np.abs(patterns @ row)
        share.append((flipped >= flipped[0] - 1e-10 * np.abs(row).sum()).mean())
    return np.array(share)


def p_values(a: np.ndarray, b: np.ndarray) -> dict[str, np.ndarray]:
    """Return p-values of equal log times, by test."""
    differences = np.log(a) - np.log(b)
    return {
        "sign-flip": sign_flip_p(differences),
        "t": paired_t_p(differences),
        "t, with rounding": paired_t_p(differences, rounding_of(a, b, relative=True)),
    }


def rows_of(case: str, sampler: Sample, sizes: list[int], repeats: int) -> list[str]:
    """Return the table rows of coverage of one case."""
    random = np.random.default_rng([len(case), *case.encode()])
    a, b = sampler(random, (20_000, 100))
    truth = np.log(a.mean() / b.mean())
    lines = []
    for size in sizes:
        told = {}
        for method, bounds in intervals(*sampler(random, (repeats, size))).items():
            inside = (bounds[:, 0] <= truth + 1e-9) & (truth - 1e-9 <= bounds[:, 1])
            told[method] = f"{100 * inside.mean():.1f} ({np.median(np.exp(bounds[:, 1] - bounds[:, 0])):.2f})"
        lines.append(f"| {case} | {size} | " + " | ".join(told.values()) + " |")
    return lines


def test_rows(case: str, sampler: Sample, sizes: list[int], repeats: int) -> list[str]:
    """Return the table rows of rejections of one case."""
    random = np.random.default_rng([len(case), *case.encode(), 1])
    lines = []
    for size in sizes:
        found = p_values(*sampler(random, (repeats, size)))
        cells = [f"{100 * (p <= level).mean():.2f}" for p in found.values() for level in LEVELS]
        lines.append(f"| {case} | {size} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Write both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=4000)
    repeats = parser.parse_args().repeats
    print("# Intervals and tests of the headline ratio\n")
    print(
        f"`python benchmarks/interval_coverage.py`: share of {repeats:,} simulated comparisons in which the 95 % "
        f"interval holds the true ratio of restricted means, in %, and in brackets the median of high / low; "
        f"{DRAWS:,} draws; n pairs.\n"
    )
    print("| times | n | percentile | BCa | studentised | studentised, with rounding (used) |")
    print("|---|---:|---:|---:|---:|---:|")
    for case, sampler in CASES.items():
        print("\n".join(rows_of(case, sampler, [5, 7, 10, 15], repeats)), flush=True)
    print(
        "\nComparisons in which a test of equal log times rejects, in %, at 5 % and at 5/6 % (the smallest of six"
    )
    print("under Holm's correction). Without a difference these are the test's errors, with one its power:\n")
    print("| times | n | sign-flip | | t | | t, with rounding (used) | |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for case, sampler in CASES.items():
        print("\n".join(test_rows(case, sampler, [7, 10, 15], repeats)), flush=True)


if __name__ == "__main__":
    main()
