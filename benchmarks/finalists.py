"""How often two equal arms differ after tuning both: without finalists, and with finalists judged in two ways.

python benchmarks/finalists.py > benchmarks/finalists.md

Two arms have the same quadratic response to the logarithm of the learning rate. Each is tuned by 16 trials of two seeds
over two decades, and perhaps by fresh seeds of the best trials. What was chosen is compared over ten fresh seeds by a
paired t-test at 5 %.
"""

from collections.abc import Iterator

import numpy as np
from scipy.stats import ttest_1samp

SWEEPS, TRIALS, SEEDS, JUDGING = 20_000, 16, 2, 10
CURVATURES, DEVIATIONS = (0.5, 1.0, 2.0), (0.3, 0.5)
STAGES = ((4, 8), (4, 2), (8, 4))
"""Second stages: finalists, and fresh seeds of each."""


def false_differences(curvature: float, deviation: float, stage: tuple[int, int], judged_by: str) -> float:
    """Return the share of sweeps in which the two arms differ.

    Args:
        curvature: of the response, per decade squared.
        deviation: standard deviation of a seed.
        stage: finalists and their fresh seeds.
        judged_by: none (no second stage), fresh (the fresh seeds alone) or all (those of both stages).
    """
    generator = np.random.default_rng(0)
    finalists, fresh_seeds = stage
    rates = np.linspace(0, 2, TRIALS, endpoint=False) + 1 / TRIALS
    true = curvature * (rates - generator.uniform(0.6, 1.4, (SWEEPS, 1))) ** 2

    def chosen() -> np.ndarray:
        first = true + deviation / np.sqrt(SEEDS) * generator.standard_normal(true.shape)
        best = np.argsort(first, 1)[:, : 1 if judged_by == "none" else finalists]
        earlier, means = (np.take_along_axis(values, best, 1) for values in (first, true))
        fresh = means + deviation / np.sqrt(fresh_seeds) * generator.standard_normal(means.shape)
        pooled = (SEEDS * earlier + fresh_seeds * fresh) / (SEEDS + fresh_seeds)
        score = pooled if judged_by == "all" else fresh
        return np.take_along_axis(means, score.argmin(1)[:, None], 1)

    noise = deviation * np.sqrt(2) * generator.standard_normal((SWEEPS, JUDGING))
    return float(np.mean(ttest_1samp(chosen() - chosen() + noise, 0, axis=1).pvalue < 0.05))


def spread(stage: tuple[int, int], judged_by: str) -> str:
    """Write the smallest and the largest share over all curvatures and deviations, %."""
    shares = [
        100 * false_differences(curvature, deviation, stage, judged_by)
        for curvature in CURVATURES
        for deviation in DEVIATIONS
    ]
    return f"{min(shares):.1f} to {max(shares):.1f}"


def rows() -> Iterator[str]:
    """Yield the lines of the table."""
    yield f"| none ({TRIALS} trials x {SEEDS} seeds) | – | {spread(STAGES[0], 'none')} |"
    for stage in STAGES:
        yield f"| best {stage[0]} x {stage[1]} seeds | {spread(stage, 'fresh')} | {spread(stage, 'all')} |"


def main() -> None:
    """Print the table."""
    print("# What finalists buy")
    print()
    print(
        "`python benchmarks/finalists.py`: share of simulated sweeps, %, in which two equal arms differ at 5 %."
    )
    print(
        f"Smallest and largest over curvatures {CURVATURES} and deviations {DEVIATIONS}; {SWEEPS:,} sweeps each, "
        f"standard error {100 * np.sqrt(0.05 * 0.95 / SWEEPS):.2f} %."
    )
    print()
    print("| second stage | fresh seeds judge | all seeds judge |")
    print("|---|---:|---:|")
    print("\n".join(rows()))


if __name__ == "__main__":
    main()
