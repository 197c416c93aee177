"""Matching: the nearest width by counts, found by doubling and bisection."""

import json
import os
import subprocess
import sys
from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornlib.errors import ConfigError
from hornlib.grid.cell import parse_specification
from hornlib.grid.matching import (
    TOLERANCE,
    Match,
    MatchRequest,
    Network,
    count,
    largest_deviations,
    nearest_width,
    network_of,
    parse_match,
    request_order,
    target_sizes,
)
from hornlib.models.flops import training_step_flops
from hornlib.models.training_counts import training_cache_file, training_flops_per_example
from hornlib.parameters import Cost, ModelParameters, Task

TASK = Task((1, 8, 8), 10)


class Polynomial(ModelParameters):
    """A model whose counts are polynomials of its width."""

    network: ClassVar[str] = "nowhere:Nothing"
    presentations: ClassVar[tuple[str, ...]] = ("image",)
    name: Literal["polynomial"] = "polynomial"
    nodes: int = 1
    linear: int = 3
    quadratic: int = 1

    def cost(self, task):
        num_parameters = self.quadratic * self.nodes**2 + self.linear * self.nodes + 5
        return Cost(num_parameters, 2 * num_parameters, self.nodes)

    def width(self):
        return self.nodes

    def with_width(self, width):
        return self.model_copy(update={"nodes": width})


def network(**parameters):
    return Network(Polynomial(**parameters), TASK, 32, "adamw")


def cell(dataset="digits", channels="4-8", training=(), **data):
    return parse_specification(
        {
            "data": {"name": dataset, **data},
            "model": {"name": "cnn", "channels": channels},
            "training": dict(training),
        }
    )


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache folder; returns the file of remembered training FLOPs."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for function in (training_flops_per_example, nearest_width):
        function.cache_clear()
    yield training_cache_file()
    training_flops_per_example.cache_clear()


@given(
    st.integers(0, 5).flatmap(lambda q: st.tuples(st.just(q), st.integers(1, 50))),
    st.integers(1, 20_000),
    st.sampled_from(["parameters", "forward_flops"]),
)
def test_the_width_found_is_the_nearest_of_all(coefficients, target, by):
    rival = network(quadratic=coefficients[0], linear=coefficients[1])
    found = nearest_width(rival, by, target)
    distances = {
        width: abs(count(rival.with_width(width), by) - target)
        for width in range(1, max(found + 2, 2 * found))
    }
    assert distances[found] == min(distances.values())
    assert found == min(width for width in distances if distances[width] == distances[found])


def test_a_target_below_the_smallest_width_gets_the_smallest_width():
    assert nearest_width(network(), "parameters", 1) == 1


def test_a_count_that_does_not_grow_is_told_and_not_searched_for_ever():
    with pytest.raises(ValueError, match="no width of polynomial comes near 1,000 parameters"):
        nearest_width(network(linear=0, quadratic=0), "parameters", 1000)


def test_parameters_and_forward_flops_are_counted_by_the_closed_forms():
    rival = network(nodes=4)
    assert count(rival, "parameters") == 16 + 12 + 5
    assert count(rival, "forward_flops") == 2 * 33 + 4


def test_training_flops_are_those_of_a_step_over_its_examples(cache):
    own = cell(training={"batch_size": 16, "optimizer": "sgd"})
    step = training_step_flops(own.model, own.task(), 16, "sgd_nesterov").total
    assert count(network_of(own), "training_flops") == round(step / 16)


def test_the_batch_counted_is_no_larger_than_the_training_set():
    own = cell(training={"batch_size": 512}, train_subset=100)
    assert network_of(own).batch_size == own.data.num_train < 512


def test_the_width_of_equal_training_flops_is_the_nearest(cache):
    target = count(network_of(cell(channels="8-16")), "training_flops")
    rival = network_of(cell(channels="4-4", training={"optimizer": "sgd"}))
    found = nearest_width(rival, "training_flops", target)
    distances = [abs(count(rival.with_width(width), "training_flops") - target) for width in range(1, 33)]
    assert found == 1 + distances.index(min(distances))


def test_training_flops_are_remembered_and_then_read_without_torch(cache):
    own = cell(channels="3-5")
    first = count(network_of(own), "training_flops")
    assert list(json.loads(cache.read_text())["counts"].values()) == [[first]]
    code = (
        "import sys\n"
        "from hornlib.grid.cell import parse_specification\n"
        "from hornlib.grid.matching import count, network_of\n"
        f"own = parse_specification({own.specification()!r})\n"
        "print(count(network_of(own), 'training_flops'))\n"
        "sys.exit('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), check=True
    )
    assert int(done.stdout) == first


def test_remembered_training_flops_of_other_code_are_counted_anew(cache):
    own = network_of(cell(channels="3-5"))
    first = count(own, "training_flops")
    content = json.loads(cache.read_text())
    cache.write_text(json.dumps({"code": "older", "counts": {key: [1] for key in content["counts"]}}))
    training_flops_per_example.cache_clear()
    assert count(own, "training_flops") == first


def match(reached, target_network=None, rival=None):
    return Match("s", "digits", "cnn", "horn_cnn", "parameters", 3, 1000, reached, target_network, rival)


def test_the_deviation_is_relative_to_the_target_and_the_farthest_comes_first():
    assert match(1050).deviation == pytest.approx(0.05)
    far = largest_deviations([match(1051), match(1000), match(900), match(int(1000 * (1 + TOLERANCE)))])
    assert [found.reached for found in far] == [900, 1051]


def test_a_match_tells_its_deviation_in_another_quantity():
    found = match(1000, network(nodes=4), network(nodes=5))
    assert found.deviation_in("forward_flops") == pytest.approx((2 * 45 + 5) / (2 * 33 + 4) - 1)


def test_targets_are_counted_once_a_dataset_and_image_size():
    cells = [cell("digits", "4-8"), cell("digits", "4-8", validation=0.2), cell("digits", "8-8")]
    cells += [cell("mnist", "4-8"), cell("mnist", "4-8", image_size=14)]
    sizes = target_sizes(cells, "parameters")
    assert list(sizes) == [("digits", None), ("mnist", None), ("mnist", 14)]
    assert [len(counts) for counts in sizes.values()] == [2, 1, 1]
    assert all(
        count(own, "parameters") == number for found in sizes.values() for number, own in found.items()
    )


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("horn_cnn", "got 'horn_cnn'; expected {to: <arm>, by: parameters | forward_flops | training_flops}"),
        (None, "got null; expected"),
        ({"to": "horn_cnn"}, "expected {to: <arm>, by: parameters | forward_flops | training_flops}"),
        ({"to": "a", "by": "flops", "at": 3}, "expected {to"),
        (
            {"to": "a", "by": "flop"},
            "by: unknown 'flop' (did you mean 'flops'?); valid: parameters, forward_flops, training_flops",
        ),
        ({"to": "a", "by": "training_flop"}, "by: unknown 'training_flop' (did you mean 'training_flops'?)"),
        ({"to": "a", "by": "seconds"}, "by: unknown 'seconds'"),
        ({"to": "a", "by": ["flops"]}, "by: unknown ['flops']"),
        ({"to": 3, "by": "flops"}, "to: got 3; expected the label of an arm"),
    ],
)
def test_a_request_that_is_none_is_refused(value, told):
    with pytest.raises(ConfigError) as caught:
        parse_match(value, ConfigError)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("spelling", "quantity"),
    [("flops", "forward_flops"), ("forward_flops", "forward_flops"), ("training_flops", "training_flops")],
)
def test_flops_alone_is_the_older_spelling_of_forward_flops(spelling, quantity):
    assert parse_match({"to": "a", "by": spelling}, ConfigError) == MatchRequest("a", quantity)


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
