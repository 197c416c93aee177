"""Parameters of learned time steps, which all networks of the family share; free of torch."""

from typing import ClassVar, Literal

from pydantic import Field

from hornlib.parameters import ModelParameters

__all__ = ["LayerStepsParameters", "StepsKind"]

StepsKind = Literal["learned", "fixed", "partly_fixed", "softplus", "projected", "simplex"]


class LayerStepsParameters(ModelParameters):
    """A time step tau of every layer, a trained number like the weights (arXiv 2204.08528).

    The horizon sum tau, its penalties and the dependent last step are those of the time regularisation of
    arXiv 2306.16111: loss + lambda_T (sum tau - T)^2 + l1 sum |tau| + l2 sum tau^2.
    """

    per_lane: ClassVar[tuple[str, ...]] = ("horizon_penalty", "l1_penalty", "l2_penalty")

    num_layers: int = Field(default=6, ge=1)
    """Number of layers before the read-out, with the opening layer; each later one has a time step."""
    layer_steps: StepsKind = "learned"
    """learned: tau is a trained number of any sign. fixed: tau keeps its first value. partly_fixed: only the first tau
    keeps its first value; the released code of 2306.16111 does this with its option for fixed steps. softplus:
    tau = log(1 + e^r) > 0. projected: after every update tau is projected to at least `least_step`. simplex:
    tau = T softmax(r), positive with the sum T = `initial_horizon`."""
    opening_step: Literal["with", "without"] = "with"
    """with: the opening layer has a time step too, y_1 = tau_0 f(K_0 u + b_0). without: y_1 = f(K_0 u + b_0)."""
    last_step: Literal["free", "dependent"] = "free"
    """dependent: the last tau is T minus the sum of the others, so that the horizon stays `initial_horizon`."""
    initial_horizon: float = Field(default=1.0, gt=0)
    """T, unit of time: the sum of the first values of tau, and the target of the horizon's penalty, a simplex and a
    dependent last step. T = 1 is the default of 2306.16111. If T is the number of steps, tau = 1 as in the ordinary
    ResNet; every comparison of learned and fixed steps needs this control."""
    initial_steps: Literal["equal", "uniform"] = "equal"
    """First values of tau: equal, or drawn from U(0, 1) and scaled to the sum T."""
    least_step: float = Field(default=1e-4, gt=0)
    """Smallest tau that `layer_steps: projected` allows, unit of time; 1e-4 in the released code of 2306.16111."""
    horizon_penalty: float = Field(default=0.0, ge=0)
    """lambda_T, weight of (sum tau - T)^2 in the loss; 0.5 in 2306.16111."""
    l1_penalty: float = Field(default=0.0, ge=0)
    """Weight of sum |tau| in the loss; 0.01 in 2306.16111."""
    l2_penalty: float = Field(default=0.0, ge=0)
    """Weight of sum tau^2 in the loss."""

    @property
    def num_steps(self) -> int:
        """Number of layers with a time step."""
        return self.num_layers - (self.opening_step == "without")

    @property
    def num_learned_steps(self) -> int:
        """Number of time steps that are trained numbers."""
        if self.layer_steps == "fixed":
            return 0
        return self.num_steps - (self.layer_steps == "partly_fixed") - (self.last_step == "dependent")

    def steps_problems(self) -> list[str]:
        """Return problems of the time steps: none exist, they cannot be positive, or a setting has no effect."""
        if self.num_steps == 0:
            return [
                "num_layers: 1 and opening_step: without leave no layer with a time step; give 2 layers or more"
            ]
        return [*self._kind_problems(), *self._penalty_problems()]

    def _kind_problems(self) -> list[str]:
        problems, kind, least = [], self.layer_steps, type(self).model_fields["least_step"].default
        if kind == "simplex" and self.num_steps == 1:
            problems.append(
                "layer_steps: a simplex over one layer leaves nothing to learn; give more layers, or fixed"
            )
        elif self.last_step == "dependent" and kind in ("fixed", "simplex"):
            problems.append(
                f"last_step: dependent means nothing to layer_steps: {kind}, whose sum is fixed; leave it out"
            )
        elif kind != "fixed" and self.num_learned_steps < 1:
            problems.append(
                f"layer_steps: {kind} with last_step: {self.last_step} leaves none of {self.num_steps} time steps "
                "to learn; give more layers"
            )
        if kind == "projected" and self.least_step * self.num_steps > self.initial_horizon:
            problems.append(
                f"least_step: {self.num_steps} steps of {self.least_step:g} and more exceed initial_horizon: "
                f"{self.initial_horizon:g}"
            )
        if kind != "projected" and self.least_step != least:
            problems.append(f"least_step means nothing to layer_steps: {kind}; it is for projected")
        return problems

    def _penalty_problems(self) -> list[str]:
        given = [name for name in self.per_lane if getattr(self, name) > 0]
        if self.layer_steps == "fixed":
            return [f"{name} means nothing to layer_steps: fixed; leave it out" for name in given]
        problems = []
        setting = "layer_steps: simplex" if self.layer_steps == "simplex" else "last_step: dependent"
        if "horizon_penalty" in given and (self.layer_steps == "simplex" or self.last_step == "dependent"):
            problems.append(
                f"horizon_penalty means nothing to {setting}, which keeps the horizon; leave it out"
            )
        if "l1_penalty" in given and self.layer_steps == "simplex":
            problems.append(
                "l1_penalty means nothing to layer_steps: simplex, whose sum is fixed; leave it out"
            )
        return problems
