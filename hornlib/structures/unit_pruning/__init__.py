"""Unit pruning: whole nodes and channels are removed while a network trains."""
