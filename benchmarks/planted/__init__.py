"""Planted worlds: simulated sweeps whose truth is known. `benchmarks/planted_worlds.py` runs all of them."""
