"""The state of a sweep, read from run files, the executor's records, SLURM and logs; reading changes nothing."""
