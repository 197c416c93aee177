"""The last layer that all models share: from features, normalised or raw, to logits."""

from torch import Tensor, nn

from hornlib.models.layer_cost import ReadoutBias, ReadoutNorm

__all__ = ["Readout"]


class Readout(nn.Module):
    """logits = W norm(features) + b, where norm is taken over the batch and has no affine map.

    A raw read-out of small features learns slowly at a learning rate that suits the other layers, and a raw read-out of
    large features learns fast. Normalised features remove this effect of scale from comparisons of learning speed.

    Args:
        num_features: numbers of an example that reach the read-out.
        num_outputs: classes, or regressed components.
        readout_norm: "batch" normalises every feature over the batch; "none" does not.
        readout_bias: "without" omits b.
        linear: the map W . + b; None: a dense one.
    """

    def __init__(
        self,
        num_features: int,
        num_outputs: int,
        readout_norm: ReadoutNorm,
        readout_bias: ReadoutBias = "with",
        linear: nn.Module | None = None,
    ) -> None:
        super().__init__()
        batch_norm = readout_norm == "batch"
        self.norm = nn.BatchNorm1d(num_features, affine=False) if batch_norm else nn.Identity()
        self.linear = linear or nn.Linear(num_features, num_outputs, bias=readout_bias == "with")

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (batch, num_outputs) of features (batch, num_features)."""
        logits: Tensor = self.linear(self.norm(features))
        return logits
