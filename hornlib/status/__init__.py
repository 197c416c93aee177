"""Where a sweep stands: what the run files, the executor's records, SLURM and the logs say, and nothing disturbed."""
