"""One name, one meaning, over all tables."""

from typing import Literal

import pytest
import xarray as xr

from hornlib.models import MODELS
from hornlib.parameters import Parameters, Task, Widths
from hornlib.results.coordinates import (
    RESERVED,
    UNITS,
    add_derived,
    all_classes,
    coordinates_of,
    kind_of,
)
from hornlib.structures import STRUCTURES

TASKS = {"rows": Task((32, 96), 10), "pixels": Task((1024, 3), 10), "image": Task((3, 32, 32), 10)}


def test_every_parameter_of_every_table_has_one_meaning():
    found = coordinates_of(all_classes())
    for name, model in MODELS.items():
        task = next(task for presentation, task in TASKS.items() if presentation in model.presentations)
        add_derived(found, model().derived(task), name)
    shadowed = [name for name in found if hasattr(xr.Dataset, name) or hasattr(xr.DataArray, name)]
    assert not shadowed, "xarray has attributes of these names"
    assert not RESERVED & set(found)
    assert set(UNITS) <= {*found, "omega", "damping", "alpha", "integration_step"}


def test_the_walk_covers_the_tables():
    classes = [parameters for _, parameters in all_classes()]
    assert {*MODELS.values(), *STRUCTURES.values()} <= set(classes)


def test_a_field_that_is_text_here_and_a_number_there_is_refused():
    class First(Parameters):
        name: Literal["first"] = "first"
        reach: int = 1

    class Second(Parameters):
        name: Literal["second"] = "second"
        reach: str = "far"

    with pytest.raises(ValueError, match="'reach' is a string here and a integer elsewhere"):
        coordinates_of([("model", First), ("model", Second)])
    with pytest.raises(ValueError, match="two sections"):
        coordinates_of([("model", First), ("structure", First)])


@pytest.mark.parametrize(
    "name",
    [
        "method",
        "cell",
        "size",
        "data",
        "values",
        "mean",
        "rank",
        "std",
        "test_loss",
        "in_all",
        "final_seconds",
    ],
)
def test_words_of_xarray_and_of_variables_are_refused(name):
    taken = type(
        "Taken", (Parameters,), {"__annotations__": {"name": str, name: int}, "name": "taken", name: 1}
    )
    with pytest.raises(ValueError, match="is taken"):
        coordinates_of([("model", taken)])
    with pytest.raises(ValueError, match="is taken"):
        add_derived({}, {name: 1.0}, "some")


def test_int_and_float_are_one_number_and_a_derived_text_for_a_number_is_refused():
    class First(Parameters):
        name: Literal["first"] = "first"
        reach: int = 1

    class Second(Parameters):
        name: Literal["second"] = "second"
        reach: float = 1.0

    found = coordinates_of([("model", First), ("model", Second)])
    assert found["reach"].kind == "number"
    with pytest.raises(ValueError, match="derives 'reach'"):
        add_derived(found, {"reach": "far"}, "third")


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (int | None, "integer"),
        (float, "number"),
        (int | float, "number"),
        (Literal["a", "b"] | None, "string"),
        (Literal[1, 2], "integer"),
        (Widths | None, "string"),
        (Widths, "string"),
        (str, "string"),
    ],
)
def test_kinds(annotation, kind):
    assert kind_of(annotation) == kind


@pytest.mark.parametrize("annotation", [bool, int | str, list[int], Literal["a", 1]])
def test_booleans_and_mixtures_are_refused(annotation):
    with pytest.raises(ValueError, match="text"):
        kind_of(annotation)
