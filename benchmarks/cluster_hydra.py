"""40 small training jobs on SLURM: our workflow, and Hydra with its submitit launcher calling the same trainer.

`make testbed`, then `python benchmarks/cluster_hydra.py --rivals RIVALS/bin/python`, writes benchmarks/cluster_hydra.md
and leaves the test bed running. RIVALS is an environment that `benchmarks/rivals.txt` tells how to make.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from on_slurm import (
    REPOSITORY,
    Bed,
    Command,
    Cost,
    circumstances,
    rival_versions,
    spread,
    wait_for_quiet,
    write_table,
)

from hornlib.grid import read_grid

OURS, HYDRA = "ours", "Hydra"
PARALLEL = 4  # tasks of the array at the same time
MEMORY = 2  # GB of a job: torch takes .9, which SLURM here counts twice while a process forks

CONFIG = """\
seeds: 1
per_job: 1
lanes: 1
device: cpu
sweeps:
  rates:
    data: {{name: digits}}
    model: {{name: mlp, hidden_nodes: 64-64}}
    training: {{epochs: 5, batch_size: 32, learning_rate: {rates}}}
"""

# What fails is the program, not the cell: on a cluster, a node without memory or a disk that is full.
WRAPPER = """\
#!/bin/sh
if [ "$1" = train ]; then
  echo "$2" >> {folder}/starts
  if [ -e {folder}/fails ] && [ "$2" = "$(cat {folder}/fails)" ]; then exit 1; fi
fi
exec {hornlib} "$@"
"""

APP = """\
import json
from pathlib import Path

import hydra

HERE = Path(__file__).parent


@hydra.main(version_base=None, config_path=None)
def main(config):
    from hornlib.grid.cell import parse_specification
    from hornlib.grid.jobs import parse_run_name
    from hornlib.training.job import TrainOptions
    from hornlib.training.train import train_job

    job = json.loads((HERE / "jobs.json").read_text())[config.job]
    with (HERE / "starts").open("a") as starts:
        starts.write(job["output"] + "\\n")
    fails = HERE / "fails"
    if fails.exists() and fails.read_text() == job["output"]:
        raise RuntimeError("this job fails")
    output = HERE / job["output"]
    options = TrainOptions(1, 1, "cpu", HERE / "checkpoints", 300.0)
    train_job(parse_specification(job["cell"]), parse_run_name(output.name).range, output, options)


if __name__ == "__main__":
    main()
"""


class Outcome(NamedTuple):
    """What one sweep came to.

    Attributes:
        cost: of the command.
        started: trainings that were started.
        done: run files that are there at the end.
        status: the command's exit status.
    """

    cost: Cost
    started: int
    done: int
    status: int


def main() -> None:
    """Run both ways in turn, then both with a job that fails and once more without, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rivals", required=True, help="Python of the rivals' environment")
    parser.add_argument("--num", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--quiet", type=float, default=0, metavar="SECONDS", help="wait so long for a load below 1"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        bed = Bed(Path(temporary) / "bin")
        wait_for_quiet(1, options.quiet)
        load = os.getloadavg()[0]
        ways: dict[str, Way] = {OURS: our_sweep, HYDRA: hydra_sweep}
        whole: dict[str, list[Outcome]] = {name: [] for name in ways}
        for _ in range(options.rounds):
            for name, way in ways.items():
                whole[name].append(sweep(bed, way, options)[0])
                print(f"{name}: {whole[name][-1]}", flush=True)
        failing = {name: sweep(bed, way, options, fails=True) for name, way in ways.items()}
        versions = rival_versions(options.rivals, ["hydra-core", "hydra-submitit-launcher"])
        write_table(__file__, report(whole, failing, options, circumstances(bed, load, versions)))


Way = Callable[[Bed, Path, argparse.Namespace], Command]


def sweep(bed: Bed, way: Way, options: argparse.Namespace, fails: bool = False) -> list[Outcome]:
    """Run a sweep in a folder of its own; where a job fails in it, run it again without that fault."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        config = folder / "config.yaml"
        config.write_text(CONFIG.format(rates=[round(1e-4 * 1.1**k, 9) for k in range(options.num)]))
        grid = read_grid([config])
        jobs = [
            {"cell": grid.cells[job.cell].job_specification(), "output": str(grid.run_path(job))}
            for job in grid.jobs({})
        ]
        (folder / "jobs.json").write_text(json.dumps(jobs))
        (folder / "results/runs").mkdir(parents=True)
        if not fails:
            return [run(bed, way, folder, options)]
        fault = folder / "fails"
        fault.write_text(jobs[options.num // 2]["output"])
        first = run(bed, way, folder, options)
        fault.unlink()
        return [first, run(bed, way, folder, options)]


def run(bed: Bed, way: Way, folder: Path, options: argparse.Namespace) -> Outcome:
    """Run one command to its end, and wait until nothing of it is in the queue any more."""
    starts = folder / "starts"
    starts.write_text("")
    command = way(bed, folder, options)
    cost = command.wait()
    while bed.output("squeue", "-h"):
        time.sleep(0.5)
    outputs = list((folder / "results/runs").glob("*.nc"))
    status = command.process.returncode
    if status and not (folder / "fails").exists():
        sys.exit(command.said()[-3000:])
    return Outcome(cost, len(starts.read_text().split()), len(outputs), status)


def our_sweep(bed: Bed, folder: Path, options: argparse.Namespace) -> Command:
    """Start the workflow with the cluster's profile."""
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    hornlib = Path(sys.executable).parent / "hornlib"
    (programs / "hornlib").write_text(WRAPPER.format(folder=folder, hornlib=hornlib))
    (programs / "hornlib").chmod(0o755)
    environment = bed.environment(sys.executable)
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    words = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
    words += ["--profile", str(REPOSITORY / "cluster/slurm"), "--submitit-array-parallelism", str(PARALLEL)]
    words += [
        "--default-resources",
        "slurm_partition=cpu",
        "cpus_per_task=1",
        f"mem_mb={1000 * MEMORY}",
        "runtime=10",
    ]
    return Command([*words, "--", "rates"], folder, environment)


def hydra_sweep(bed: Bed, folder: Path, options: argparse.Namespace) -> Command:
    """Start the same jobs as a multirun."""
    (folder / "app.py").write_text(APP)
    launcher = {
        "partition": "cpu",
        "cpus_per_task": 1,
        "mem_gb": MEMORY,
        "timeout_min": 10,
        "array_parallelism": PARALLEL,
    }
    words = [options.rivals, "app.py", "--multirun", "hydra/launcher=submitit_slurm"]
    words += [f"hydra.launcher.{name}={value}" for name, value in launcher.items()]
    return Command([*words, f"+job=range(0,{options.num})"], folder, bed.environment(options.rivals))


def report(
    whole: dict[str, list[Outcome]],
    failing: dict[str, list[Outcome]],
    options: argparse.Namespace,
    where: str,
) -> str:
    """Return the table in Markdown."""
    walls = {name: statistics.median(run.cost.wall for run in runs) for name, runs in whole.items()}
    return "\n".join(
        [
            f"# {options.num} small training jobs: ours and Hydra's submitit launcher",
            "",
            f"`python benchmarks/cluster_hydra.py --rivals RIVALS/bin/python`; {where}",
            f"A perceptron on `digits`, {options.num} learning rates, one CPU a job, at most {PARALLEL} at the same "
            "time. Medians (ranges), the two in turn.",
            "",
            "| | n | wall, s | head, CPU s | of its calls, CPU s | peak, MB |",
            "|---|---:|---:|---:|---:|---:|",
            *(row(name, runs) for name, runs in whole.items()),
            "",
            f"Wall time, ours to Hydra's: {walls[OURS] / walls[HYDRA]:.2f}.",
            "",
            f"One of the {options.num} fails; then the same command once more, the fault mended:",
            "",
            "| | first: started | run files | exit status | second: started | run files | wall, s |",
            "|---|---:|---:|---:|---:|---:|---:|",
            *(
                f"| {name} | {first.started} | {first.done} | {first.status} | {second.started} | {second.done} "
                f"| {second.cost.wall:.1f} |"
                for name, (first, second) in failing.items()
            ),
            "",
        ]
    )


def row(name: str, runs: list[Outcome]) -> str:
    """Return one way's line."""
    cells = [
        spread(run.cost.wall for run in runs),
        spread(run.cost.own for run in runs),
        spread((run.cost.called for run in runs), 2),
        spread((run.cost.peak for run in runs), 0),
    ]
    return f"| {name} | {len(runs)} | {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
