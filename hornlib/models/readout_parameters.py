"""The read-out that every model shares, in closed form; free of torch."""

from typing import Literal

from hornlib.parameters import Flops

__all__ = ["ReadoutNorm", "readout_flops", "readout_num_parameters"]

ReadoutNorm = Literal["batch", "none"]


def readout_num_parameters(num_features: int, num_outputs: int) -> int:
    """Return K (n + 1): one Linear layer; the normalisation before it has no parameters."""
    return num_outputs * (num_features + 1)


def readout_flops(num_features: int, num_outputs: int, readout_norm: ReadoutNorm) -> Flops:
    """Return the work of normalisation (2 a feature in evaluation mode), matrix product and bias."""
    normalisation = 2 * num_features if readout_norm == "batch" else 0
    return Flops(2 * num_features * num_outputs, normalisation + num_outputs)
