"""Software: every difference of versions, devices or threads among the compared runs is a limit."""

import numpy as np
import pytest

from hornlib.statistics.contenders import contenders
from hornlib.statistics.software import TRAINED_BY, differences_of_software


def sentences(results, name, values, **how):
    """Return the limits of a sweep of two arms with two runs each, trained by `values` (cell, seed)."""
    ds = results({"horn_cnn": [10, 12], "cnn": [20, 22]}, **how)
    values = np.array(values, float if name == "threads" else object)
    return list(differences_of_software(contenders(ds.assign({name: (("cell", "seed"), values)}))))


@pytest.mark.parametrize("name", TRAINED_BY)
def test_a_difference_between_arms_is_named_with_runs_and_arms(results, name):
    one, other = (1, 4) if name == "threads" else ("2.11.0", "2.12.0")
    (sentence,) = sentences(results, name, [[one, one], [one, other]])
    assert (
        f"different {TRAINED_BY[name]}: {one} (3 runs of horn_cnn, cnn), {other} (1 run of cnn)" in sentence
    )
    assert sentences(results, name, [[one, one], [one, one]]) == []


def test_a_run_without_a_record_differs_from_the_others(results):
    (sentence,) = sentences(results, "torch_version", [["2.11.0", ""], ["2.11.0", "2.11.0"]])
    assert "unknown (1 run of horn_cnn)" in sentence
    (sentence,) = sentences(results, "threads", [[2, np.nan], [2, 2]])
    assert "2 (3 runs of horn_cnn, cnn), unknown (1 run of horn_cnn)" in sentence


def test_routes_differ_in_seconds_alone_and_neither_reasons_nor_models_without_recurrence_differ(results):
    assert sentences(results, "kernel", [["fused", "fused"], ["none", "none"]]) == []
    loop, other_loop = "loop: there is no C compiler", "loop: no fused kernel covers readout: rms"
    assert sentences(results, "kernel", [[loop, loop], [other_loop, loop]]) == []
    (sentence,) = sentences(results, "kernel", [["fused", loop], ["none", "none"]])
    assert (
        "different routes of their recurrences: fused (1 run of horn_cnn), loop (1 run of horn_cnn). "
        in sentence
    )
    assert "same numbers to rounding" in sentence and MAY_DIFFER not in sentence
    (sentence,) = sentences(results, "kernel", [["fused", f"{loop}, then fused"], ["none", "none"]])
    assert "fused (1 run of horn_cnn), loop, then fused (1 run of horn_cnn)" in sentence


def test_a_missing_run_is_not_compared(results):
    values = [["2.11.0", "2.11.0"], ["2.11.0", ""]]
    assert sentences(results, "torch_version", values, missing=[(1, 1)]) == []


def test_many_devices_are_counted(results):
    times = {f"arm_{place}": [10.0] for place in range(8)}
    devices = [[f"gpu {place}"] for place in range(8)]
    ds = contenders(results(times).assign(device=(("cell", "seed"), np.array(devices, object))))
    (sentence,) = differences_of_software(ds)
    assert "gpu 4 (1 run of arm_4), and 3 more." in sentence and "gpu 5" not in sentence


MAY_DIFFER = "A difference between arms may come from this difference."


def test_a_sweep_with_more_seeds_of_a_newer_version_compares_runs_of_the_same_version(results):
    extended = [["1.0", "1.1"], ["1.0", "1.1"]]
    (sentence,) = sentences(results, "hornlib_version", extended)
    assert "1.0 (2 runs of horn_cnn, cnn), 1.1 (2 runs of horn_cnn, cnn)" in sentence
    assert sentence.endswith("no difference between arms comes from this difference.")
    (sentence,) = sentences(results, "hornlib_version", [["1.0", "1.1"], ["1.1", "1.0"]])
    assert sentence.endswith(MAY_DIFFER)


def test_only_runs_that_are_compared_count_as_a_difference_between_arms(results):
    versions = [["1.0", "1.0"], ["1.1", "1.1"]]
    (sentence,) = sentences(results, "hornlib_version", versions, dataset=["digits", "mnist"])
    assert MAY_DIFFER not in sentence
    (sentence,) = sentences(results, "hornlib_version", versions)
    assert sentence.endswith(MAY_DIFFER)


def test_a_missing_run_makes_no_difference_between_arms(results):
    (sentence,) = sentences(results, "hornlib_version", [["1.0", "1.1"], ["1.0", ""]], missing=[(1, 1)])
    assert MAY_DIFFER not in sentence


def test_a_commit_is_named_only_where_the_versions_are_equal(results):
    ds = results({"horn_cnn": [10, 12], "cnn": [20, 22]})
    of_runs = ("cell", "seed")
    commits = np.array([["abc", "abc"], ["def", "def"]], object)
    developed = np.array([["0.2.1.dev1+gabc"] * 2, ["0.2.1.dev2+gdef"] * 2], object)
    (sentence,) = differences_of_software(
        contenders(ds.assign(hornlib_version=(of_runs, developed), hornlib_commit=(of_runs, commits)))
    )
    assert "0.2.1.dev1+gabc (2 runs of horn_cnn)" in sentence
    released = np.full((2, 2), "0.2.0", object)
    (sentence,) = differences_of_software(
        contenders(ds.assign(hornlib_version=(of_runs, released), hornlib_commit=(of_runs, commits)))
    )
    assert "different commits of hornlib: abc (2 runs of horn_cnn)" in sentence
