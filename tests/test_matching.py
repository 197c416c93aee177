"""Matching: the nearest width by counts in closed form, found by doubling and bisection."""

from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornlib.cell import parse_specification
from hornlib.errors import ConfigError
from hornlib.matching import (
    TOLERANCE,
    Match,
    MatchRequest,
    count,
    largest_deviations,
    nearest_width,
    parse_match,
    request_order,
    target_sizes,
)
from hornlib.parameters import Flops, ModelParameters, Task

TASK = Task((1, 8, 8), 10)


class Polynomial(ModelParameters):
    """A model whose counts are polynomials of its width."""

    network: ClassVar[str] = "nowhere:Nothing"
    presentations: ClassVar[tuple[str, ...]] = ("image",)
    name: Literal["polynomial"] = "polynomial"
    nodes: int = 1
    linear: int = 3
    quadratic: int = 1

    def num_parameters(self, task):
        return self.quadratic * self.nodes**2 + self.linear * self.nodes + 5

    def forward_flops(self, task):
        return Flops(2 * self.num_parameters(task), self.nodes)

    def width(self):
        return self.nodes

    def with_width(self, width):
        return self.model_copy(update={"nodes": width})


@given(
    st.integers(0, 5).flatmap(lambda q: st.tuples(st.just(q), st.integers(1, 50))),
    st.integers(1, 20_000),
    st.sampled_from(["parameters", "flops"]),
)
def test_the_width_found_is_the_nearest_of_all(coefficients, target, by):
    model = Polynomial(quadratic=coefficients[0], linear=coefficients[1])
    found = nearest_width(model, TASK, by, target)
    distances = {
        width: abs(count(model.with_width(width), TASK, by) - target)
        for width in range(1, max(found + 2, 2 * found))
    }
    assert distances[found] == min(distances.values())
    assert found == min(width for width in distances if distances[width] == distances[found])


def test_a_target_below_the_smallest_width_gets_the_smallest_width():
    assert nearest_width(Polynomial(), TASK, "parameters", 1) == 1


def test_a_count_that_does_not_grow_is_told_and_not_searched_for_ever():
    with pytest.raises(ValueError, match="no width of polynomial comes near 1,000 parameters"):
        nearest_width(Polynomial(linear=0, quadratic=0), TASK, "parameters", 1000)


def test_parameters_and_flops_are_counted_by_the_closed_forms():
    model = Polynomial(nodes=4)
    assert count(model, TASK, "parameters") == 16 + 12 + 5
    assert count(model, TASK, "flops") == 2 * 33 + 4


def test_the_deviation_is_relative_to_the_target_and_the_farthest_comes_first():
    def match(reached):
        return Match("s", "digits", "cnn", "horn_cnn", "parameters", 3, 1000, reached)

    assert match(1050).deviation == pytest.approx(0.05)
    far = largest_deviations([match(1051), match(1000), match(900), match(int(1000 * (1 + TOLERANCE)))])
    assert [found.reached for found in far] == [900, 1051]


def test_targets_are_counted_once_a_dataset_and_image_size():
    def cell(dataset, channels, **data):
        return parse_specification(
            {"data": {"name": dataset, **data}, "model": {"name": "cnn", "channels": channels}}
        )

    cells = [cell("digits", "4-8"), cell("digits", "4-8", validation=0.2), cell("digits", "8-8")]
    cells += [cell("mnist", "4-8"), cell("mnist", "4-8", image_size=14)]
    sizes = target_sizes(cells, "parameters")
    assert list(sizes) == [("digits", None), ("mnist", None), ("mnist", 14)]
    assert [len(counts) for counts in sizes.values()] == [2, 1, 1]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("horn_cnn", "got 'horn_cnn'; expected {to: <arm>, by: parameters | flops}"),
        (None, "got null; expected"),
        ({"to": "horn_cnn"}, "expected {to: <arm>, by: parameters | flops}"),
        ({"to": "a", "by": "flops", "at": 3}, "expected {to"),
        ({"to": "a", "by": "flop"}, "by: unknown 'flop' (did you mean 'flops'?); valid: parameters, flops"),
        ({"to": "a", "by": "seconds"}, "by: unknown 'seconds'"),
        ({"to": "a", "by": ["flops"]}, "by: unknown ['flops']"),
        ({"to": 3, "by": "flops"}, "to: got 3; expected the label of an arm"),
    ],
)
def test_a_request_that_is_none_is_refused(value, told):
    with pytest.raises(ConfigError) as caught:
        parse_match(value, ConfigError)
    assert told in str(caught.value)


def order(**requests):
    wanted = {arm: to and MatchRequest(to, "parameters") for arm, to in requests.items()}
    return request_order(wanted, lambda arm, message: ConfigError(f"{arm}: {message}"))


def test_every_arm_comes_after_the_one_it_is_matched_to():
    assert order(c="b", b="a", a=None, d="b") == ["a", "b", "c", "d"]


@pytest.mark.parametrize(
    ("requests", "told"),
    [
        ({"a": "a"}, "a: an arm cannot be matched to itself: a -> a"),
        ({"a": "b", "b": "a"}, "a: an arm cannot be matched to itself: a -> b -> a"),
        ({"x": None, "a": "b", "b": "c", "c": "b"}, "a -> b -> c -> b"),
        ({"horn": None, "cnn": "hron"}, "cnn: there is no arm 'hron' (did you mean 'horn'?); valid: horn"),
        ({"cnn": "x"}, "cnn: there is no arm 'x'; valid: none"),
    ],
)
def test_circles_and_unknown_arms_are_refused(requests, told):
    with pytest.raises(ConfigError) as caught:
        order(**requests)
    assert told in str(caught.value)


@given(st.permutations(range(30)), st.data())
def test_any_order_of_a_forest_is_settled(labels, data):
    parents = {
        str(label): str(data.draw(st.sampled_from(labels[:place]))) if place else None
        for place, label in enumerate(labels)
    }
    ordered = order(**{arm: parents[arm] for arm in sorted(parents)})
    assert sorted(ordered) == sorted(parents)
    assert all(
        parent is None or ordered.index(parent) < ordered.index(arm) for arm, parent in parents.items()
    )
