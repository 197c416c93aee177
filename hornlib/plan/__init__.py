"""What is done, and what the rest will cost."""
