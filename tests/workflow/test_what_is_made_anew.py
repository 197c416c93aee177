"""Which stages a change of the configuration makes anew, and that parsing the workflow changes nothing on disk."""

import pytest
import xarray as xr

from hornlib.statistics.write import digest, made_from, open_statistics

EVIDENCE = {"gather", "stability", "statistics", "report"}
STATISTICS = {"statistics", "report"}

SECOND_SWEEP = """
  second:
    model:
      - {name: horn_cnn, num_nodes: 4, timesteps: 4}
      - {name: cnn, channels: 4-8-16, match: {to: horn_cnn, by: parameters}}
"""

CHANGES = {
    "statistics": (lambda text: f"{text}\nstatistics: {{target: 0.5, confirm: 1}}\n", STATISTICS),
    "label of an arm": (lambda text: text.replace("{name: cnn,", "{name: cnn, arm: rival,"), EVIDENCE),
    "fewer seeds": (lambda text: text.replace("seeds: 2\n", "seeds: 1\n"), EVIDENCE),
    "second sweep": (lambda text: text + SECOND_SWEEP, EVIDENCE),
    "comment": (lambda text: f"# a comment\n{text}", set()),
    "other spelling": (lambda text: text.replace("learning_rate: 1e-2", "learning_rate: 0.01"), set()),
    "setting of the machine": (lambda text: text.replace("lanes: 2 ", "lanes: 1 "), set()),
}


def with_baseline(text):
    """Let the label of the baseline be right in a configuration whose arm has another label."""
    return f"{text}\nstatistics: {{baseline: rival}}\n" if "arm: rival" in text else text


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_makes_anew_what_reads_it_and_no_run(copied, change):
    changed, stages = CHANGES[change]
    before = copied.configuration
    copied.configure(with_baseline(changed(before)))
    assert copied.configuration != before
    planned = set(copied.planned())
    assert planned - {"digest"} == stages
    assert ("digest" in planned) == bool(stages)


@pytest.mark.slow  # everything behind the runs is made anew, the page too
def test_a_new_label_and_a_second_sweep_reach_the_report_and_going_back_is_noticed(copied):
    original, runs = copied.configuration, copied.runs()
    copied.configure(with_baseline(original.replace("{name: cnn,", "{name: cnn, arm: rival,")))
    changed = copied.snakemake()
    assert changed.returncode == 0, changed.stderr
    assert copied.runs() == runs
    with xr.open_dataset(copied.folder / "results/results.nc") as results:
        assert sorted(results["arm_two_cells"].values.tolist()) == ["horn_cnn", "rival"]
    statistics = open_statistics(copied.folder / "results/statistics.nc", "two_cells")
    assert statistics.attrs["baseline"] == "rival"
    assert "rival" in (copied.folder / "results/report.html").read_text()
    assert copied.planned() == {}
    copied.configure(original)
    assert set(copied.planned()) - {"digest"} == EVIDENCE


@pytest.mark.slow  # a part of a sweep is trained and judged, then the whole
def test_the_statistics_of_a_part_of_another_configuration_give_way_to_those_of_the_whole_sweep(copied):
    """Every chosen run is trained, so that the part is only judged."""
    statistics, results = (copied.folder / "results" / name for name in ("statistics.nc", "results.nc"))
    runs = copied.runs()
    part = copied.hornlib(
        "run", "--set", "seeds=3", "--where", "model=cnn", "--where", "seed=0", "--cores", "1"
    )
    assert part.returncode == 0, part.stderr
    assert made_from(statistics) == digest(copied.folder / "results/partial.nc")
    assert "results: results/partial.nc" in part.stdout and results.exists()
    whole = copied.hornlib("run", "--cores", "1")
    assert whole.returncode == 0, whole.stderr
    assert made_from(statistics) == digest(results)
    assert copied.runs() == runs and copied.planned() == {}


@pytest.mark.parametrize(
    ("words", "stages"),
    [
        (["gather"], EVIDENCE),
        (["statistics"], STATISTICS),
        (["report"], {"report"}),
    ],
)
def test_what_a_command_writes_for_another_configuration_is_made_anew(copied, words, stages):
    other = copied.configuration.replace("seeds: 2\n", "seeds: 1\n")
    (copied.folder / "other.yaml").write_text(f"{other}\nstatistics: {{confirm: 1}}\n")
    written = copied.hornlib(*words, "--configfile", "other.yaml")
    assert written.returncode == 0, written.stderr
    assert set(copied.planned()) - {"digest"} == stages


def test_what_a_command_writes_for_the_same_configuration_asks_for_no_mark_anew(copied):
    for command in ("gather", "statistics", "report"):
        written = copied.hornlib(command)
        assert written.returncode == 0, written.stderr
    assert "digest" not in copied.planned()


def test_without_snakemakes_records_a_changed_digest_is_noticed_too(copied):
    copied.configure(f"{copied.configuration}\nstatistics: {{confirm: 1}}\n")
    assert set(copied.planned("--drop-metadata")) >= STATISTICS


def test_another_data_folder_retrains_nothing(copied, monkeypatch):
    """The marker of checked files is named after the folder; runs do not depend on its name."""
    monkeypatch.setenv("HORNLIB_DATA", str(copied.folder / "elsewhere"))
    assert copied.planned() == {}


@pytest.mark.parametrize("state", ["absent", "finished", "stale"])
def test_parsing_the_workflow_changes_nothing_on_disk(project, copied, state):
    folder = project if state == "absent" else copied
    if state == "stale":
        for file in (folder.folder / "results/calibration").glob("*.nc"):
            file.unlink()
    before = folder.times()
    dry_run = folder.snakemake("--dry-run")
    assert dry_run.returncode == 0, dry_run.stderr
    assert folder.times() == before
    assert ("measure the step time" in dry_run.stdout + dry_run.stderr) == (state != "finished")


def test_a_calibration_that_is_gone_is_measured_again_once(copied):
    for file in (copied.folder / "results/calibration").glob("*.nc"):
        file.unlink()
    again = copied.snakemake("calibrate", "results/results.nc")
    assert again.returncode == 0, again.stderr
    assert len(list((copied.folder / "results/calibration").glob("*.measured*"))) == 1
    assert list((copied.folder / "results/calibration").glob("*.nc"))
    assert copied.planned("calibrate", "results/results.nc") == {}
