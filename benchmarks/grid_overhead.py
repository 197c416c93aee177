"""What orchestration costs a real grid: the jobs' own seconds against the cores' time while Snakemake ran them.

HORNLIB_CONFIG=config/time_variable.yaml snakemake --cores 2 <run files of a sweep> 2> snakemake.log
python benchmarks/grid_overhead.py results/time_variable snakemake.log --cores 2   writes benchmarks/grid_overhead.md
"""

import argparse
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import netCDF4


def elapsed_of(log: str) -> timedelta:
    """Return Snakemake's own "Elapsed time: h:mm:ss.f"."""
    match = re.search(r"Elapsed time: (?:(\d+) days?, )?(\d+):(\d+):([\d.]+)", log)
    if match is None:
        raise SystemExit("the log has no line 'Elapsed time:': Snakemake has not ended")
    days, hours, minutes, seconds = match.groups()
    return timedelta(days=int(days or 0), hours=int(hours), minutes=int(minutes), seconds=float(seconds))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("log", type=Path)
    parser.add_argument("--cores", type=int, required=True)
    arguments = parser.parse_args()
    log = arguments.log.read_text()
    trained = sorted(set(re.findall(r"Missing output files: \S*?/(runs/[^\s;,]+\.nc)", log)))
    jobs, training, ends = [], [], []
    for name in trained:
        with netCDF4.Dataset(arguments.results / name) as run:
            started, ended = (datetime.fromisoformat(run.getncattr(word)) for word in ("started", "finished"))
            jobs.append((ended - started).total_seconds())
            ends.append(ended.astimezone(UTC))
            training.append(float(run["seconds"][:, -1].sum()))
    elapsed = elapsed_of(log).total_seconds()
    given = arguments.cores * elapsed
    # at the end cores have no job left to take: that is the grid's shape, and no overhead
    idle = sum((max(ends) - end).total_seconds() for end in sorted(ends)[-arguments.cores :])
    lines = [
        "# Orchestration of a real grid",
        "",
        f"{len(trained)} jobs of {arguments.results.name}, `snakemake --cores {arguments.cores}`, {elapsed / 60:.0f} "
        "minutes, n = 1; made by `benchmarks/grid_overhead.py` from the run files and Snakemake's log.",
        "",
        "| of the cores' time | share |",
        "|---|---:|",
        f"| training steps | {sum(training) / given:.1%} |",
        f"| jobs, from their first line to their run file | {sum(jobs) / given:.1%} |",
        f"| without a job at the end, the last of {arguments.cores} cores still at work | {idle / given:.1%} |",
        f"| everything else: Snakemake, starting processes | {1 - (sum(jobs) + idle) / given:.1%} |",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    (Path(__file__).parent / "grid_overhead.md").write_text(text)


if __name__ == "__main__":
    main()
