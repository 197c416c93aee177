"""Notes of the section on cost about networks with masks."""

import numpy as np
import pytest
import xarray as xr

from hornlib.report.evidence import SweepEvidence
from hornlib.report.sections.efficiency import _between_steps, _simulation


def evidence(**coordinates):
    columns = {name: ("cell", np.array(values)) for name, values in coordinates.items()}
    return SweepEvidence("one", xr.Dataset(columns), None)


def words(blocks):
    return " ".join(block.text for block in blocks)


def test_the_page_says_what_the_simulation_by_masks_wastes():
    sweep = evidence(
        arm=["dense", "rigl", "rigl", "stored"],
        computed_forward_flops=[500.0, 500.0, 500.0, 50.0],
        forward_flops=[500.0, 50.0, 10.0, 50.0],
    )
    text = words(_simulation(sweep))
    assert "over those that count: rigl 10 to 50." in text
    assert "dense" not in text and "stored" not in text


@pytest.mark.parametrize("absent", ["masks", "variable", "results"])
def test_nothing_is_said_where_all_computed_work_counts(absent):
    flops = {"forward_flops": [500.0], "arm": ["dense"]}
    if absent == "masks":
        flops["computed_forward_flops"] = [500.0]
    sweep = SweepEvidence("one", None, None) if absent == "results" else evidence(**flops)
    assert _simulation(sweep) == []


def test_seconds_without_updates_are_marked_where_networks_change():
    assert "leave out" in words(_between_steps(evidence(structure=["static", "sparse_training"])))
    assert _between_steps(evidence(structure=["static", "static"])) == []


def test_steps_whose_time_is_interpolated_are_counted():
    ds = xr.Dataset(
        {
            "structure": ("cell", ["static", "growth"]),
            "samples": (("cell", "step"), [[1.0, 2.0, 3.0], [1.0, 2.0, np.nan]]),
            "interpolated_steps": (("cell", "seed"), [[0.0, 0.0], [5.0, 3.0]]),
        },
        {"step": [1, 10, 20]},
    )
    text = words(_between_steps(SweepEvidence("one", ds, None)))
    assert "In 2 runs, 40 % of the training steps are at widths between calibrated ones." in text
    without = ds.drop_vars("interpolated_steps")
    assert "interpolated" not in words(_between_steps(SweepEvidence("one", without, None)))
