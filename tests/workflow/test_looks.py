"""A sequential sweep end to end: the printed command trains one look at a time, and nothing twice."""

import shlex

import pytest

from hornlib.statistics.write import open_statistics

pytestmark = pytest.mark.slow

CONFIG = """
per_job: 5
seeds: 4
probes: "off"
statistics:
  min_seeds: 2
  alpha: 1.0e-9 # no look decides
  bootstrap: 1000
  targets: []
  sequential: [2, 3, 4]
  claims: {faster: {rivals: [cnn]}}
sweeps:
  one:
    data: {name: digits}
    model:
      - {name: horn_cnn, num_nodes: 2, timesteps: 1}
      - {name: cnn, channels: 2-2}
      - {name: cnn, channels: 2-2-2, arm: aside}
    training: {epochs: 1, batch_size: 256}
"""


def test_the_printed_commands_train_and_judge_one_look_after_another(project):
    project.configure(CONFIG)

    def look():
        looks = project.hornlib("looks")
        assert looks.returncode == 0, looks.stderr
        train = next(line for line in looks.stdout.splitlines() if " to train: " in line).split(
            " to train: "
        )[1]
        train = train.replace("snakemake", shlex.join(project.command()), 1).replace("--cores N", "--cores 2")
        done = project.run("bash", "-c", train)
        assert done.returncode == 0, done.stderr
        waiting = next(
            line for line in project.hornlib("looks").stdout.splitlines() if "judge them: " in line
        )
        judged = project.run("bash", "-c", waiting.split("judge them: ")[1])
        assert judged.returncode == 0, judged.stderr
        return open_statistics(project.folder / "results/statistics.nc", "one")

    first = look()
    before = project.runs()
    assert len(before) == 3 and all(name.endswith("seeds-0-1.nc") for name in before)
    assert first["last_look"].item() == 2
    assert first["next_look"].item() == 3
    second = look()
    after = project.runs()
    assert second["last_look"].item() == 3
    assert {name: after[name] for name in before} == before  # nothing is trained twice
    added = set(after) - set(before)
    assert len(added) == 2 and all(
        name.endswith("seeds-2-2.nc") for name in added
    )  # the third arm is in no claim
    page = (project.folder / "results/report.html").read_text()
    assert "after the look at 3 seeds, next look at 4 seeds" in page.lower()
