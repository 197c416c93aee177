"""The project's own workflow on small real training jobs, through the SLURM profile, for a storm over it."""

import shutil
import sys
from pathlib import Path

import numpy as np
import xarray as xr

from tests.cluster.end_to_end.conftest import REPOSITORY, Workflow

__all__ = ["CONFIG", "TARGET", "Sweep", "assert_same_numbers"]

CONFIG = """\
results: results
checkpoints: checkpoints
seeds: 3
per_job: 1
lanes: 1
checkpoint_minutes: 0.02
defaults:
  data: {name: digits, train_subset: 256}
  training: {steps: 300, batch_size: 32, learning_rate: 1e-2}
sweeps:
  storm:
    model:
      - {name: horn_cnn, num_nodes: 4, timesteps: 4}
      - {name: cnn, channels: 4-8-16, match: {to: horn_cnn, by: parameters}}
"""

TARGET = "results/results.nc"

PROFILE = ["--profile", f"{REPOSITORY}/cluster/slurm", "--submitit-poll-max", "2", "--latency-wait", "20"]

# `hornlib train` notes when it trains, and is otherwise the installed hornlib.
NOTING_HORNLIB = """\
#!{python}
import sys

sys.path.append({folder!r})
if sys.argv[1:2] == ["train"]:
    from noting import noted_training

    import hornlib.training.train as train

    run_assignment = train.run_assignment

    def noted_assignment(assignment, *arguments):
        with noted_training(assignment.name):
            run_assignment(assignment, *arguments)

    train.run_assignment = noted_assignment
from hornlib.cli import main

sys.exit(main())
"""

# Where the file `kill_in_sbatch` waits, the controller dies so many seconds after the start of sbatch.
KILLING_SBATCH = """\
#!/bin/bash
if mv {folder}/kill_in_sbatch {folder}/killed_in_sbatch 2> /dev/null; then
    {{ sleep "$(cat {folder}/killed_in_sbatch)"; kill -KILL "$(cat {pidfile})"; }} &
fi
exec {sbatch} "$@"
"""

# what tells when, where and by which code a run was made, and how long it took ("bound" is of the calibration's times)
OF_THE_MACHINE = {"job_seconds", "started", "finished", "host", "calibration_device", "bound", "digest"}
OF_THE_CODE = {"hornlib_version", "hornlib_commit", "hornlib_versions_trained", "mixed_versions"}
TIMES = ("seconds", "step_time", "peak_memory")


class Sweep(Workflow):
    """A folder with a config.yaml on which the repository's Snakefile is run, with the profile and shorter waits.

    Args:
        folder: an empty folder.
        slurm: the test bed.
    """

    nodes = ("g1", "g2")

    def __init__(self, folder: Path, slurm) -> None:
        super().__init__(folder, slurm)
        self.config, self.executor_folder = folder / "config.yaml", folder / ".snakemake/submitit"
        self.config.write_text(CONFIG)
        self.programs = folder / "programs"
        self.programs.mkdir()
        pidfile = slurm.folder / "run/slurmctld.pid" if slurm.folder else ""
        here = Path(__file__).parent
        self._write_program("hornlib", NOTING_HORNLIB.format(python=sys.executable, folder=str(here)))
        sbatch = shutil.which("sbatch", path=slurm.env["PATH"])
        self._write_program("sbatch", KILLING_SBATCH.format(folder=folder, pidfile=pidfile, sbatch=sbatch))

    def _write_program(self, name: str, text: str) -> None:
        (self.programs / name).write_text(text)
        (self.programs / name).chmod(0o700)

    def command(self, *words: str) -> list[str]:
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile")]
        return [*command, TARGET, *(words or PROFILE)]

    def environment(self, **more: str) -> dict[str, str]:
        environment = super().environment(**more)
        return {**environment, "PATH": f"{self.programs}:{environment['PATH']}"}

    def runs(self) -> dict[str, Path]:
        return {file.name: file for file in (self.folder / "results/runs").glob("[!.]*.nc")}

    def outputs(self) -> dict[str, str]:
        return {name: str(file) for name, file in self.runs().items()}

    def is_complete(self) -> bool:
        return (self.folder / TARGET).exists()

    def is_worker(self, command: str) -> bool:
        return f"{self.programs}/hornlib train" in command

    def may_start(self) -> bool:
        """A person gives the command for the sweep that she wants, or for one that is refused."""
        text = self.config.read_text()
        return "seeds: 3" in text and "results: results" in text


def assert_same_numbers(ours: Path, theirs: Path) -> None:
    """Every variable and attribute, bit for bit, but for times, machines and code; a time may be missing."""
    ignored = OF_THE_MACHINE | OF_THE_CODE
    with xr.open_dataset(ours) as one, xr.open_dataset(theirs) as other:
        names, others = (
            {name for name in map(str, file.variables) if not any(word in name for word in TIMES)} - ignored
            for file in (one, other)
        )
        assert names == others, f"only in one of them: {names ^ others}"
        assert len(names) > 10
        for name in names:
            left, right = one[name].values, other[name].values
            assert left.dtype == right.dtype and left.shape == right.shape, name
            same = (
                left.tobytes() == right.tobytes() if left.dtype.kind == "f" else np.array_equal(left, right)
            )
            assert same, name
        for name in (one.attrs.keys() | other.attrs.keys()) - ignored:
            assert one.attrs.get(name) == other.attrs.get(name), f"{name}: {one.attrs.get(name)}"
