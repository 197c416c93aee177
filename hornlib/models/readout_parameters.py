"""The read-out that every model shares, in closed form; free of torch."""

from typing import Literal

from hornlib.parameters import Flops

__all__ = ["ReadoutBias", "ReadoutNorm", "readout_flops", "readout_num_parameters"]

ReadoutNorm = Literal["batch", "none"]
ReadoutBias = Literal["with", "without"]


def readout_num_parameters(num_features: int, num_outputs: int, readout_bias: ReadoutBias = "with") -> int:
    """Return K (n + 1), or K n without a bias: one Linear layer; the normalisation before it has no parameters."""
    return num_outputs * (num_features + (readout_bias == "with"))


def readout_flops(
    num_features: int, num_outputs: int, readout_norm: ReadoutNorm, readout_bias: ReadoutBias = "with"
) -> Flops:
    """Return the work of normalisation (2 a feature in evaluation mode), matrix product and bias."""
    normalisation = 2 * num_features if readout_norm == "batch" else 0
    return Flops(2 * num_features * num_outputs, normalisation + (readout_bias == "with") * num_outputs)
