"""The commands status and cancel, beside a faked SLURM."""

import io
import subprocess
import sys

import pytest
from snakemake_executor_plugin_submitit.slurm import Slurm

from hornlib import cli


@pytest.fixture
def hornlib(bench, tmp_path, monkeypatch, capsys):
    """Call the command line beside the bench, with its SLURM."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("snakemake_executor_plugin_submitit.slurm.Slurm", lambda: Slurm(bench.slurm))

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["hornlib", *words, "--folder", str(bench.folder)])
        with pytest.raises(SystemExit) as left:
            cli.main()
            raise SystemExit(0)
        return int(left.value.code or 0), *capsys.readouterr()

    return call


def test_status_ends_well_even_where_jobs_failed(bench, hornlib):
    bench.end(bench.submit(bench.jobs), 0, 1)
    for words in (
        [],
        ["--failed"],
        ["--json"],
        ["--json", "--failed"],
        ["--where", "timesteps=4"],
        ["--sweep", "two"],
    ):
        status, out, err = hornlib("status", *words)
        assert (status, err) == (0, "")
        assert out
    status, _, err = hornlib("status", "--sweep", "three")
    assert (status, "three" in err) == (1, True)


def test_cancel_refuses_without_a_terminal_unless_told_yes(bench, hornlib, monkeypatch):
    bench.submit(bench.jobs)
    bench.slurm.queue = "12_[0-5]|PENDING|1:00||Priority"
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    status, _, err = hornlib("cancel")
    assert (status, "--yes" in err, bench.slurm.asked("scancel")) == (1, True, [])
    status, out, _ = hornlib("cancel", "--yes")
    assert (status, bench.slurm.asked("scancel")) == (0, [["scancel", "12"]])
    assert "cancelled 6 jobs; checkpoints stay" in out


@pytest.mark.parametrize(("answer", "calls"), [("n", []), ("y", [["scancel", "12"]])])
def test_cancel_asks_on_a_terminal(bench, hornlib, monkeypatch, answer, calls):
    bench.submit(bench.jobs)
    bench.slurm.queue = "12_[0-5]|PENDING|1:00||Priority"
    terminal = io.StringIO(f"{answer}\n")
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", terminal)
    assert hornlib("cancel")[0] == 0
    assert bench.slurm.asked("scancel") == calls


def test_looking_loads_no_torch_and_no_snakemake(tmp_path):
    code = (
        "import sys, hornlib.status.cancellation, hornlib.status.document\nimport snakemake_executor_plugin_submitit\n"
        "assert not {'torch', 'snakemake', 'submitit', 'xarray'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)
