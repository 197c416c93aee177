"""Coverage of the headline's interval, of its sensitivity check and of the two-part statement; size and power of tests.

python benchmarks/interval_coverage.py --repeats 1000 > benchmarks/interval_coverage.md
"""

import argparse
from collections.abc import Callable

import numpy as np
from scipy import stats

from hornlib.statistics.estimators.arrivals import newcombe_interval
from hornlib.statistics.estimators.intervals import FEWEST, log_ratio_interval, resampling_weights
from hornlib.statistics.estimators.paired_t import paired_t

ALPHA, DRAWS = 0.05, 2000

LEVELS = (0.05, 0.05 / 6)
"""Alone, and as the smallest of six under Holm's correction."""

GRID = np.unique(np.round(10 ** (np.arange(61) / 12)))
"""Evaluations of a run."""

Sample = Callable[[np.random.Generator, tuple[int, int]], tuple[np.ndarray, np.ndarray]]


def lognormal(sd: float, ratio: float = 1.0, correlation: float = 0.0, budget: float = np.inf) -> Sample:
    """Return a sampler of pairs of restricted times, the second around 100 steps."""

    def draw(random: np.random.Generator, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        shared, first, other = random.standard_normal((3, *shape))
        mix = np.sqrt(1 - correlation**2)
        a = 100 * ratio * np.exp(sd * (correlation * shared + mix * first))
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


DIVERGING: dict[str, tuple[float, float, float]] = {
    "15 % of one arm diverge": (0.15, 0.0, 1.0),
    "15 % of one arm diverge, 1.5 times faster": (0.15, 0.0, 1 / 1.5),
    "15 % of both arms diverge": (0.15, 0.15, 1.0),
    "40 % of one arm diverge": (0.4, 0.0, 1.0),
}
"""Case -> share of the first arm's and of the second arm's runs that diverge, true ratio of the others; sd .3."""


def intervals(a: np.ndarray, b: np.ndarray) -> dict[str, np.ndarray]:
    """Return (row, 2) bounds of a log ratio, by method; the first is of geometric means, the others of arithmetic."""
    weights = resampling_weights(DRAWS, a.shape[1], 0)
    headline = paired_t(np.log(a) - np.log(b), rounding_of(a, b, relative=True)).interval(ALPHA)
    return {
        "t": np.stack(headline, axis=1),
        "studentised": log_ratio_interval(a, b, weights, ALPHA, rounding_of(a, b, relative=False)),
        "percentile": percentile(a, b, weights),
        "BCa": accelerated(a, b, weights),
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
        "t": paired_t(differences).p_value(),
        "t, with rounding": paired_t(differences, rounding_of(a, b, relative=True)).p_value(),
    }


def rows_of(case: str, sampler: Sample, sizes: list[int], repeats: int) -> list[str]:
    """Return the table rows of coverage of one case."""
    random = np.random.default_rng([len(case), *case.encode()])
    a, b = sampler(random, (20_000, 100))
    geometric, arithmetic = np.mean(np.log(a) - np.log(b)), np.log(a.mean() / b.mean())
    lines = []
    for size in sizes:
        shares = {}
        for method, bounds in intervals(*sampler(random, (repeats, size))).items():
            held = inside(bounds, geometric if method == "t" else arithmetic).mean()
            shares[method] = f"{100 * held:.1f} ({np.median(np.exp(bounds[:, 1] - bounds[:, 0])):.2f})"
        lines.append(f"| {case} | {size} | " + " | ".join(shares.values()) + " |")
    return lines


def inside(bounds: np.ndarray, truth: float) -> np.ndarray:
    """Return whether intervals hold the truth."""
    return (bounds[..., 0] <= truth + 1e-9) & (truth - 1e-9 <= bounds[..., 1])


def two_part_rows(case: str, sizes: list[int], repeats: int) -> list[str]:
    """Return the table rows of a case in which runs diverge: both parts, and the interval where no run did."""
    share, other_share, ratio = DIVERGING[case]
    random = np.random.default_rng([len(case), *case.encode(), 2])
    lines = []
    for size in sizes:
        a, b = rounded(lognormal(0.3, ratio))(random, (repeats, size))
        diverged, other_diverged = random.random((2, repeats, size))
        diverged, other_diverged = diverged < share, other_diverged < other_share
        logs, rounding = np.log(a) - np.log(b), relative_errors(a) + relative_errors(b)
        in_parts = _some(diverged) | _some(other_diverged)
        both = ~diverged & ~other_diverged
        arrivals = newcombe_interval((~diverged).sum(1), (~other_diverged).sum(1), np.array(size), ALPHA / 2)
        arrived = paired_t(
            np.where(both, logs, np.nan),
            np.where(both, rounding, 0).sum(1) / 12 / np.maximum(both.sum(1), 1) ** 2,
        )
        of_arrived = np.stack(arrived.interval(ALPHA / 2), axis=1)
        held_share = inside(arrivals, other_share - share)
        given = arrived.number >= FEWEST
        held_ratio = inside(of_arrived, np.log(ratio))
        both_hold = held_share & (held_ratio | ~given)
        whole = ~diverged.any(1) & ~other_diverged.any(1)
        alone = np.stack(paired_t(logs, rounding.sum(1) / 12 / size**2).interval(ALPHA), axis=1)
        cells = [
            _share(in_parts),
            _share(held_share[in_parts]),
            _share(held_ratio[in_parts & given]),
            _share(both_hold[in_parts]),
            _share(whole),
            _share(inside(alone[whole], np.log(ratio))),
        ]
        lines.append(f"| {case} | {size} | {' | '.join(cells)} |")
    return lines


def relative_errors(times: np.ndarray) -> np.ndarray:
    """Return (length of the evaluation interval / time)^2 of times on the grid."""
    grid = np.append(0, GRID)
    return ((times - grid[np.searchsorted(grid, times) - 1]) / times) ** 2


def _some(diverged: np.ndarray) -> np.ndarray:
    return diverged.any(1) & ~diverged.all(1)


def _share(chosen: np.ndarray) -> str:
    return f"{100 * chosen.mean():.1f}" if len(chosen) else ""


def test_rows(case: str, sampler: Sample, sizes: list[int], repeats: int) -> list[str]:
    """Return the table rows of rejections of one case."""
    random = np.random.default_rng([len(case), *case.encode(), 1])
    lines = []
    for size in sizes:
        by_test = p_values(*sampler(random, (repeats, size)))
        cells = [f"{100 * (p <= level).mean():.2f}" for p in by_test.values() for level in LEVELS]
        lines.append(f"| {case} | {size} | " + " | ".join(cells) + " |")
    return lines


def main() -> None:
    """Write the three tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1000)
    repeats = parser.parse_args().repeats
    error = 100 * np.sqrt(ALPHA * (1 - ALPHA) / repeats)
    print("# Intervals and tests of the headline ratio\n")
    print(
        f"`python benchmarks/interval_coverage.py --repeats {repeats}`: share of {repeats:,} simulated comparisons in "
        "which the 95 % interval holds the truth, in %, and in brackets the median of high / low; n pairs of runs; "
        f"the standard error of 95 % is {error:.1f} %. The headline is the paired geometric ratio of restricted times "
        "with its t interval. The ratio of restricted arithmetic means is the sensitivity check, with the studentised "
        f"bootstrap ({DRAWS:,} draws); percentile and BCa bootstrap stand beside it.\n"
    )
    print("| times | n | **t, geometric (headline)** | studentised, arithmetic (used) | percentile | BCa |")
    print("|---|---:|---:|---:|---:|---:|")
    for case, sampler in CASES.items():
        print("\n".join(rows_of(case, sampler, [5, 7, 10, 15], repeats)), flush=True)
    print(
        "\n## Where some runs diverge\n\n"
        "Where some but not all runs of an arm diverged, two statements stand for one interval: Newcombe's interval of "
        "the difference of the shares that arrived, and the t interval of the ratio of pairs that both arrived, each "
        "at 97.5 %. Log times have a standard deviation of .3 and are rounded up to evaluations. Shares in %: of "
        "comparisons with a two-part statement; of those, in which each part, and both parts, hold the truth; of "
        "comparisons in which no run diverged, and of those, in which the headline's interval holds the ratio of runs "
        "that arrive. Such an interval says nothing about a divergence that no run has shown.\n"
    )
    print(
        "| times | n | in two parts | shares hold | ratio holds | **both hold** | none diverged | interval holds |"
    )
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for case in DIVERGING:
        print("\n".join(two_part_rows(case, [7, 10, 15], 4 * repeats)), flush=True)
    print(
        "\n## Tests\n\n"
        "Comparisons in which a test of equal log times rejects, in %, at 5 % and at 5/6 % (the smallest of six "
        "under Holm's correction). Without a difference these are the test's errors, with one its power:\n"
    )
    print("| times | n | sign-flip | | t | | t, with rounding (used) | |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for case, sampler in CASES.items():
        print("\n".join(test_rows(case, sampler, [7, 10, 15], repeats)), flush=True)


if __name__ == "__main__":
    main()
