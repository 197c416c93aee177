"""Settings of the machine reach the command that trains."""

import re

import pytest


def test_the_format_of_the_curve_log_is_passed_to_the_training_and_retrains_nothing(project, copied):
    project.configure(project.configuration + "log_format: csv\n")
    planned = project.snakemake("--dry-run", "--printshellcmds")
    assert planned.returncode == 0, planned.stderr
    assert "--log-format csv" in planned.stdout + planned.stderr
    copied.configure(copied.configuration + "log_format: csv\n")
    assert copied.planned() == {}


@pytest.mark.parametrize(
    ("words", "folder"),
    [
        ([], "results/checkpoints"),
        (["--default-resources", "scratch='/fast'"], "/fast/[0-9a-f]{12}"),
        (["--set-resources", "train:scratch=/fast"], "/fast/[0-9a-f]{12}"),
    ],
)
def test_checkpoints_are_on_the_profiles_scratch_disk_else_beside_the_runs(project, words, folder):
    planned = project.snakemake("--dry-run", "--printshellcmds", *words)
    assert planned.returncode == 0, planned.stderr
    commands = re.findall("hornlib train .*", planned.stdout + planned.stderr)
    assert len(commands) == 2
    assert all(re.search(f" --checkpoints {folder} ", command) for command in commands)
