"""Exact changes of the loss when single connections are set to 0: one algorithm a file, all of one signature.

`changes(network, split, loss, places)` returns weight -> L(w_k = 0) - L(w), (connections,) float64, for the places of
the connections in each flattened weight. The network is in evaluation mode and is not changed.
"""

from collections.abc import Callable, Mapping

from torch import Tensor, nn

from hornlib.data.loading import Split
from hornlib.importance.ablation.by_vmap import by_vmap
from hornlib.importance.ablation.incremental import incremental

__all__ = ["ABLATIONS", "Ablation", "ablation_of"]

Ablation = Callable[[nn.Module, Split, str, Mapping[str, Tensor]], dict[str, Tensor]]

ABLATIONS: dict[str, Ablation] = {"mlp": incremental, "cnn": by_vmap, "rnn": by_vmap}
"""Model -> the fastest exact algorithm for it. Its keys are the models whose importance can be measured."""


def ablation_of(model: str) -> Ablation:
    """Return the algorithm for a model; any other network is run whole for every connection."""
    return ABLATIONS.get(model, by_vmap)
