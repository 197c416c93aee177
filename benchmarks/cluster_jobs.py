"""Trivial jobs from submission to the end: our executor, its rivals, and `sbatch --array` by hand, in turn.

`make testbed`, then `python benchmarks/cluster_jobs.py --rivals RIVALS/bin/python`, writes benchmarks/cluster_jobs.md
and leaves the test bed running. RIVALS is an environment that `benchmarks/rivals.txt` tells how to make; without it
only our executor and sbatch are measured.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from on_slurm import (
    ALL_AT_ONCE,
    REPOSITORY,
    Bed,
    Command,
    Cost,
    circumstances,
    files_below,
    rival_versions,
    spread,
    wait_for_quiet,
    write_table,
)

OURS, PACKED = "ours", "ours, `--submitit-jobs-per-task 4`"
PACKING = ["--submitit-jobs-per-task", "4"]
BY_HAND = "`sbatch --array` by hand"
OFFICIAL = "official plugin"
PROFILE = ["--profile", str(REPOSITORY / "cluster/slurm"), "--default-resources", "slurm_partition=cpu"]
MEMORY = 600  # MB of a job: the Snakemake that the rivals start on the node needs 150 or so

SNAKEFILE = """\
rule all:
    localrule: True
    input: expand("out/{{i}}", i=range({num}))

rule work:
    output: "out/{{i}}"
    resources: mem_mb={memory}, runtime=5, slurm_partition="cpu"
    shell: "echo {{wildcards.i}} | tee -a starts > {{output}}"
"""

SCRIPT = """\
#!/bin/bash
echo $SLURM_ARRAY_TASK_ID | tee -a starts > out/$SLURM_ARRAY_TASK_ID
"""

HAND = """\
job=$(sbatch --parsable --array=0-{last} --partition=cpu --mem={memory} --time=5 --output=logs/%a script)
while [ -n "$(squeue -h -j $job 2>/dev/null)" ]; do sleep 0.1; done
"""


class Outcome(NamedTuple):
    """What one run of one way came to.

    Attributes:
        cost: of the command.
        last_output: seconds until the last output was there.
        calls: of SLURM's programs.
        twice: jobs that ran more than once.
        most_files: the most files in the executor's folder at once.
        files_left: files in it at the end.
    """

    cost: Cost
    last_output: float
    calls: Counter[str]
    twice: int
    most_files: int
    files_left: int


Way = Callable[[Bed, Path, int], Command]
"""Starts so many jobs in a folder."""


def main() -> None:
    """Run every way in turn, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rivals", help="Python of the rivals' environment")
    parser.add_argument("--num", type=int, default=100)
    parser.add_argument("--many", type=int, default=2000, help="jobs of the last run, ours alone")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rival-rounds", type=int, default=2)
    parser.add_argument(
        "--quiet", type=float, default=0, metavar="SECONDS", help="wait so long for a load below 1"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        bed = Bed(Path(temporary) / "bin")
        wait_for_quiet(1, options.quiet)
        load = os.getloadavg()[0]
        ours = partial(snakemake, sys.executable, PROFILE)
        ways: dict[str, tuple[Way, int]] = {
            OURS: (ours, options.rounds),
            PACKED: (partial(snakemake, sys.executable, [*PROFILE, *PACKING]), options.rounds),
            BY_HAND: (by_hand, options.rounds),
        }
        if options.rivals:
            ways |= {name: (way, options.rival_rounds) for name, way in rivals(options.rivals).items()}
        outcomes: dict[str, list[Outcome]] = {name: [] for name in ways}
        for number in range(max(rounds for _, rounds in ways.values())):
            for name, (way, rounds) in ways.items():
                if number < rounds:
                    outcomes[name].append(measure(bed, way, options.num))
                    print(f"{name}: {outcomes[name][-1]}", flush=True)
        floor = [plan_only(bed, options.num) for _ in range(options.rounds)]
        many = measure(bed, ours, options.many)
        names = ("snakemake-executor-plugin-slurm", "snakemake-executor-plugin-cluster-generic")
        others = rival_versions(options.rivals, names) if options.rivals else []
        write_table(__file__, report(outcomes, many, floor, options, circumstances(bed, load, others)))


def rivals(python: str) -> dict[str, Way]:
    """Return the other executors, with the settings that are quickest here."""
    official = ["--executor", "slurm", "--slurm-no-account", "--slurm-init-seconds-before-status-checks", "1"]
    official += ["--seconds-between-status-checks", "2", "--max-status-checks-per-second", "100"]
    # 2.8.0 falls back to a script that runs the array's first job in all its tasks where the command is longer than
    # the kernel takes, which it is with 100 jobs; 40 fit.
    arrays = ["--slurm-array-jobs", "all", "--slurm-array-limit", "40"]
    submit = f"sbatch --parsable --partition=cpu --mem={MEMORY} --time=5 --output=logs/%j"
    generic = ["--executor", "cluster-generic", "--cluster-generic-submit-cmd", submit]
    generic += ["--seconds-between-status-checks", "1", "--max-status-checks-per-second", "1000"]
    return {
        f"{OFFICIAL}, arrays": partial(snakemake, python, [*official, *arrays]),
        OFFICIAL: partial(snakemake, python, official),
        "cluster-generic": partial(snakemake, python, generic),
    }


def snakemake(python: str, words: Sequence[str], bed: Bed, folder: Path, num: int) -> Command:
    """Start a Snakemake with so many jobs and the words of its executor."""
    (folder / "Snakefile").write_text(SNAKEFILE.format(num=num, memory=MEMORY))
    return Command([python, "-m", "snakemake", *ALL_AT_ONCE, *words], folder, bed.environment(python))


def by_hand(bed: Bed, folder: Path, num: int) -> Command:
    """Start one sbatch and ask every tenth of a second whether its array is gone."""
    (folder / "script").write_text(SCRIPT)
    (folder / "out").mkdir()
    return Command(["bash", "-c", HAND.format(last=num - 1, memory=MEMORY)], folder, bed.env)


def measure(bed: Bed, way: Way, num: int) -> Outcome:
    """Run one way in a folder of its own, and check that every job ran."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "logs").mkdir()
        bed.calls()
        files = [0]
        records = folder / ".snakemake/submitit"
        command = way(bed, folder, num)
        cost = command.wait(lambda: files.append(len(files_below(records))))
        outputs = list((folder / "out").iterdir())
        started = Counter((folder / "starts").read_text().split())
        if len(outputs) != num or len(started) != num:
            sys.exit(
                f"{len(outputs)} outputs of {len(started)} jobs instead of {num}: {command.said()[-3000:]}"
            )
        return Outcome(
            cost,
            max(file.stat().st_mtime for file in outputs) - command.started,
            bed.calls(),
            sum(times > 1 for times in started.values()),
            max(files),
            len(files_below(records)),
        )


def plan_only(bed: Bed, num: int) -> float:
    """Return the processor time of a Snakemake that plans the jobs and runs none."""
    with tempfile.TemporaryDirectory() as folder:
        cost = snakemake(sys.executable, ["--dry-run", "--quiet"], bed, Path(folder), num).wait()
        return cost.own + cost.called


def report(
    outcomes: dict[str, list[Outcome]],
    many: Outcome,
    floor: list[float],
    options: argparse.Namespace,
    where: str,
) -> str:
    """Return the table in Markdown."""
    rows = [row(name, runs) for name, runs in outcomes.items()]
    return "\n".join(
        [
            f"# {options.num} trivial jobs, from submission to the end",
            "",
            f"`python benchmarks/cluster_jobs.py --rivals RIVALS/bin/python`; {where}",
            "Each job writes its number into a file. Medians (ranges); the ways in turn. Wall: the whole command, "
            "Snakemake's start and end included.",
            "Head: processor time of the process that was called, and of the programs that it called and waited for "
            "(sbatch, squeue, ...), jobs not included. The calls of SLURM's programs are those of the head and of the "
            "nodes.",
            "",
            "| | n | wall, s | last output after, s | head, CPU s | of its calls, CPU s | peak, MB | sbatch "
            "| squeue, sacct, scontrol |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
            *rows,
            row(f"ours, {options.many:,} jobs", [many]),
            "",
            *(f"- {line}" for line in findings(outcomes, many, floor, options)),
            "",
        ]
    )


def row(name: str, runs: list[Outcome]) -> str:
    """Return one way's line."""
    costs = [run.cost for run in runs]
    asked = [float(sum(run.calls[name] for name in ("squeue", "sacct", "scontrol"))) for run in runs]
    cells = [
        spread(cost.wall for cost in costs),
        spread(run.last_output for run in runs),
        spread((cost.own for cost in costs), 2),
        spread((cost.called for cost in costs), 2),
        spread((cost.peak for cost in costs), 0),
        spread((float(run.calls["sbatch"]) for run in runs), 0),
        spread(asked, 0),
    ]
    return f"| {name} | {len(runs)} | {' | '.join(cells)} |"


def findings(
    outcomes: dict[str, list[Outcome]], many: Outcome, floor: list[float], options: argparse.Namespace
) -> list[str]:
    """Return the ratios and the bounds, in words."""
    walls = {name: statistics.median([run.cost.wall for run in runs]) for name, runs in outcomes.items()}
    heads = {
        name: statistics.median([run.cost.own + run.cost.called for run in runs])
        for name, runs in outcomes.items()
    }
    lines = [
        f"Against sbatch by hand: {walls[OURS] - walls[BY_HAND]:+.1f} s; with four jobs a task "
        f"{walls[PACKED] - walls[BY_HAND]:+.1f} s (the reach: at most +5 s).",
        *(
            f"Against {name}: {walls[name] / walls[OURS]:.1f} times less wall time, {heads[name] / heads[OURS]:.1f} "
            "times less processor time of the head with its calls."
            for name in outcomes
            if name not in (OURS, PACKED, BY_HAND)
        ),
    ]
    planning = statistics.median(floor)
    lines.append(
        f"A Snakemake that plans the same jobs and submits none (`-n`): {spread(floor, 2)} s. Beyond that, processor "
        "time of the head: "
        + ", ".join(f"{name} {heads[name] - planning:.2f} s" for name in outcomes if name != BY_HAND)
        + "."
    )
    twice = sum(run.twice for runs in [*outcomes.values(), [many]] for run in runs)
    lines.append(f"Jobs that ran twice, all runs of all ways together: {twice}.")
    lines.append(
        f"{options.many:,} jobs: {many.calls['sbatch']} array, {options.many:,} outputs, {many.twice} jobs run twice; "
        f"at most {many.most_files} files in the executor's folder at once, {many.files_left} at the end."
    )
    return lines


if __name__ == "__main__":
    main()
