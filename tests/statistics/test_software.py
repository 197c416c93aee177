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


def test_a_missing_run_is_not_compared(results):
    values = [["2.11.0", "2.11.0"], ["2.11.0", ""]]
    assert sentences(results, "torch_version", values, missing=[(1, 1)]) == []


def test_many_devices_are_counted(results):
    times = {f"arm_{place}": [10.0] for place in range(8)}
    devices = [[f"gpu {place}"] for place in range(8)]
    ds = contenders(results(times).assign(device=(("cell", "seed"), np.array(devices, object))))
    (sentence,) = differences_of_software(ds)
    assert "gpu 4 (1 run of arm_4), and 3 more." in sentence and "gpu 5" not in sentence
