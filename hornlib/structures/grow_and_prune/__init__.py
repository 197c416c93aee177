"""Growth and pruning of units in one training."""
