"""Rivals: every contender meets the nearest cell of every other arm that learns the same data."""

import numpy as np
import pytest

from hornlib.statistics.contenders import contenders
from hornlib.statistics.rivals import rivals_of


def rivals(ds):
    """Return {contender: {arm: rival}}."""
    found = rivals_of(contenders(ds))
    return {
        str(label): {
            str(arm): str(name) for arm, name in zip(found["rival"].values, row, strict=True) if name
        }
        for label, row in zip(found["contender"].values, found["rival_contender"].values, strict=True)
    }


def test_one_cell_an_arm_is_called_by_its_arm_and_meets_every_other(results):
    ds = results({"horn_cnn": [10, 12], "cnn": [20, 22], "leaky_cnn": [15, 16]})
    assert rivals(ds)["horn_cnn"] == {"cnn": "cnn", "leaky_cnn": "leaky_cnn"}


def test_tuned_cells_meet_those_selected_for_the_same(results):
    ds = results(
        [("horn_cnn", [10]), ("cnn", [20]), ("horn_cnn", [10]), ("cnn", [20])],
        selected_for=["time_to_target", "time_to_target", "final_metric", "final_metric"],
    )
    assert rivals(ds) == {
        "horn_cnn, tuned for speed": {"cnn": "cnn, tuned for speed"},
        "cnn, tuned for speed": {"horn_cnn": "horn_cnn, tuned for speed"},
        "horn_cnn, tuned for accuracy": {"cnn": "cnn, tuned for accuracy"},
        "cnn, tuned for accuracy": {"horn_cnn": "horn_cnn, tuned for accuracy"},
    }


@pytest.mark.parametrize(
    "differing",
    [{"dataset": ["mnist", "digits"]}, {"presentation": ["image", "rows"]}, {"train_subset": [100.0, 200.0]}],
)
def test_what_learns_other_data_is_no_rival(results, differing):
    assert all(not own for own in rivals(results({"horn_cnn": [10], "cnn": [20]}, **differing)).values())


def test_the_rival_is_nearest_in_parameters_then_in_flops_then_in_the_values_it_shares(results):
    ds = results(
        [("horn_cnn", [10]), *([("cnn", [20])] * 4)],
        forward_flops=[1000, 5000, 1500, 1500, 1000],
    )
    ds["num_parameters"][4] = 1500.0
    ds = ds.assign_coords(learning_rate=("cell", [0.01, 0.01, 0.03, 0.01, 0.01], {"kind": "number"}))
    found = rivals_of(contenders(ds))
    assert found.sel(rival="cnn").values[0] == 3


def test_the_rival_is_nearest_to_what_a_grown_network_has_become(results):
    ds = results([("horn_cnn", [10]), ("cnn", [20]), ("cnn", [20])])
    steps = ds.sizes["step"]
    ds["num_parameters"][0, 0] = np.where(np.arange(steps) < steps - 1, 900.0, 100.0)  # pruned at the end
    ds["num_parameters"][1], ds["num_parameters"][2] = 100.0, 900.0
    assert rivals_of(contenders(ds)).sel(rival="cnn").values[0] == 1
    ds["num_parameters"][0] = 500.0
    ds["num_parameters"][1], ds["num_parameters"][2] = 500.0, 500.0
    ds["final_forward_flops"] = (("cell", "seed"), [[7000.0], [1000.0], [7000.0]])
    assert rivals_of(contenders(ds)).sel(rival="cnn").values[0] == 2
