"""Broken inputs: damaged files of every kind that hornlib reads again, and wrong configurations."""
