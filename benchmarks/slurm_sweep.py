"""A small sweep from the command to results.nc: on SLURM through the profile, and with `--cores 2`, in turn.

`python benchmarks/slurm_sweep.py` writes benchmarks/slurm_sweep.md; it needs the test bed's SLURM, which it starts and
leaves running. Both ways calibrate, train six jobs on the same cores, and gather.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from on_slurm import REPOSITORY, Bed, Command, circumstances, spread, wait_for_quiet, write_table

CONFIG = """\
results: results
checkpoints: checkpoints
seeds: 3
per_job: 1
lanes: 1
defaults:
  data: {name: digits}
  training: {epochs: 40, batch_size: 32, learning_rate: 1e-2}
sweeps:
  six:
    model:
      - {name: horn_cnn, num_nodes: 8, timesteps: 8}
      - {name: cnn, channels: 8-16-32, match: {to: horn_cnn, by: parameters}}
"""
TARGET = "results/results.nc"
WAYS = {
    "SLURM": ["--profile", str(REPOSITORY / "cluster/slurm")],
    "`--cores 2`": ["--cores", "2"],
}


def seconds(way: str, bed: Bed) -> float:
    """Return the wall time of a command in an empty folder, from its start to its end with results.nc.

    Args:
        way: one of `WAYS`.
        bed: the test bed.
    """
    with tempfile.TemporaryDirectory(prefix="slurm-sweep-") as name:
        folder = Path(name)
        (folder / "config.yaml").write_text(CONFIG)
        snakemake = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), TARGET]
        command = Command([*snakemake, *WAYS[way]], folder, bed.environment(sys.executable))
        cost = command.wait()
        if not (folder / TARGET).exists():
            raise SystemExit(f"{way}: no {TARGET}\n{command.said()}")
        return cost.wall


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="of both ways in turn")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="slurm-sweep-bed-") as name:
        bed = Bed(Path(name, "wrappers"))
        wait_for_quiet(0.5, 120)
        load = os.getloadavg()[0]
        rounds = [{way: seconds(way, bed) for way in WAYS} for _ in range(arguments.rounds)]
        lines = [
            "# Six small jobs from the command to results.nc",
            f"\n`python benchmarks/slurm_sweep.py --rounds {arguments.rounds}`; {circumstances(bed, load)}",
            "A HORN-CNN and a CNN of three seeds each, one job a seed, calibration and gathering included. The bed",
            "runs up to four jobs at a time on these cores. Medians (ranges) of wall seconds; the ways in turn.\n",
            "| | n | seconds |",
            "|---|---:|---:|",
            *(f"| {way} | {len(rounds)} | {spread(each[way] for each in rounds)} |" for way in WAYS),
        ]
        slurm, local = WAYS
        ratios = spread((each[slurm] / each[local] for each in rounds), digits=2)
        lines.append(f"\nSLURM over {local}, within a round: {ratios} (the reach: at most 1.15).\n")
        write_table(__file__, "\n".join(lines))


if __name__ == "__main__":
    main()
