"""From checked sections to arms, cells and jobs."""

from hornlib.grid.grid import Grid, Sweep, expand, read_grid

__all__ = ["Grid", "Sweep", "expand", "read_grid"]
