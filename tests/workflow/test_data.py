"""The data rule, on computed files: made once for all datasets that share them, and anew when they are gone."""

import re

import pytest

CONFIG = """
seeds: 1
sweeps:
  maxwell:
    data: {name: [maxwell_forward_small, maxwell_inverse_small], root: given}
    model: {name: mlp, hidden_nodes: 4}
    training: {steps: 2}
"""


@pytest.mark.slow
def test_computed_examples_are_made_once_and_again_when_they_are_gone(project):
    project.configure(CONFIG)
    file = project.folder / "given" / "maxwell_n3_40.npz"
    first = project.snakemake("--until", "data")
    assert first.returncode == 0 and first.stderr.count("check the files of") == 2, first.stderr
    made = file.stat().st_mtime_ns
    logs = [log.read_text() for log in (project.folder / "results/logs/data").glob("*.log")]
    assert len(logs) == 2 and sum("40 of 40 examples" in log for log in logs) == 1
    assert all(re.search(r"maxwell_\w+_small is ready in given", log) for log in logs)
    again = project.snakemake("--until", "data")
    assert again.returncode == 0 and "check the files of" not in again.stderr
    assert file.stat().st_mtime_ns == made
    file.unlink()
    anew = project.snakemake("--until", "data")
    assert anew.returncode == 0 and file.stat().st_mtime_ns > made, anew.stderr
