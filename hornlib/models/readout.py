"""The last layer that every model shares: features, normalised or raw, to logits."""

from torch import Tensor, nn

from hornlib.models.layer_cost import ReadoutBias, ReadoutNorm

__all__ = ["Readout"]


class Readout(nn.Module):
    """logits = W norm(features) + b, the normalisation over the batch and without an affine map.

    A model whose features are small trains its raw read-out slowly at any learning rate that suits the
    rest, and a model with a large gain quickly; normalised features take this difference of scale out of a
    comparison of learning speed.

    Args:
        num_features: numbers an example that reach the read-out.
        num_outputs: classes, or regressed components.
        readout_norm: "batch" normalises every feature over the batch; "none" leaves it raw.
        readout_bias: "without" leaves b out.
    """

    def __init__(
        self,
        num_features: int,
        num_outputs: int,
        readout_norm: ReadoutNorm,
        readout_bias: ReadoutBias = "with",
    ) -> None:
        super().__init__()
        batch_norm = readout_norm == "batch"
        self.norm = nn.BatchNorm1d(num_features, affine=False) if batch_norm else nn.Identity()
        self.linear = nn.Linear(num_features, num_outputs, bias=readout_bias == "with")

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (batch, num_outputs) of features (batch, num_features)."""
        return self.linear(self.norm(features))
