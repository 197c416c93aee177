"""Stability of oscillators: predictions before any training, simulations, and the outcomes of training."""
