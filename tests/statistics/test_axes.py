"""Axes of cost: the table of words and units has every axis that a claim may name."""

from hornlib.parameters.statistics import AXES
from hornlib.results.target_times import AXES as TIME_AXES
from hornlib.results.variables import CURVES
from hornlib.statistics.axes import COST_AXES


def test_every_axis_of_the_configuration_has_words_and_a_unit():
    assert tuple(COST_AXES) == AXES
    assert {*TIME_AXES, "training_loss"} == set(AXES)


def test_units_are_those_of_the_results():
    for name in ("training_flops", "seconds"):
        assert COST_AXES[name].units == CURVES[name].units
