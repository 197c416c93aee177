"""The time steps of a network: their parameters, positivity, constraints on their sum, and penalties."""

import torch
from torch import Tensor, nn

from hornlib.models.layers import freeze_
from hornlib.models.time_variable.steps_parameters import LayerStepsParameters

__all__ = ["LayerSteps", "onto_capped_sum"]


class LayerSteps(nn.Module):
    """tau of every layer as a function of one trained vector `raw`. A call returns tau, (num_steps,).

    `raw` is tau itself, or its inverse image under softplus or T softmax. It does not contain a frozen first tau (the
    buffer `first`), nor a last tau that depends on the others. With `layer_steps: fixed` it is a buffer.

    Args:
        parameters: number and kind of steps, first values and penalties.
    """

    raw: Tensor
    first: Tensor
    penalties: Tensor

    def __init__(self, parameters: LayerStepsParameters) -> None:
        super().__init__()
        self.kind, self.least, self.horizon = (
            parameters.layer_steps,
            parameters.least_step,
            parameters.initial_horizon,
        )
        self.is_dependent = parameters.last_step == "dependent"
        self.has_frozen_first = self.kind == "partly_fixed"
        penalties = [parameters.horizon_penalty, parameters.l1_penalty, parameters.l2_penalty]
        self.register_buffer("penalties", torch.tensor(penalties))
        values = self.held(_first_values(parameters))
        self.raw = nn.Parameter(values["raw"])
        if self.has_frozen_first:
            self.register_buffer("first", values["first"])
        if self.kind == "fixed":
            freeze_(self)

    def forward(self) -> Tensor:
        """Return tau (num_steps,), differentiable in `raw`."""
        steps = self.raw
        if self.kind == "softplus":
            steps = nn.functional.softplus(steps)
        elif self.kind == "simplex":
            steps = self.horizon * steps.softmax(-1)
        if self.has_frozen_first:
            steps = torch.cat([self.first, steps])
        if self.is_dependent:
            steps = torch.cat([steps, (self.horizon - steps.sum()).unsqueeze(0)])
        return steps

    def held(self, steps: Tensor) -> dict[str, Tensor]:
        """Return name -> tensor of this module for given steps tau, (..., num_steps): the inverse of `forward`.

        A dependent last step, and the scale of a simplex, follow from the horizon and not from tau.
        """
        tensors = {"first": steps[..., :1].clone()} if self.has_frozen_first else {}
        raw = steps[..., int(self.has_frozen_first) : steps.shape[-1] - self.is_dependent]
        if self.kind == "softplus":
            raw = raw + torch.log(-torch.expm1(-raw))
        elif self.kind == "simplex":
            raw = raw.log()
        tensors["raw"] = raw.clone()
        self.project_(tensors["raw"])
        return tensors

    def project_(self, raw: Tensor) -> None:
        """Project steps (..., num_learned_steps) of kind projected to at least `least_step`, in place.

        With a dependent last step, they become the nearest steps whose sum leaves at least `least_step` for the last
        one. Other kinds are not changed.
        """
        if self.kind != "projected":
            return
        if self.is_dependent:
            raw.copy_(onto_capped_sum(raw, self.least, self.horizon - self.least))
        else:
            raw.clamp_(min=self.least)

    def penalty(self) -> Tensor:
        """Return lambda_T (sum tau - T)^2 + l1 sum |tau| + l2 sum tau^2."""
        steps = self()
        terms = [(steps.sum() - self.horizon).square(), steps.abs().sum(), steps.square().sum()]
        return (self.penalties * torch.stack(terms)).sum()


def onto_capped_sum(points: Tensor, least: float, cap: float) -> Tensor:
    """Return the nearest points (..., n) with every coordinate >= least and a sum <= cap.

    Where the limit of the sum is active, this is the projection onto a simplex, max(v - theta, 0) with
    v = points - least.

    Args:
        points: (..., n).
        least: lower bound of a coordinate.
        cap: upper bound of the sum, at least n least.

    Source: Duchi et al. 2008, Efficient projections onto the l1-ball, figure 1.
    """
    above, room = points - least, cap - points.shape[-1] * least
    falling = above.sort(-1, descending=True).values
    ranks = torch.arange(1, points.shape[-1] + 1, device=points.device)
    thresholds = (falling.cumsum(-1) - room) / ranks
    last = (falling > thresholds).sum(-1, keepdim=True) - 1
    onto_sum = (above - thresholds.gather(-1, last.clamp(min=0))).clamp(min=0)
    within = above.clamp(min=0)
    return least + torch.where(within.sum(-1, keepdim=True) <= room, within, onto_sum)


def _first_values(parameters: LayerStepsParameters) -> Tensor:
    """Return the first tau, (num_steps,), with the sum T; random ones are drawn from torch's default generator."""
    drawn = torch.ones(parameters.num_steps)
    if parameters.initial_steps == "uniform":
        drawn = torch.rand(parameters.num_steps).clamp_(min=torch.finfo(drawn.dtype).tiny)
    return parameters.initial_horizon * drawn / drawn.sum()
