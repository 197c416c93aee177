"""Storms over sweeps on a real SLURM: 20 of kills, and 5 that damage records, code, configuration and disks too.

    python benchmarks/storms.py                            # 40 minutes on two cores
    python benchmarks/storms.py --kills 2 --damages 1      # fewer

Every storm is one test with a test bed of its own (tests/cluster/end_to_end/test_storm*.py). The tables are written
beside this script.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
STORMS = {"kills": "test_storm.py", "damages": "test_storm_of_damage.py"}
HEAD = "| seed | blows | heads | starts | doubled | seconds | outcome |\n|---:|---:|---:|---:|---:|---:|---|"

PAGE = """\
# Storms over a sweep on a real SLURM
`python benchmarks/storms.py`, {date}, {cores} cores, {at_once} storms side by side, begun at commit {commit}.

Blows are harms that struck. Heads are Snakemakes that were started; all but the first were started by the person of the
storm, because one was killed or gave up. Starts count every time that a job began or went on. Doubled are jobs that
trained while another process trained the same job; every job notes that with a lock of its own. "As undisturbed": every
result is there, bit for bit as without a storm, the queue is empty, nothing is doubled, and no job was finished twice.

## Kills: 40 jobs
The storm kills jobs, tasks, nodes, SLURM's daemons and heads, signals and requeues tasks, for two minutes.

{kills}

## Kills and damage: 6 real training jobs, their calibration and results.nc
The storm also tears, flips, empties, removes and reshapes records of the executor, damages the snapshot of the code and
the nodes' program, kills the controller within sbatch, edits config.yaml (a further seed, a typo, another results
folder), and fills the disks of results and checkpoints. It compares every run file and results.nc.

{damages}
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20, help="storms of kills")
    parser.add_argument("--damages", type=int, default=5, help="storms that damage as well")
    parser.add_argument("--first-seed", type=int, default=1, help="the seeds follow each other from here")
    parser.add_argument("--at-once", type=int, default=3, help="storms side by side")
    arguments = parser.parse_args()
    seeds = {
        kind: range(arguments.first_seed, arguments.first_seed + count)
        for kind, count in (("damages", arguments.damages), ("kills", arguments.kills))
    }
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=REPOSITORY, capture_output=True, text=True
    ).stdout.strip()
    with ThreadPoolExecutor(arguments.at_once) as pool:
        # Those with damage follow each other in one process, because they share the undisturbed sweep.
        damages = pool.submit(rows, "damages", seeds["damages"])
        kills = [pool.submit(rows, "kills", range(seed, seed + 1)) for seed in seeds["kills"]]
        tables = {
            "damages": "\n".join([HEAD, *damages.result()]),
            "kills": "\n".join([HEAD, *(row for storm in kills for row in storm.result())]),
        }
    page = PAGE.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}",
        cores=os.cpu_count(),
        at_once=arguments.at_once,
        commit=commit,
        **tables,
    )
    print(page)
    Path(__file__).with_suffix(".md").write_text(page)


def rows(kind: str, seeds: range) -> list[str]:
    """Let storms pass, one after the other, and return their rows of the table.

    Args:
        kind: kills or damages.
        seeds: a seed for every storm.
    """
    if not seeds:
        return []
    test = REPOSITORY / "tests/cluster/end_to_end" / STORMS[kind]
    folder = Path(tempfile.mkdtemp(prefix=f"storm-{kind}-{seeds[0]}-"))
    written, log = folder / "rows", folder / "log"
    variables = {
        "HORNLIB_STORM_SEED": str(seeds[0]),
        "HORNLIB_STORMS": str(len(seeds)),
        "HORNLIB_STORM_ROWS": str(written),
    }
    with log.open("w") as words:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:xdist", f"--basetemp={folder}/pytest", str(test)],
            cwd=REPOSITORY,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HORNLIB_REQUIRE_SLURM": "1", **variables},
            stdout=words,
            stderr=subprocess.STDOUT,
        )
    text = written.read_text() if written.exists() else f"| {seeds[0]} | | | | | | no storm: see {log} |\n"
    if done.returncode == 0:
        shutil.rmtree(folder)
    else:
        text += f"see {log}\n"
    print(f"{kind}:\n{text}", flush=True)
    return [line for line in text.splitlines() if line.startswith("|")]


if __name__ == "__main__":
    main()
