"""The optimisers over lanes against torch.optim, lane by lane."""

import pytest
import torch

from hornlib.parameters.training import TrainingParameters
from hornlib.training.optimizers import clip_by_lane_, make_optimizer

LANES, STEPS = 3, 6
RATES = torch.tensor([0.1, 0.01, 0.03], dtype=torch.float64)


def gradients_at(step: int) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(step)
    shapes = ((LANES, 4, 3), (LANES, 5))
    return [torch.randn(shape, generator=draw, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize(
    ("training", "reference"),
    [
        (
            TrainingParameters(optimizer="adamw", weight_decay=0.1, beta1=0.8, beta2=0.95),
            lambda w, rate: torch.optim.AdamW(w, lr=rate, weight_decay=0.1, betas=(0.8, 0.95)),
        ),
        (
            TrainingParameters(optimizer="adamw"),
            lambda w, rate: torch.optim.AdamW(w, lr=rate, weight_decay=0.0),
        ),
        (
            TrainingParameters(optimizer="sgd", momentum=0.9, weight_decay=0.05),
            lambda w, rate: torch.optim.SGD(w, lr=rate, momentum=0.9, weight_decay=0.05, nesterov=True),
        ),
        (
            TrainingParameters(optimizer="sgd", momentum=0.5, acceleration="none"),
            lambda w, rate: torch.optim.SGD(w, lr=rate, momentum=0.5),
        ),
        (
            TrainingParameters(optimizer="sgd", momentum=0.0, acceleration="none"),
            lambda w, rate: torch.optim.SGD(w, lr=rate),
        ),
    ],
)
def test_each_lane_moves_as_torch_moves_it_alone_at_its_own_rate(training, reference):
    tensors = gradients_at(99)
    alone = [[tensor[lane].clone().requires_grad_() for tensor in tensors] for lane in range(LANES)]
    references = [reference(alone[lane], float(RATES[lane])) for lane in range(LANES)]
    optimizer = make_optimizer(tensors, training)
    for step in range(1, STEPS + 1):
        gradients = gradients_at(step)
        for lane in range(LANES):
            for weight, gradient in zip(alone[lane], gradients, strict=True):
                weight.grad = gradient[lane].clone()
            references[lane].step()
        optimizer.update_(tensors, gradients, RATES, step)
    for lane in range(LANES):
        for tensor, weight in zip(tensors, alone[lane], strict=True):
            torch.testing.assert_close(tensor[lane], weight.detach(), rtol=1e-12, atol=1e-12)


def test_clipping_treats_each_lane_as_torch_treats_it_alone():
    gradients = [
        gradient * torch.tensor([0.01, 1.0, 100.0]).view(-1, *[1] * (gradient.dim() - 1))
        for gradient in gradients_at(3)
    ]
    alone = [
        [torch.nn.Parameter(torch.zeros_like(gradient[lane])) for gradient in gradients]
        for lane in range(LANES)
    ]
    for lane in range(LANES):
        for weight, gradient in zip(alone[lane], gradients, strict=True):
            weight.grad = gradient[lane].clone()
        torch.nn.utils.clip_grad_norm_(alone[lane], 0.5)
    clip_by_lane_(gradients, 0.5)
    for lane in range(LANES):
        for weight, gradient in zip(alone[lane], gradients, strict=True):
            torch.testing.assert_close(gradient[lane], weight.grad)
