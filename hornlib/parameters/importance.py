"""Settings of importance: how exactly it is measured what single weights are worth; free of torch."""

from pydantic import Field

from hornlib.parameters.base import Parameters

__all__ = ["MOST_CONNECTIONS", "ImportanceSettings"]

MOST_CONNECTIONS = 20_000
"""Largest number of connections of a network that are set to 0 one by one."""


class ImportanceSettings(Parameters):
    """Importance: by how much the loss changes when a single weight is set to 0, beside what proxies say of it.

    It reads the trained networks, so that it needs `keep_weights: last`, and it retrains nothing.
    """

    examples: int = Field(default=1000, ge=10)
    """Largest number of training examples, and of test examples, on which losses are computed. They are evenly spaced
    in their split and the same for all networks."""
    sample: int | None = Field(default=None, ge=10)
    """Largest number of connections of each weight matrix or kernel that are set to 0 one by one. They are drawn, with
    as many from each tenth of the magnitudes. null: all connections, which must be at most 20,000 of a network."""
    random_sets: int = Field(default=20, ge=2)
    """Number of random sets of connections, beside which stand those that SET and RigL would drop."""
