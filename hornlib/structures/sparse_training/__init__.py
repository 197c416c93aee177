"""Sparse training: connections are masked before the first step, and rewired while the network trains."""
