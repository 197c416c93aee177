"""How often verdicts are right where the truth is known: planted worlds through the statistics of real sweeps.

python benchmarks/planted_worlds.py --sweeps 500 --out docs/findings/planted_worlds.md
"""

import argparse
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from planted.catalogue import BYSTANDER, WORLDS
from planted.error_rates import WORDS, broken, coverage, most_allowed, power, true_pair, wrong
from planted.worlds import (
    ARMS,
    BASELINE,
    CONTROLS,
    RIVALS,
    SUBJECT,
    WORLD_SETTINGS,
    judge,
    simulate,
)

ALPHA = WORLD_SETTINGS.alpha


class Lines(NamedTuple):
    """The lines of the page about one world: rows of its two tables, and the bounds that are broken."""

    verdicts: list[str]
    intervals: str
    broken: list[str]


def lines_of(name: str, sweeps: int) -> Lines:
    """Simulate a world and return its rows."""
    world = WORLDS[name]
    judged = judge(simulate(world, sweeps))
    rows = []
    for claim in judged["claim"].values.tolist():
        right = {word for word in world.right(claim) if word}
        cells = [
            _percent(
                wrong(judged, world, claim, word), f"≤ {100 * most_allowed(world, claim, word, ALPHA):.0f}"
            )
            for word in WORDS
        ]
        least = world.power.get(claim)
        right_share = _percent(power(judged, world, claim), f"≥ {100 * least:.0f}" if least else "")
        words = " or ".join(sorted(right)) or "neither"
        rows.append(f"| {name} | {claim.replace('_', ' ')} | {words} | {' | '.join(cells)} | {right_share} |")
    truth = true_pair(world)
    held = coverage(judged, truth)
    shares = [f"{100 * share:.1f} ({number})" if number else "" for share, number in held.values()]
    ratios = ", ".join(f"{ratio:.2f}" for ratio in truth["ratio"].values)
    also = [
        f"{100 * float(judged[what].mean()):.0f}" if judged[what].any() else ""
        for what in ("lower_end", "diverged")
    ]
    design = f"{world.num_seeds} | {world.sd:g} | {world.num_datasets}"
    intervals = f"| {name} | {design} | {ratios} | {' | '.join([*shares, *also])} |"
    return Lines(rows, intervals, [f"{name}: {words}" for words in broken(judged, world)])


def _percent(share: float, bound: str) -> str:
    if np.isnan(share):
        return ""
    return f"{100 * share:.1f} ({bound})" if bound else f"{100 * share:.1f}"


def page(worlds: list[Lines], sweeps: int, seconds: float) -> str:
    """Return the finding."""
    errors = {share: 100 * np.sqrt(share * (1 - share) / sweeps) for share in (ALPHA, 0.5)}
    designs = sorted({(world.num_seeds, world.sd) for world in WORLDS.values()})
    command = f"python benchmarks/planted_worlds.py --sweeps {sweeps} --out docs/findings/planted_worlds.md"
    failed = [words for one in worlds for words in one.broken]
    return "\n".join(
        [
            "# Planted worlds: are the verdicts right where the truth is known?",
            "",
            f"`{command}`: {sweeps:,} simulated sweeps in each of {len(WORLDS)} worlds, "
            f"{seconds:.0f} s of processor time. The simulated results go through the statistics that `results.nc` "
            f"goes through. Two-sided alpha {ALPHA:g}, "
            "seeds and standard deviations of log times "
            f"{', '.join(f'{number} and {sd:g}' for number, sd in designs)}; one dataset a sweep, or three where the "
            "second table says so. Learning curves are evaluated on the suite's own grid, which ends at 1,000 steps; "
            "usual runs reach the level after 100.",
            "",
            f"**Arms.** The subject is {SUBJECT}. `faster` (samples) and `cheaper` (training FLOPs and seconds) are "
            f"judged against {' and '.join(RIVALS)}; `because of oscillation` (samples) against "
            f"{', '.join(CONTROLS)}, too. All {len(ARMS)} arms are alike where the world's name says nothing else. "
            f"The arm {BYSTANDER} of some worlds is in no claim.",
            "",
            "**Wrong words.** Share of sweeps, in %, in which some dataset gets `yes`, or `no` or `mixed`, although "
            "that word is wrong there; in brackets the largest share allowed. `Mixed` counts as `no`, since it refutes "
            "the claim, too. Each bound is alpha, but for two worlds that are explained below. A two-sided test errs "
            f"in each direction in half of alpha, so that {100 * ALPHA / 2:g} % or less is to be expected. A bound "
            "counts as broken where the share exceeds it by more than three standard errors of the simulation (the "
            f"standard error of {100 * ALPHA:g} % is {errors[ALPHA]:.1f} %, that of 50 % is {errors[0.5]:.1f} %). "
            "Arms that are alike in two worlds of one design have the same draws in both, so that equal numbers below "
            "are one piece of evidence.",
            "",
            "**The right word** is that of the true ratios of restricted costs, in which a run that misses or diverges "
            "costs the budget. Of a claim whose comparisons are partly equal, neither word is right. Share of "
            "datasets, in %, that get the word that is right; in brackets the power that plain t-tests of the planted "
            "times have, computed apart from the library. A world without such a number has no bound.",
            "",
            "| world | claim | right word | wrong yes | wrong no | right word found |",
            "|---|---|---|---:|---:|---:|",
            *[row for one in worlds for row in one.verdicts],
            "",
            f"Bounds broken: {'; '.join(failed) or 'none'}.",
            "",
            "**A risk that no run shows.** Where 15 % of the subject's runs diverge, none of ten does in 20 % of the "
            "sweeps, and none of twenty in 4 %. Nothing in such a sweep says that runs can diverge, and it is judged "
            "as if they could not. In these worlds the restricted costs of a subject that is 1.5 times faster are "
            "equal to the others', and the bound of a wrong `yes` is alpha more than the chance to see no divergence. "
            "Only more seeds help: "
            "19 of 19 runs that arrive exclude a risk of 15 % at 5 %, and 10 of 10 exclude 26 %.",
            "",
            f"## Intervals of {SUBJECT} over {BASELINE}, in samples",
            "",
            "The true ratio is that of 20,000 other pairs of runs under the same budget rule. Shares of sweeps whose "
            f"intervals hold the truth on every dataset, in %, nominally {100 * (1 - ALPHA):g}; in brackets the number "
            "of sweeps that make the statement. Where some but not all runs of an arm diverged, a statement in two "
            "parts stands for the interval: the difference of the shares that arrived, and the ratio of those that "
            "did. Sweeps of the same world in which no run diverged have an interval. It holds the ratio of runs that "
            "arrive, and not the ratio in which a divergence costs the budget: they have seen no divergence. The last "
            "columns: share of sweeps, in %, that tell of a lower end of the subject, or of diverged runs.",
            "",
            "| world | seeds | deviation | datasets | true ratio | interval | interval, ratio of arrivals | "
            "two parts | lower end | diverged |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
            *[one.intervals for one in worlds],
        ]
    )


def main() -> None:
    """Simulate all worlds and write the page; end with an error if a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweeps", type=int, default=500)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    worlds = []
    with ProcessPoolExecutor(arguments.processes) as pool:
        for one in pool.map(lines_of, WORLDS, [arguments.sweeps] * len(WORLDS)):
            worlds.append(one)
            print("\n".join([*one.verdicts, one.intervals, *one.broken]), file=sys.stderr, flush=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    text = page(worlds, arguments.sweeps, used.ru_utime + used.ru_stime)
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    if any(one.broken for one in worlds):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
