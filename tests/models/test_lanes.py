"""Lanes of networks in which one tensor has several names."""

import torch
from torch import nn

from hornlib.models.lanes import LaneGroup


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(inputs))


def test_a_tensor_with_two_names_has_the_values_of_its_lane_in_both_places():
    weights, inputs = torch.randn(2, 3, 3), torch.randn(2, 4, 3)
    group = LaneGroup(Tied(), [0, 1], {"first.weight": weights}, {})
    expected = inputs @ weights.mT @ weights.mT
    torch.testing.assert_close(group.forward(inputs, training=True).logits, expected)
