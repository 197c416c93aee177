"""Weight pruning: connections are removed before or during training, and none comes back."""
