"""Fused kernels: recurrences whose steps, forward and adjoint, are one call each."""
