"""One job: from the networks that its runs ended with to a dataset of their importance."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from hornlib.data.loading import Split, Splits, load_with_digest
from hornlib.data.order import epoch_order
from hornlib.errors import ConfigError, ResultsError
from hornlib.grid.cell import Cell
from hornlib.grid.importance import importance_refusal
from hornlib.importance.dropped_sets import DROP_RULES
from hornlib.importance.measurement import LayerMeasurement, measure_network
from hornlib.importance.networks import SPLITS, example_sets, trained_network
from hornlib.importance.proxies import PROXIES
from hornlib.importance.removal import SHARES
from hornlib.importance.summary import (
    ORDERS,
    Statistics,
    agreement_statistics,
    distribution_statistics,
    dropped_statistics,
    removal_statistics,
)
from hornlib.importance.variables import CONNECTION_VARIABLES, COORDINATES, STATISTICS
from hornlib.parameters.importance import ImportanceSettings
from hornlib.results.declaration import Variable
from hornlib.training.kept_weights import KeptRun, dense_run, read_weights_file

__all__ = ["NetworkImportance", "importance_of_job", "importance_of_run"]


class NetworkImportance(NamedTuple):
    """The importance of the connections of one run.

    Attributes:
        seed: of the run.
        layers: measurements of every weight.
        statistics: name of a variable of `STATISTICS` -> array with its dimensions but `seed`.
    """

    seed: int
    layers: list[LayerMeasurement]
    statistics: Statistics


def importance_of_job(weights_file: Path, settings: ImportanceSettings) -> xr.Dataset:
    """Return the importance of the connections of every run of a job that completed.

    Args:
        weights_file: what the train job kept.
        settings: how exactly it is measured.

    Returns:
        The variables of `STATISTICS` and `CONNECTION_VARIABLES`, with dimensions such as (seed, split, layer, proxy).
        Runs that diverged have no seed in it; `seed` and `connection` have length 0 if all of them did.

    Raises:
        ResultsError: the weights are missing or damaged, or belong to other examples.
        ConfigError: the importance of such a cell cannot be measured.
        DataError: a file of the dataset is missing.
    """
    weights = read_weights_file(weights_file)
    cell = weights.cell
    if (refusal := importance_refusal(cell, settings)) is not None:
        raise ConfigError(f"{weights_file}: {refusal}")
    splits, digest = load_with_digest(cell.data, "cpu")
    if digest != weights.data_digest:
        raise ResultsError(
            f"{weights_file}: the networks were trained on other examples of {cell.data.name} (digest "
            f"{weights.data_digest}, now {digest}); give the folder of those examples in data.root"
        )
    networks = [importance_of_run(run, cell, splits, settings) for run in weights.runs]
    attributes = {
        "title": "Importance of the connections of trained networks",
        "cell": cell.name,
        "specification": json.dumps(cell.specification()),
        "settings": settings.model_dump_json(),
        "data_digest": digest,
    }
    return _dataset(networks, _weight_names(networks, cell)).assign_attrs(attributes)


def importance_of_run(
    run: KeptRun, cell: Cell, splits: Splits, settings: ImportanceSettings
) -> NetworkImportance:
    """Return the importance of the connections of one run.

    Args:
        run: the network that it ended with.
        cell: its cell.
        splits: the dataset.
        settings: how exactly it is measured.
    """
    trained = trained_network(dense_run(run, cell.task()), cell)
    sets, metric = example_sets(splits, settings.examples), cell.data.metric
    batch = _first_batch(cell, run.seed, splits.train)
    layers = measure_network(trained, cell.model.name, sets, batch, settings.sample)
    counts = {
        "num_connections": np.array([len(layer.places) for layer in layers], float),
        "num_judged": np.array([len(layer.judged) for layer in layers], float),
    }
    statistics = {
        **counts,
        **agreement_statistics(layers),
        **distribution_statistics(layers),
        **removal_statistics(trained, layers, sets, metric),
        **dropped_statistics(trained, layers, sets, metric, settings.random_sets),
    }
    return NetworkImportance(run.seed, layers, statistics)


def _first_batch(cell: Cell, seed: int, train: Split) -> Split:
    """Return the examples of the first training step of a run."""
    chosen = epoch_order(seed, 0, len(train.targets))[: cell.training.batch_size]
    return Split(train.inputs[chosen], train.targets[chosen])


def _weight_names(networks: Sequence[NetworkImportance], cell: Cell) -> list[str]:
    """Return the names of the weights of the deepest network; without any, of the network that training began with."""
    if not networks:
        model, _ = cell.model.masked_form(cell.task())
        return [weight.name for weight in model.weights(cell.task())]
    return [layer.name for layer in max((network.layers for network in networks), key=len)]


def _dataset(networks: Sequence[NetworkImportance], weight_names: Sequence[str]) -> xr.Dataset:
    """Return the networks as one dataset, (seed, ...)."""
    axes = {
        "seed": np.array([network.seed for network in networks], int),
        "split": np.array(SPLITS),
        "layer": np.arange(len(weight_names)),
        "proxy": np.array(list(PROXIES)),
        "removal_order": np.array(ORDERS),
        "removed_share": np.array(SHARES),
        "drop_rule": np.array(list(DROP_RULES)),
    }
    sizes = {name: len(values) for name, values in axes.items()}
    coordinates: dict[str, Any] = {
        name: (name, values, COORDINATES[name].netcdf_attributes()) for name, values in axes.items()
    }
    coordinates["weight_name"] = (
        "layer",
        np.array(weight_names),
        {"units": "1", "long_name": "name of the weight in the network"},
    )
    arrays = {name: _stacked(networks, name, variable, sizes) for name, variable in STATISTICS.items()}
    arrays |= _connection_arrays(networks)
    declared = {**STATISTICS, **CONNECTION_VARIABLES}
    variables = {
        name: (declared[name].dims, values, declared[name].netcdf_attributes())
        for name, values in arrays.items()
    }
    return xr.Dataset(variables, coordinates)


def _stacked(
    networks: Sequence[NetworkImportance], name: str, variable: Variable, sizes: Mapping[str, int]
) -> np.ndarray:
    """Return a statistic of all networks, (seed, ...), with NaN for layers that a network lacks."""
    result = np.full([sizes[dim] for dim in variable.dims], np.nan)
    for row, network in enumerate(networks):
        values = network.statistics[name]
        result[row][tuple(map(slice, values.shape))] = values
    return result


def _connection_arrays(networks: Sequence[NetworkImportance]) -> dict[str, np.ndarray]:
    """Return the variables of judged connections, padded to the network that has the most of them."""
    most = max((sum(len(layer.judged) for layer in network.layers) for network in networks), default=0)
    arrays = {
        name: np.full(
            (len(networks), *([len(SPLITS)] if "split" in variable.dims else []), most), np.nan, np.float32
        )
        for name, variable in CONNECTION_VARIABLES.items()
    }
    for name in ("connection_layer", "connection_place"):
        arrays[name] = np.full((len(networks), most), -1, np.int32)
    for row, network in enumerate(networks):
        start = 0
        for number, layer in enumerate(network.layers):
            here = slice(start, start + len(layer.judged))
            start = here.stop
            _fill_connections(arrays, row, here, number, layer)
    return arrays


def _fill_connections(
    arrays: Mapping[str, np.ndarray], row: int, here: slice, number: int, layer: LayerMeasurement
) -> None:
    """Write the judged connections of one layer of one network into the arrays."""
    arrays["connection_layer"][row, here] = number
    arrays["connection_place"][row, here] = layer.places[layer.judged]
    for column, split in enumerate(SPLITS):
        judged = layer.judged_connections(split)
        arrays["connection_value"][row, here] = judged.value
        arrays["connection_row_factor"][row, here] = judged.row_factor
        arrays["connection_batch_gradient"][row, here] = judged.batch_gradient
        arrays["connection_change"][row, column, here] = layer.changes[split]
        arrays["connection_gradient"][row, column, here] = judged.gradient
        arrays["connection_curvature"][row, column, here] = judged.curvature
        arrays["connection_input_norm"][row, column, here] = judged.input_norm
        arrays["connection_norm_factor"][row, column, here] = judged.norm_factor
