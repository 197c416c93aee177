"""Figures made from results; they know xarray and matplotlib, and no torch."""
