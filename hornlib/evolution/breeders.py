"""The table of rules that breed the next generation of a population."""

from collections.abc import Callable
from typing import Any

import numpy as np

from hornlib.evolution import neat, wann
from hornlib.evolution.population import Population

__all__ = ["BREEDERS"]

BREEDERS: dict[str, Callable[[Any, Population, np.ndarray, int], Population]] = {
    "wann": wann.next_generation,
    "neat": neat.next_generation,
}
"""Name of the model -> its rule: from parameters, generation, rewards and seed to the next generation."""
