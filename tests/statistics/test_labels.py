"""Labels: whatever a configuration calls an arm goes unchanged through statistics, file and sentences."""

import numpy as np
import pytest

from hornlib.results.opening import open_results
from hornlib.results.seal import seal
from hornlib.statistics.contenders import contenders
from hornlib.statistics.summary import summarise
from hornlib.statistics.write import open_statistics, write_statistics

HOSTILE = [
    "[t=4]",
    "[/red]",
    "$a^$",
    "<b>",
    "\"quoted\" 'twice'",
    "größe λ 网络",
    "*",
    "`tick`",
    "back\\slash {brace} %s",
    "horn on digits",
    "horn, tuned for speed",
    "very long " * 40 + "label",
]


@pytest.fixture(scope="module")
def hostile(results, settings, lognormal, tmp_path_factory):
    """The statistics of a sweep whose arms have hostile labels, and the same statistics read from their file."""
    folder = tmp_path_factory.mktemp("hostile")
    times = {label: lognormal(50 + place, 7) for place, label in enumerate(HOSTILE)}
    ds = results({**times, "cnn": lognormal(120, 7)}).rename(arm="arm_small").assign_attrs(schema_version=2)
    members = np.full(ds.sizes["cell"], True)
    ds = ds.assign_coords(in_small=("cell", members, {"seeds": np.arange(7)}))
    ds.to_netcdf(folder / "results.nc")
    seal(folder / "results.nc")
    claims = {f"claim_{place}": {"subject": label, "rivals": ["cnn"]} for place, label in enumerate(HOSTILE)}
    rules = settings(subject=HOSTILE[0], claims=claims, targets=())
    write_statistics(folder / "results.nc", folder / "statistics.nc", {"small": rules})
    summary = summarise(open_results(folder / "results.nc", sweep="small"), rules)
    return summary, open_statistics(folder / "statistics.nc", "small")


def test_every_label_is_a_contender_before_and_after_the_file(hostile):
    for summary in hostile:
        assert summary["contender"].values.tolist() == [*HOSTILE, "cnn"]
        assert summary["arm"].values.tolist() == [*HOSTILE, "cnn"]
    assert hostile[0].attrs["answer"] == hostile[1].attrs["answer"]


@pytest.mark.parametrize("place", range(len(HOSTILE)))
def test_every_label_stands_whole_in_its_question_and_its_sentence(hostile, place):
    claim = hostile[1].sel(claim=f"claim_{place}")
    assert claim["question"].item() == f"Does {HOSTILE[place]} learn faster?"
    assert claim["overall_sentence"].item().startswith(f"Yes: {HOSTILE[place]} needs ")


def test_an_answer_has_one_line_for_every_claim_whatever_line_breaks_a_question_has(
    results, settings, lognormal
):
    claim = {"rivals": ["cnn"], "question": "Is it\nfaster?\n"}
    ds = results({"horn_cnn": lognormal(60), "cnn": lognormal(120)})
    answer = summarise(ds, settings(claims={"faster": claim}, targets=())).attrs["answer"]
    assert answer.startswith("Is it faster? Yes: ") and len(answer.splitlines()) == 1


def test_sentences_leave_out_the_dataset_and_the_objective_that_a_label_has(results):
    entries = [(arm, [10.0]) for arm in ("horn on digits", "cnn") for _ in range(2)]
    tuned = {"selected_for": ["time_to_target"] * 4}
    ds = contenders(results(entries, dataset=["digits", "mnist"] * 2, **tuned))
    assert ds["contender"].values[0] == "horn on digits on digits, tuned for speed"
    assert ds["short_label"].values.tolist() == ["horn on digits"] * 2 + ["cnn"] * 2


def test_the_label_of_a_cell_in_results_is_passed_on(results, settings, lognormal):
    labels = ["horn_cnn (num_nodes 8)", "cnn"]
    ds = results({"horn_cnn": lognormal(60), "cnn": lognormal(120)}, label=labels)
    assert summarise(ds, settings(targets=()))["label"].values.tolist() == labels
