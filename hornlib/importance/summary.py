"""The statistics of one network: agreement of proxies, distribution of importance, removal of sets."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from hornlib.data.loading import Split
from hornlib.importance.agreement import kendall, rank_parts, rank_shares, spearman, top_overlap
from hornlib.importance.concentration import (
    between_layers,
    gini,
    harmful_share,
    idle_share,
    mean_change,
    mean_size,
)
from hornlib.importance.dropped_sets import DROP_RULES, dropped_set, random_sets
from hornlib.importance.measurement import LayerMeasurement
from hornlib.importance.networks import SPLITS, TrainedNetwork
from hornlib.importance.proxies import PROXIES, magnitude
from hornlib.importance.removal import SHARES, area, random_orders, removal_curve, smallest_first, without

__all__ = [
    "ORDERS",
    "agreement_statistics",
    "distribution_statistics",
    "dropped_statistics",
    "removal_statistics",
]

ORDERS = (
    "magnitude",
    "effective_magnitude",
    "wanda",
    "first_order",
    "second_order",
    "exact",
    "largest_magnitude",
    "random",
)
"""Orders of removal. A proxy's name stands for the smallest of its values on training examples first; exact for the
smallest change of the training loss."""

NUM_RANDOM_ORDERS = 5
"""Random orders, whose curves are averaged."""

Statistics = dict[str, np.ndarray]


def agreement_statistics(layers: Sequence[LayerMeasurement]) -> Statistics:
    """Return how well every proxy orders the connections as their importance does, in layers and pooled.

    Every judged connection counts alike. Where a sample was judged, the pooled numbers are those of the judged
    connections, in which a layer with a sample has a smaller share than among all connections.

    Args:
        layers: of one network.
    """
    proxies, shape = list(PROXIES), (len(SPLITS), len(layers), len(PROXIES))
    by_layer = {name: np.full(shape, np.nan) for name in ("spearman", "kendall", "top_overlap")}
    pooled = {
        name: np.full((len(SPLITS), len(PROXIES)), np.nan)
        for name in (
            *("pooled_spearman", "pooled_kendall", "pooled_top_overlap"),
            *("within_spearman", "between_spearman"),
        )
    }
    transfer = np.full(len(PROXIES), np.nan)
    numbers = np.repeat(np.arange(len(layers)), [len(layer.judged) for layer in layers])
    for j, proxy in enumerate(proxies):
        scores = {split: _scores(proxy, layers, split) for split in SPLITS}
        targets = {split: _targets(proxy, layers, split) for split in SPLITS}
        for i, split in enumerate(SPLITS):
            for k in range(len(layers)):
                pair = scores[split][numbers == k], targets[split][numbers == k]
                by_layer["spearman"][i, k, j] = spearman(*pair)
                by_layer["kendall"][i, k, j] = kendall(*pair)
                by_layer["top_overlap"][i, k, j] = top_overlap(*pair)
            pair = scores[split], targets[split]
            parts = rank_parts(*pair, numbers)
            pooled["pooled_spearman"][i, j] = spearman(*pair)
            pooled["pooled_kendall"][i, j] = kendall(*pair)
            pooled["pooled_top_overlap"][i, j] = top_overlap(*pair)
            pooled["within_spearman"][i, j], pooled["between_spearman"][i, j] = parts
        transfer[j] = spearman(scores["training"], targets["held_out"])
    return {**by_layer, **pooled, "transfer_spearman": transfer}


def _scores(proxy: str, layers: Sequence[LayerMeasurement], split: str) -> np.ndarray:
    """Return a proxy's values for the judged connections of all layers, (judged,)."""
    return np.concatenate([PROXIES[proxy].score(layer.judged_connections(split)) for layer in layers])


def _targets(proxy: str, layers: Sequence[LayerMeasurement], split: str) -> np.ndarray:
    """Return what the proxy predicts of the judged connections: the change of the loss, or its size, (judged,)."""
    changes = np.concatenate([layer.changes[split] for layer in layers])
    return changes if PROXIES[proxy].is_signed else np.abs(changes)


def distribution_statistics(layers: Sequence[LayerMeasurement]) -> Statistics:
    """Return how importance is distributed over the connections, in layers and pooled.

    In pooled numbers every judged connection stands for as many connections as its layer has for each judged one.

    Args:
        layers: of one network.
    """
    measures: dict[str, Callable[..., float]] = {
        "mean_importance": mean_size,
        "mean_change": mean_change,
        "harmful_share": harmful_share,
        "idle_share": idle_share,
        "gini": gini,
    }
    statistics = {
        name: np.array([[measure(layer.changes[split]) for layer in layers] for split in SPLITS])
        for name, measure in measures.items()
    }
    judged = np.array([len(layer.judged) for layer in layers])
    numbers = np.repeat(np.arange(len(layers)), judged)
    weights = np.array([len(layer.places) for layer in layers])[numbers] / judged[numbers]
    pooled = [np.concatenate([layer.changes[split] for layer in layers]) for split in SPLITS]
    for name in ("mean_importance", "harmful_share", "idle_share", "gini"):
        statistics[f"pooled_{name}"] = np.array([measures[name](changes, weights) for changes in pooled])
    return {
        **statistics,
        "between_layers": np.array([between_layers(changes, numbers, weights) for changes in pooled]),
    }


def removal_statistics(
    trained: TrainedNetwork, layers: Sequence[LayerMeasurement], splits: Mapping[str, Split], metric: str
) -> Statistics:
    """Return loss and metric without growing sets of connections, for every order of `ORDERS`.

    Orders by numbers that only judged connections have are NaN where a sample was judged.

    Args:
        trained: the network.
        layers: of this network.
        splits: the examples, by name.
        metric: key of `hornlib.training.evaluation.METRICS`.
    """
    whole = np.array([without(trained, {}, split, metric) for split in splits.values()]).T  # (2, splits)
    curves = np.stack([_curve(trained, order, layers, splits, metric) for order in ORDERS])
    values = np.concatenate([np.broadcast_to(whole, (len(ORDERS), 1, *whole.shape)), curves], 1)
    loss, quality = np.moveaxis(values, (2, 3), (0, 1))  # (2, splits, orders, shares)
    return {
        "whole_loss": whole[0],
        "whole_metric": whole[1],
        "curve_loss": loss,
        "curve_metric": quality,
        "area_loss": area(loss),
        "area_metric": area(quality),
    }


def _curve(
    trained: TrainedNetwork,
    order: str,
    layers: Sequence[LayerMeasurement],
    splits: Mapping[str, Split],
    metric: str,
) -> np.ndarray:
    """Return loss and metric without the first connections of an order, (shares, 2, splits); NaN where it has gaps."""
    if order == "random":
        ranks = random_orders(trained, NUM_RANDOM_ORDERS)
        return np.mean([removal_curve(trained, rank, splits, metric) for rank in ranks], axis=0)
    scores = {layer.name: _order_scores(order, layer) for layer in layers}
    if any(np.isnan(numbers).any() for numbers in scores.values()):
        return np.full((len(SHARES) - 1, 2, len(splits)), np.nan)
    return removal_curve(trained, smallest_first(scores), splits, metric)


def _order_scores(order: str, layer: LayerMeasurement) -> np.ndarray:
    """Return the numbers by which an order removes the connections of a layer, the smallest first, (connections,)."""
    everything = layer.connections["training"]
    if order == "exact":
        changes = np.full(len(layer.places), np.nan)
        changes[layer.judged] = layer.changes["training"]
        return changes
    return -magnitude(everything) if order == "largest_magnitude" else PROXIES[order].score(everything)


def dropped_statistics(
    trained: TrainedNetwork,
    layers: Sequence[LayerMeasurement],
    splits: Mapping[str, Split],
    metric: str,
    num_random: int,
) -> Statistics:
    """Return what the connections matter that each rule of `DROP_RULES` would drop, beside random choices.

    A random choice of as many connections of every layer has the layers' means in expectation, so that single changes
    need no draws, and a mean rank of .5. Changes without a whole set are compared with those of drawn sets.

    Args:
        trained: the network.
        layers: of this network.
        splits: the examples, by name.
        metric: key of `hornlib.training.evaluation.METRICS`.
        num_random: number of random sets.
    """
    singles = (
        *("dropped_importance", "expected_importance"),
        *("dropped_change", "expected_change", "dropped_rank"),
    )
    sets = ("dropped_set_change", "random_set_change", "better_random_share")
    statistics = {name: np.full((len(SPLITS), len(DROP_RULES)), np.nan) for name in (*singles, *sets)}
    for j, rule in enumerate(DROP_RULES):
        dropped = dropped_set(trained, rule)
        others = list(random_sets(trained, dropped, num_random))
        for i, (split, examples) in enumerate(splits.items()):
            for name, value in zip(singles, _single_changes(layers, dropped, split), strict=True):
                statistics[name][i, j] = value
            whole = without(trained, {}, examples, metric).loss
            change, *random = (
                without(trained, removed, examples, metric).loss - whole for removed in (dropped, *others)
            )
            statistics["dropped_set_change"][i, j] = change
            statistics["random_set_change"][i, j] = np.mean(random)
            statistics["better_random_share"][i, j] = np.mean(np.array(random) < change)
    return statistics


def _single_changes(
    layers: Sequence[LayerMeasurement], dropped: Mapping[str, np.ndarray], split: str
) -> np.ndarray:
    """Return means over single connections, (5,); layers count as the rule drops.

    They are |dL| of the dropped and of all connections, dL of both, and the rank of |dL| of the dropped ones in their
    layer, as a share between 0 and 1. All are NaN if no judged connection is dropped.

    Args:
        layers: of one network.
        dropped: weight -> what the rule drops of its connections, (connections,) bool.
        split: name of the examples.
    """
    rows, counts = [], []
    for layer in layers:
        changes, among = layer.changes[split], dropped[layer.name][layer.judged]
        if among.any():
            sizes = np.abs(changes)
            rows.append(
                [
                    *(sizes[among].mean(), sizes.mean(), changes[among].mean(), changes.mean()),
                    rank_shares(sizes)[among].mean(),
                ]
            )
            counts.append(dropped[layer.name].sum())
    return np.average(rows, axis=0, weights=counts) if rows else np.full(5, np.nan)
