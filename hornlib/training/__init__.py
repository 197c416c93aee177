"""Training over lanes: one loop, its optimisers, schedules and evaluation."""
