"""Tuning: every arm gets the same number of trials, validation chooses one, and fresh seeds train it."""
