"""Stability of oscillators: predicted before any training, beside what was simulated and what happened."""
