"""Statistics of sweeps: who learns faster, by how much, how certain that is, and what cannot be said."""
