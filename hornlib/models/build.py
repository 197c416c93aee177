"""From parameters, a task and a seed to a network with its initial weights."""

import importlib

import torch
from torch import nn

from hornlib.parameters import ModelParameters, Task
from hornlib.randomness import derive_seed, generator

__all__ = ["build_network"]


def build_network(parameters: ModelParameters, task: Task, seed: int) -> nn.Module:
    """Build the network of one seed; a pure function of its arguments.

    Learned weights are drawn from torch's default generator, which is seeded here and restored afterwards. Fixed draws
    (the constants of oscillators) come from a generator of their own, so that a change of one draw does not change the
    other.

    Args:
        parameters: the model; `parameters.network` names the module of its network.
        task: shapes of inputs and outputs.
        seed: of the run; 0, 1, 2, ...

    Returns:
        The network on the CPU, in the default dtype and in training mode.
    """
    module, _, name = parameters.network.partition(":")
    network_class = getattr(importlib.import_module(module), name)
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(derive_seed("initialisation", seed))
        return network_class(parameters, task, generator("oscillators", seed))
