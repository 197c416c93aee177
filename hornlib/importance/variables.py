"""The variables of files of importance: of one job, and of all cells of a configuration."""

from hornlib.results.declaration import Variable

__all__ = ["CONNECTION_VARIABLES", "COORDINATES", "STATISTICS"]

_NETWORK = ("seed", "split")
_LAYER = (*_NETWORK, "layer")
_POOLED = (*_NETWORK, "proxy")
_BY_PROXY = (*_LAYER, "proxy")
_CURVE = (*_NETWORK, "removal_order", "removed_share")
_ORDER = (*_NETWORK, "removal_order")
_RULE = (*_NETWORK, "drop_rule")
_CONNECTION = ("seed", "connection")
_EXAMPLES = (*_NETWORK, "connection")

COORDINATES: dict[str, Variable] = {
    "seed": Variable(("seed",), "1", "seed"),
    "split": Variable(("split",), "1", "examples of losses and proxies: training, or held out"),
    "layer": Variable(("layer",), "1", "place of the weight in the network, 0 at the input"),
    "proxy": Variable(("proxy",), "1", "proxy for the importance of a connection"),
    "removal_order": Variable(("removal_order",), "1", "order in which connections are removed"),
    "removed_share": Variable(
        ("removed_share",), "1", "share of the connections of every layer that is removed"
    ),
    "drop_rule": Variable(("drop_rule",), "1", "rule of sparse training that would drop connections"),
}

STATISTICS: dict[str, Variable] = {
    "num_connections": Variable(("seed", "layer"), "1", "connections of the layer"),
    "num_judged": Variable(("seed", "layer"), "1", "connections that were set to 0 one by one"),
    "whole_loss": Variable(_NETWORK, "1", "mean loss of the whole network"),
    "whole_metric": Variable(_NETWORK, "1", "metric of the whole network"),
    "spearman": Variable(
        _BY_PROXY, "1", "Spearman's rank correlation of proxy and importance within a layer"
    ),
    "kendall": Variable(_BY_PROXY, "1", "Kendall's tau-b of proxy and importance within a layer"),
    "top_overlap": Variable(_BY_PROXY, "1", "Jaccard index of the top tenths by proxy and by importance"),
    "pooled_spearman": Variable(
        _POOLED, "1", "Spearman's rank correlation over the judged connections of all layers"
    ),
    "pooled_kendall": Variable(_POOLED, "1", "Kendall's tau-b over the judged connections of all layers"),
    "pooled_top_overlap": Variable(
        _POOLED, "1", "Jaccard index of the top tenths of the judged connections of all layers"
    ),
    "within_spearman": Variable(_POOLED, "1", "part of the pooled correlation from within layers"),
    "between_spearman": Variable(_POOLED, "1", "part of the pooled correlation from the layers' means"),
    "transfer_spearman": Variable(
        ("seed", "proxy"), "1", "pooled correlation of proxies on training examples with held-out importance"
    ),
    "mean_importance": Variable(_LAYER, "1", "mean |change of the loss| without one connection"),
    "mean_change": Variable(_LAYER, "1", "mean change of the loss without one connection"),
    "harmful_share": Variable(_LAYER, "1", "share of connections without which the loss is lower"),
    "idle_share": Variable(_LAYER, "1", "share of connections without which the loss is the same"),
    "gini": Variable(_LAYER, "1", "Gini coefficient of |change of the loss| within a layer"),
    "pooled_mean_importance": Variable(_NETWORK, "1", "mean |change of the loss| over all layers together"),
    "pooled_harmful_share": Variable(_NETWORK, "1", "share of harmful connections of all layers"),
    "pooled_idle_share": Variable(_NETWORK, "1", "share of idle connections of all layers"),
    "pooled_gini": Variable(_NETWORK, "1", "Gini coefficient of |change of the loss| over all layers"),
    "between_layers": Variable(_NETWORK, "1", "share of the variance of ranks of importance between layers"),
    "curve_loss": Variable(_CURVE, "1", "mean loss without the first connections of an order"),
    "curve_metric": Variable(_CURVE, "1", "metric without the first connections of an order"),
    "area_loss": Variable(_ORDER, "1", "mean loss over the removed shares, by trapezoids"),
    "area_metric": Variable(_ORDER, "1", "mean metric over the removed shares, by trapezoids"),
    "dropped_importance": Variable(
        _RULE, "1", "mean |change of the loss| of the connections that a rule drops"
    ),
    "expected_importance": Variable(
        _RULE, "1", "mean |change of the loss| of a random choice of as many connections of every layer"
    ),
    "dropped_change": Variable(_RULE, "1", "mean change of the loss of the connections that a rule drops"),
    "expected_change": Variable(
        _RULE, "1", "mean change of the loss of a random choice of as many of every layer"
    ),
    "dropped_rank": Variable(
        _RULE,
        "1",
        "mean rank of |change of the loss| in its layer of what a rule drops, as a share; chance .5",
    ),
    "dropped_set_change": Variable(_RULE, "1", "change of the loss without all that a rule drops together"),
    "random_set_change": Variable(
        _RULE, "1", "change of the loss without a random set of as many of every layer, mean over sets"
    ),
    "better_random_share": Variable(
        _RULE, "1", "share of random sets whose removal costs less than the rule's"
    ),
}
"""Statistics of every network. Layers that a network lacks, and numbers that it cannot have, are NaN.

Where a sample was judged, correlations and overlaps over all layers count every judged connection once. Other numbers
over all layers, `pooled_...` and `between_layers`, count it as the connections that it stands for in its layer.
"""

CONNECTION_VARIABLES: dict[str, Variable] = {
    "connection_layer": Variable(_CONNECTION, "1", "layer of a judged connection; -1 beyond the last one"),
    "connection_place": Variable(_CONNECTION, "1", "place in the flattened weight; -1 beyond the last one"),
    "connection_value": Variable(_CONNECTION, "1", "value w"),
    "connection_row_factor": Variable(_CONNECTION, "1", "1 / length of the unit's incoming weights"),
    "connection_batch_gradient": Variable(_CONNECTION, "1", "gradient of the loss of one batch by w"),
    "connection_change": Variable(_EXAMPLES, "1", "change of the loss when w is set to 0"),
    "connection_gradient": Variable(_EXAMPLES, "1", "gradient g of the loss by w"),
    "connection_curvature": Variable(_EXAMPLES, "1", "second derivative h of the loss by w"),
    "connection_input_norm": Variable(_EXAMPLES, "1", "norm of what w multiplies"),
    "connection_norm_factor": Variable(_EXAMPLES, "1", "factor of the norm behind the unit"),
}
"""Numbers of every judged connection, in files of jobs alone."""
