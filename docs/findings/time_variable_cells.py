"""What both pages on learned time steps take from results: a cell, its accuracy, its layers."""

import numpy as np
import xarray as xr
from tables import final, spread


def of_cell(ds: xr.Dataset, **wanted: object) -> xr.Dataset | None:
    """Return the one cell with these values; None where there is none."""
    chosen = np.ones(ds.sizes["cell"], bool)
    for name, value in wanted.items():
        chosen &= ds[name].values == value
    place = np.flatnonzero(chosen)
    return ds.isel(cell=int(place[0])) if len(place) else None


def accuracy_of(own: xr.Dataset) -> np.ndarray:
    """Return the test accuracy of every seed at the end; chance of a run that diverged."""
    return final(own, "test_metric", diverged=own["chance_level"].item())


def layers_of(own: xr.Dataset) -> str:
    """Write how many layers a cell's networks have at the end."""
    layers = own["final_depth"].values if "final_depth" in own else np.full(1, np.nan)
    return spread(layers, 0) if np.isfinite(layers).any() else f"{own['num_layers'].item():.0f}"
