"""Dynamics of single units: update rules as pure steps, their parameters and their stability."""
