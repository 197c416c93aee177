"""Shallow networks of one convolution, or of the same units with other connections."""
