"""Oscillators of a network: the constants of every node, as the seed of the run draws them."""

from typing import NamedTuple

import numpy as np
import torch

from hornlib.dynamics.oscillator import Constants
from hornlib.dynamics.parameters import Integrator, OscillatorParameters
from hornlib.grid.cell import Cell
from hornlib.models.build import build_network
from hornlib.models.oscillator_constants import OscillatorConstants

__all__ = ["Nodes", "drawn_nodes", "has_oscillators", "homogeneous_node", "num_timesteps"]


class Nodes(NamedTuple):
    """Distinct oscillators of a network.

    Attributes:
        omega, damping, alpha: constants, (distinct,) float64, at the start of training.
        num_nodes: (distinct,), number of nodes with these constants; a channel counts once, whatever its pixels.
        integration_step: h, units of time.
        integrator: the update rule.
    """

    omega: np.ndarray
    damping: np.ndarray
    alpha: np.ndarray
    num_nodes: np.ndarray
    integration_step: float
    integrator: Integrator


def has_oscillators(cell: Cell) -> bool:
    """Return whether a cell's network consists of oscillators (a cnn_horn with another unit does not)."""
    return isinstance(cell.model, OscillatorParameters) and "omega" in cell.model.derived(cell.task())


def num_timesteps(cell: Cell) -> int:
    """Return T, the number of recurrent steps of a cell with oscillators."""
    timesteps = cell.model.derived(cell.task())["timesteps"]
    if not isinstance(timesteps, int):
        raise TypeError(f"{cell.name}: timesteps is {timesteps!r}, no integer")
    return timesteps


def homogeneous_node(cell: Cell) -> Nodes:
    """Return the homogeneous oscillator, around which the nodes of a cell are drawn."""
    model = cell.model
    if not isinstance(model, OscillatorParameters):
        raise TypeError(f"{cell.name}: {cell.model.name} has no oscillators")
    omega, damping, alpha, h = model.oscillator(num_timesteps(cell))
    one = np.ones(1)
    return Nodes(omega * one, damping * one, alpha * one, one, h, model.integrator)


def drawn_nodes(cell: Cell, seed: int) -> Nodes:
    """Return the oscillators of the network that a seed draws, in the precision in which they run.

    Args:
        cell: a cell that `has_oscillators`.
        seed: seed of the run.
    """
    network = build_network(cell.model, cell.task(), seed)
    parts = [module.constants() for module in network.modules() if isinstance(module, OscillatorConstants)]
    with torch.no_grad():
        flat = [torch.cat([getattr(part, key).flatten() for part in parts]) for key in Constants._fields]
    rows = torch.stack(flat, dim=1).detach().double().numpy()
    distinct, num_nodes = np.unique(rows, axis=0, return_counts=True)
    omega, damping, alpha = distinct.T
    fixed = homogeneous_node(cell)
    return Nodes(omega, damping, alpha, num_nodes, fixed.integration_step, fixed.integrator)
