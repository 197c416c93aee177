"""Estimators as pure functions of arrays: one estimator or test a file."""
