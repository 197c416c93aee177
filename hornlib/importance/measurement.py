"""Everything that is measured about the connections of one trained network, before any statistics."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hornlib.data.loading import Split
from hornlib.importance.ablation import ablation_of
from hornlib.importance.curvature import curvature_of
from hornlib.importance.effective_weights import norm_factors, row_factors
from hornlib.importance.input_norms import input_norms
from hornlib.importance.networks import TrainedNetwork, gradients
from hornlib.importance.proxies import ProxyInputs
from hornlib.importance.sampling import sampled_connections

__all__ = ["LayerMeasurement", "measure_network"]


class LayerMeasurement(NamedTuple):
    """The connections of one weight.

    Attributes:
        name: of the weight.
        places: in the flattened weight, of all connections, (connections,) int64.
        judged: indices of those that were set to 0 one by one, (judged,) int64; all of them without a sample.
        connections: split -> what proxies read of all connections. The curvature is NaN for those that are not judged.
        changes: split -> change of the mean loss without each judged connection, (judged,).
    """

    name: str
    places: np.ndarray
    judged: np.ndarray
    connections: dict[str, ProxyInputs]
    changes: dict[str, np.ndarray]

    @property
    def is_whole(self) -> bool:
        """Whether all connections were judged."""
        return len(self.judged) == len(self.places)

    def judged_connections(self, split: str) -> ProxyInputs:
        """Return what proxies read of the judged connections, (judged,) each."""
        return self.connections[split].at(self.judged)


def measure_network(
    trained: TrainedNetwork, model: str, splits: Mapping[str, Split], batch: Split, sample: int | None
) -> list[LayerMeasurement]:
    """Return the measurements of every weight, from the input to the output.

    Args:
        trained: the network.
        model: its name; it decides the algorithms.
        splits: the examples of each of `hornlib.importance.networks.SPLITS`.
        batch: the first batch of training examples of the run.
        sample: largest number of judged connections of a weight; None: all.
    """
    judged = sampled_connections(trained, sample)
    places = {name: trained.connections[name][chosen] for name, chosen in judged.items()}
    rows, first = row_factors(trained), gradients(trained, batch)
    changes, connections = {}, {}
    for split, examples in splits.items():
        changes[split] = ablation_of(model)(trained.network, examples, trained.loss, places)
        curvatures = curvature_of(model)(trained.network, examples, trained.loss, places)
        slopes, norms = gradients(trained, examples), input_norms(trained, examples.inputs)
        factors = norm_factors(trained, examples.inputs)
        connections[split] = {
            name: _connections(
                trained.values(name),
                rows[name],
                factors[name],
                slopes[name],
                first[name],
                _at(judged[name], curvatures[name], len(norms[name])),
                norms[name],
            )
            for name in judged
        }
    return [
        LayerMeasurement(
            name,
            trained.connections[name].numpy(),
            chosen.numpy(),
            {split: connections[split][name] for split in splits},
            {split: changes[split][name].numpy() for split in splits},
        )
        for name, chosen in judged.items()
    ]


def _at(judged: Tensor, values: Tensor, number: int) -> Tensor:
    """Return the values of judged connections among NaN for all others, (connections,)."""
    everything = torch.full((number,), torch.nan, dtype=values.dtype)
    return everything.index_copy(0, judged, values)


def _connections(
    values: Tensor,
    row_factor: Tensor,
    norm_factor: Tensor,
    gradient: Tensor,
    batch_gradient: Tensor,
    curvature: Tensor,
    input_norm: Tensor,
) -> ProxyInputs:
    deviation = values.std(correction=0).expand_as(values)
    tensors = (
        values,
        deviation,
        row_factor,
        norm_factor,
        gradient,
        batch_gradient,
        curvature,
        input_norm,
    )
    return ProxyInputs(*(tensor.double().numpy() for tensor in tensors))
