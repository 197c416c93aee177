"""A results folder and Snakemake as a person would call it, in a folder of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


class Project:
    """A working folder with a config.yaml; `snakemake(...)` runs the repository's Snakefile in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.configure((REPOSITORY / "config" / "two_cells.yaml").read_text())

    def configure(self, text: str) -> None:
        (self.folder / "config.yaml").write_text(text)

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
            timeout=300,
            **options,
        )

    def snakemake(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run(*self.command("--cores", "2", *words))

    def hornlib(self, *words: str) -> subprocess.CompletedProcess[str]:
        return self.run("hornlib", *words)

    def runs(self) -> dict[str, int]:
        """Name and modification time (ns) of every run file."""
        return {file.name: file.stat().st_mtime_ns for file in (self.folder / "results/runs").glob("*.nc")}


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project whose two-cell sweep has run; tests of one module share it, and only read."""
    project = Project(tmp_path_factory.mktemp("finished"))
    result = project.snakemake()
    assert result.returncode == 0, result.stderr
    return project
