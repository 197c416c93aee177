"""The constants of a network's oscillators as a module: fixed buffers, or learned in log space."""

import torch
from torch import Tensor, nn

from hornlib.dynamics.oscillator import Coefficients, Constants, coefficients, draw_constants
from hornlib.dynamics.parameters import OscillatorParameters

__all__ = ["OscillatorConstants"]


class OscillatorConstants(nn.Module):
    """omega, damping and alpha of every oscillator of a layer, and the integration step.

    Every network of oscillators holds its constants in such modules, so that analyses find them there. Fixed constants
    and the integration step are buffers, not floats, since lanes that are trained side by side may differ in them.

    Args:
        parameters: homogeneous constants, their spread over oscillators, the integrator, and whether they are learned.
        timesteps: T, the number of steps; constants may be given relative to it.
        shape: of one constant: (nodes,), (channels, 1, 1), or (channels, height, width).
        generator: draws heterogeneous constants.
    """

    omega: Tensor
    damping: Tensor
    alpha: Tensor
    log_omega: nn.Parameter
    log_damping: nn.Parameter
    log_alpha: nn.Parameter
    integration_step: Tensor

    def __init__(
        self,
        parameters: OscillatorParameters,
        timesteps: int,
        shape: tuple[int, ...],
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.integrator = parameters.integrator
        self.is_learned = parameters.oscillator_training == "learned"
        homogeneous = parameters.oscillator(timesteps)
        drawn = draw_constants(
            homogeneous, shape, parameters.heterogeneity, parameters.heterogeneity_draw, generator
        )
        for name, values in drawn._asdict().items():
            if self.is_learned:
                self.register_parameter(f"log_{name}", nn.Parameter(values.log()))
            else:
                self.register_buffer(name, values)
        self.register_buffer("integration_step", torch.tensor(homogeneous.integration_step))

    def constants(self) -> Constants:
        """Return omega, damping and alpha, each of the module's shape."""
        if self.is_learned:
            return Constants(self.log_omega.exp(), self.log_damping.exp(), self.log_alpha.exp())
        return Constants(self.omega, self.damping, self.alpha)

    def coefficients(self) -> Coefficients:
        """Return c, k and g of one step of the integrator, each of the module's shape."""
        return coefficients(self.constants(), self.integration_step, self.integrator)
