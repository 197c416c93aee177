"""The width profiles of random search in config/architecture_cost.yaml: how they were drawn.

python docs/findings/architecture_cost_profiles.py
"""

import numpy as np

__all__ = ["LARGEST", "NUM_PROFILES", "SMALLEST", "width_profiles"]

NUM_PROFILES = 16
"""Profiles that random search trains."""

SMALLEST, LARGEST = 8, 64
"""Fewest and most units of a hidden layer. The large network has the most in both layers."""


def width_profiles(num_profiles: int = NUM_PROFILES, num_layers: int = 2, seed: int = 0) -> list[str]:
    """Return different width profiles of networks no larger than the large one, written 16-40.

    The width of each layer is exp(u) rounded, with u uniform between ln 8 and ln 64. A profile that was drawn before is
    drawn again.

    Args:
        num_profiles: number of profiles.
        num_layers: hidden layers of a network.
        seed: of the draw.
    """
    generator = np.random.default_rng([seed, *b"width profiles"])
    profiles: dict[str, None] = {}
    while len(profiles) < num_profiles:
        widths = np.exp(generator.uniform(np.log(SMALLEST), np.log(LARGEST), num_layers)).round()
        profiles["-".join(f"{width:.0f}" for width in widths)] = None
    return list(profiles)


if __name__ == "__main__":
    print(f"[{', '.join(width_profiles())}]")
