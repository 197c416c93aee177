"""Measurements inside a network over its time steps: update rules of units, their states, their spectra."""
