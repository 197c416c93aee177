"""Settings of the machine reach the command that trains."""

import re

import pytest
import xarray as xr


def test_the_format_of_the_curve_log_is_passed_to_the_training_and_retrains_nothing(project, copied):
    project.configure(project.configuration + "log_format: csv\n")
    planned = project.snakemake("--dry-run", "--printshellcmds")
    assert planned.returncode == 0, planned.stderr
    assert "--log-format csv" in planned.stdout + planned.stderr
    copied.configure(copied.configuration + "log_format: csv\n")
    assert copied.planned() == {}


def test_the_route_of_recurrences_is_passed_to_the_training_and_retrains_nothing(project, copied):
    project.configure(project.configuration + "kernel: loop\n")
    planned = project.snakemake("--dry-run", "--printshellcmds")
    assert planned.returncode == 0, planned.stderr
    assert len(re.findall(r"hornlib train .* --kernel loop ", planned.stdout + planned.stderr)) == 2
    copied.configure(copied.configuration + "kernel: loop\n")
    assert "train" not in copied.planned() and copied.planned()["calibrate"] == 1


def test_the_weights_that_are_kept_are_an_output_of_the_training_and_retrain_nothing(project, copied):
    project.configure(project.configuration + "keep_weights: last\n")
    planned = project.snakemake("--dry-run", "--printshellcmds")
    assert planned.returncode == 0, planned.stderr
    assert len(re.findall(r"hornlib train .* --keep-weights last ", planned.stdout + planned.stderr)) == 2
    copied.configure(copied.configuration + "keep_weights: last\n")
    assert copied.planned() == {}


@pytest.mark.slow  # a whole sweep of two cells: half a minute
def test_on_a_machine_without_a_compiler_the_sweep_ends_and_everything_names_the_loop(
    project, tmp_path, monkeypatch
):
    monkeypatch.setenv("CC", "there-is-no-such-compiler")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    result = project.hornlib("run", "--cores", "2")
    assert result.returncode == 0, result.stderr
    reason = "there is no C compiler (cc, or the one that $CC names)"
    with xr.open_dataset(project.folder / "results/results.nc") as ds:
        kernels = dict(zip(ds["model"].values.tolist(), ds["kernel"].values.tolist(), strict=True))
        assert kernels == {"horn_cnn": [f"loop: {reason}"] * 2, "cnn": ["none"] * 2}
        (device,) = ds["calibration_device"].values.tolist()
    assert device.endswith(", loops")
    page = (project.folder / "results/report.html").read_text()
    assert "loop: there is no C compiler" in page and "ratios of implementations" in page
    assert f"a loop computes the recurrence of horn_cnn: {reason}" in project.hornlib("plan").stdout


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
