"""A results folder and Snakemake as a person would call it, in a folder of its own."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


class Project:
    """A working folder with a config.yaml; `snakemake(...)` runs the repository's Snakefile in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def configure(self, text: str) -> None:
        (self.folder / "config.yaml").write_text(text)

    @property
    def configuration(self) -> str:
        return (self.folder / "config.yaml").read_text()

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", "--snakefile", str(REPOSITORY / "Snakefile"), *words]

    @property
    def environment(self) -> dict[str, str]:
        scripts = str(Path(sys.executable).parent)
        return {**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}

    def run(self, *words: str, **options) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment,
            text=True,
            capture_output=True,
            timeout=550,
            **options,
        )

    def snakemake(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(*self.command("--cores", "2", *words))

    def hornlib(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, "-m", "hornlib.cli", *words)

    def planned(self, *words: str) -> dict[str, int]:
        """Rule -> number of jobs that Snakemake would run; nothing is run."""
        dry_run = self.snakemake("--dry-run", *words)
        assert dry_run.returncode == 0, dry_run.stderr
        table = re.findall(r"^(\w+) +(\d+)$", dry_run.stdout + dry_run.stderr, re.M)
        return {rule: int(count) for rule, count in table if rule not in ("total", "all")}

    def runs(self) -> dict[str, int]:
        """Name and modification time (ns) of every run file."""
        return {file.name: file.stat().st_mtime_ns for file in (self.folder / "results/runs").glob("*.nc")}

    def times(self) -> dict[str, int]:
        """Path and modification time (ns) of everything here but Snakemake's own records."""
        paths = (path for path in self.folder.rglob("*") if ".snakemake" not in path.parts)
        return {str(path.relative_to(self.folder)): path.lstat().st_mtime_ns for path in paths}


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    project.configure((REPOSITORY / "config" / "two_cells.yaml").read_text())
    return project


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A project whose two-cell sweep has run; tests share it, and only read.

    The first process of the test run trains it, and the others wait and copy it.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "two_cells_finished"
    with shared.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not shared.exists():
            project = Project(tmp_path_factory.mktemp("training") / "project")
            project.folder.mkdir()
            project.configure((REPOSITORY / "config" / "two_cells.yaml").read_text())
            result = project.snakemake()
            assert result.returncode == 0, result.stderr
            shutil.copytree(project.folder, shared, symlinks=True)
    return Project(shutil.copytree(shared, tmp_path_factory.mktemp("finished") / "project", symlinks=True))


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of the finished project, with its times, for tests that change it."""
    shutil.copytree(finished.folder, tmp_path / "copy", symlinks=True)
    return Project(tmp_path / "copy")
