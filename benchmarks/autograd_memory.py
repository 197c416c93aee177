"""What autograd keeps between the forward and the backward pass."""

from collections.abc import Callable

import torch
from torch import Tensor


def kept_megabytes(loss: Callable[[], Tensor]) -> float:
    """Size of what autograd keeps between the two passes, parameters and inputs included."""
    storages: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        value = loss()
    value.backward()
    return sum(storages.values()) / 1e6
