"""How often verdicts are right where the truth is known: planted worlds through the statistics of real sweeps.

python benchmarks/planted_worlds.py --sweeps 1000 --out docs/findings/planted_worlds.md
"""

import argparse
import resource
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from hornlib.statistics.verdicts import CLAIMS
from hornlib.statistics.worlds import WORLD_SETTINGS, WORLDS, judge, simulate

WORDS = ("yes", "no", "mixed", "not distinguished")


def rows_of(name: str, sweeps: int) -> tuple[list[str], list[str]]:
    """Return the table rows of a world, and the bounds that it breaks."""
    world = WORLDS[name]
    judged = judge(simulate(world, sweeps))
    lines, broken = [], []
    for claim in CLAIMS:
        words = judged["verdict"].sel(claim=claim).values
        share = {word: float(np.mean(words == word)) for word in WORDS}
        wanted = {word: bounds for (of, word), bounds in world.wanted.items() if of == claim}
        told = []
        for word, (least, most) in wanted.items():
            bound = f"{word} at least {100 * least:g}" if least > 0 else f"{word} at most {100 * most:g}"
            told.append(bound)
            if not least <= share[word] <= most:
                broken.append(f"{name}: {claim}: {bound} %, found {100 * share[word]:.1f} %")
        shares = " | ".join(f"{100 * share[word]:.1f}" for word in WORDS)
        lines.append(f"| {name} | {claim.replace('_', ' ')} | {shares} | {'; '.join(told)} |")
    also = [
        f"{100 * float(judged[what].mean()):.0f} % {words}"
        for what, words in (("lower_end", "are told of a lower end"), ("diverged", "of diverged runs"))
        if judged[what].any()
    ]
    if also:
        lines[-1] = (
            lines[-1].removesuffix(" |")
            + f"{'; ' if not lines[-1].endswith('|  |') else ''}{', '.join(also)} |"
        )
    return lines, broken


def main() -> None:
    """Simulate all worlds and write the table; end with an error if a bound is broken."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweeps", type=int, default=1000)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    lines, broken = [], []
    with ProcessPoolExecutor(arguments.processes) as pool:
        for rows, own in pool.map(rows_of, WORLDS, [arguments.sweeps] * len(WORLDS)):
            lines += rows
            broken += own
            print("\n".join(rows), file=sys.stderr, flush=True)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    settings = WORLD_SETTINGS
    error = 100 * np.sqrt(0.05 * 0.95 / arguments.sweeps)
    text = "\n".join(
        [
            "# Planted worlds: are the verdicts right where the truth is known?",
            "",
            f"`python benchmarks/planted_worlds.py --sweeps {arguments.sweeps} --out docs/findings/planted_worlds.md`: "
            f"{arguments.sweeps:,} simulated sweeps a world, each of six arms with 15 seeds, log times with a standard "
            f"deviation of .2, learning curves evaluated on the suite's own grid of steps; two-sided alpha "
            f"{settings.alpha:g}, {settings.bootstrap:,} draws; the statistics are those that `results.nc` goes "
            f"through. `faster` is judged against {' and '.join(settings.must_beat())}; `because of oscillation` "
            f"against {', '.join(settings.oscillation_controls)} too; `more efficient` on training FLOPs and seconds. "
            f"Share of sweeps with each verdict, in % (the standard error of 5 % is {error:.1f} %). "
            f"{used.ru_utime + used.ru_stime:.0f} s of processor time.",
            "",
            f"| world | claim | {' | '.join(WORDS)} | wanted, % |",
            f"|---|---|{'---:|' * len(WORDS)}---|",
            *lines,
            "",
            f"Bounds broken: {'; '.join(broken) or 'none'}.",
        ]
    )
    print(text)
    if arguments.out:
        arguments.out.write_text(text + "\n")
    if broken:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
