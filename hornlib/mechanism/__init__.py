"""Experiments that could refute an explanation of fast early learning; torch is imported by those that need it."""
