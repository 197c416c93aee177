"""Estimators and tests: pure functions of arrays, one family in each file."""
