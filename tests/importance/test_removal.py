"""Removal of sets: curves against networks whose weights are set by hand, orders, areas, and what rules drop."""

import numpy as np
import pytest
import torch

from hornlib.importance.agreement import rank_shares
from hornlib.importance.dropped_sets import DROP_RULES, DROP_SHARE, dropped_set, random_sets
from hornlib.importance.losses import example_losses
from hornlib.importance.measurement import LayerMeasurement, measure_network
from hornlib.importance.networks import SPLITS
from hornlib.importance.removal import SHARES, area, random_orders, removal_curve, smallest_first, without
from hornlib.importance.summary import ORDERS, dropped_statistics, removal_statistics


@pytest.fixture
def network(make_network):
    return make_network("mlp", density=0.5, hidden_nodes="6-5", num_examples=40)


def test_a_network_without_a_set_is_the_one_whose_weights_are_0(network):
    trained, split = network
    removed = {name: np.arange(len(places)) % 3 == 0 for name, places in trained.connections.items()}
    result = without(trained, removed, split, "accuracy")
    for name, chosen in removed.items():
        trained.network.get_parameter(name).view(-1)[trained.connections[name][torch.from_numpy(chosen)]] = 0
    outputs = trained.network(split.inputs)
    assert result.loss == pytest.approx(float(example_losses(outputs, split.targets, "cross_entropy").mean()))
    assert result.metric == pytest.approx(float((outputs.argmax(1) == split.targets).double().mean()))


def test_a_curve_removes_the_same_share_of_every_layer_the_smallest_first(network):
    trained, split = network
    scores = {name: trained.values(name).abs().numpy() for name in trained.connections}
    curve = removal_curve(trained, smallest_first(scores), {"training": split}, "accuracy")
    assert curve.shape == (len(SHARES) - 1, 2, 1)
    limits = {name: np.sort(numbers)[round(0.5 * len(numbers))] for name, numbers in scores.items()}
    expected = without(
        trained, {name: numbers < limits[name] for name, numbers in scores.items()}, split, "accuracy"
    )
    assert curve[SHARES.index(0.5) - 1, :, 0] == pytest.approx(expected)


def test_the_area_is_numpys():
    curves = np.random.default_rng(0).random((3, len(SHARES)))
    assert area(curves) == pytest.approx(np.trapezoid(curves, SHARES) / 0.9)
    assert area(np.full(len(SHARES), 2.0)) == pytest.approx(2.0)


def test_random_orders_differ_from_each_other_and_are_those_of_the_seed(network):
    trained, _ = network
    first, second = random_orders(trained, 2)
    assert sorted(first["linears.0.weight"]) == list(range(len(trained.connections["linears.0.weight"])))
    assert not np.array_equal(first["linears.0.weight"], second["linears.0.weight"])
    again = next(random_orders(trained, 1))
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_rigl_drops_the_smallest_and_set_the_smallest_of_either_sign():
    values = torch.tensor([0.1, -0.1, 0.2, -0.2, 0.3, -0.3, 0.4, -0.4, 0.5, 9.0])
    draw = torch.Generator()
    rigl = DROP_RULES["rigl"](values, DROP_SHARE, draw)
    assert rigl.tolist() == [True] * 2 + rigl[2:4].tolist() + [False] * 6 and rigl.sum() == 3
    of_set = DROP_RULES["set"](
        values, DROP_SHARE, draw
    )  # of six positive ones two, of four negative ones one
    assert of_set.tolist() == [True, True, True] + [False] * 7
    lopsided = torch.cat([torch.linspace(0.01, 1, 9), torch.tensor([-5.0])])
    assert not DROP_RULES["set"](lopsided, DROP_SHARE, draw)[-1]


def test_random_sets_have_the_sizes_of_the_rules_in_every_layer(network):
    trained, _ = network
    dropped = dropped_set(trained, "set")
    sets = list(random_sets(trained, dropped, 3))
    for other in sets:
        assert {name: chosen.sum() for name, chosen in other.items()} == {
            name: chosen.sum() for name, chosen in dropped.items()
        }
    assert not np.array_equal(sets[0]["linears.0.weight"], sets[1]["linears.0.weight"])


def test_the_expected_importance_of_a_random_choice_is_the_mean_over_many_sets(network):
    trained, split = network
    sets = dict.fromkeys(SPLITS, split)
    layers = measure_network(trained, "mlp", sets, split, None)
    statistics = dropped_statistics(trained, layers, sets, "accuracy", 2000)
    dropped = dropped_set(trained, "rigl")
    changes = {layer.name: np.abs(layer.changes["training"]) for layer in layers}

    def mean(chosen):
        return np.concatenate([changes[name][among] for name, among in chosen.items()]).mean()

    row = SPLITS.index("training"), list(DROP_RULES).index("rigl")
    drawn = np.mean([mean(other) for other in random_sets(trained, dropped, 2000)])
    assert statistics["expected_importance"][row] == pytest.approx(drawn, rel=0.05)
    assert statistics["dropped_importance"][row] == pytest.approx(mean(dropped))
    assert 0 <= statistics["better_random_share"][row] <= 1
    whole = without(trained, {}, split, "accuracy").loss
    assert statistics["dropped_set_change"][row] == pytest.approx(
        without(trained, dropped, split, "accuracy").loss - whole
    )


def test_the_rank_of_what_a_rule_drops_is_a_share_of_its_layer(network, monkeypatch):
    trained, split = network
    first, second = trained.connections["linears.0.weight"], trained.connections["linears.1.weight"]
    changes = {  # of a sample of four, and of all; the last weight has no judged connection among the dropped
        "linears.0.weight": ([0, 2, 4, 6], [3.0, -1.0, 1.0, 5.0]),
        "linears.1.weight": (range(len(second)), np.arange(len(second)) + 1.0),
        "readout.linear.weight": ([0], [1.0]),
    }
    layers = [
        LayerMeasurement(
            name,
            trained.connections[name].numpy(),
            np.array(judged),
            {},
            dict.fromkeys(SPLITS, np.array(numbers)),
        )
        for name, (judged, numbers) in changes.items()
    ]
    dropped = {name: np.zeros(len(places), dtype=bool) for name, places in trained.connections.items()}
    dropped["linears.0.weight"][[0, 1, 2]] = True  # judged of them: |3|, rank 3 of 4, and |-1|, ranks 1 and 2
    dropped["linears.1.weight"][0] = True  # rank 1
    dropped["readout.linear.weight"][1] = True
    monkeypatch.setattr("hornlib.importance.summary.dropped_set", lambda trained, rule: dropped)
    sets = dict.fromkeys(SPLITS, split)
    statistics = dropped_statistics(trained, layers, sets, "accuracy", 2)
    in_first, in_second = (2.5 / 4 + 1 / 4) / 2, 0.5 / len(second)
    np.testing.assert_allclose(statistics["dropped_rank"], (3 * in_first + in_second) / 4)
    assert len(first) > 7 and statistics["dropped_rank"].shape == (2, len(DROP_RULES))


def test_a_random_choice_has_a_rank_of_one_half_on_average():
    numbers = np.array([2.0, 2, 0, 5, 0, 0, 1])
    assert rank_shares(numbers).mean() == pytest.approx(0.5)
    assert rank_shares(numbers).min() > 0 and rank_shares(numbers).max() < 1


def test_orders_by_numbers_of_judged_connections_alone_are_unknown_for_a_sample(network):
    trained, split = network
    sets = dict.fromkeys(SPLITS, split)
    layers = measure_network(trained, "mlp", sets, split, 10)
    statistics = removal_statistics(trained, layers, sets, "accuracy")
    unknown = np.isnan(statistics["area_loss"]).all(0)
    assert [order for order, is_unknown in zip(ORDERS, unknown, strict=True) if is_unknown] == [
        "second_order",
        "exact",
    ]
    assert statistics["curve_loss"].shape == (2, len(ORDERS), len(SHARES))
    np.testing.assert_allclose(statistics["curve_loss"][:, 0, 0], statistics["whole_loss"])
