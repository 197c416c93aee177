"""Layers taken out by their time step."""
