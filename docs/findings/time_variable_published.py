"""Published accuracies of learned and fixed time steps, and how far a further run of ours may lie from our mean."""

import numpy as np
import xarray as xr

EPOCHS = (2, 5, 10, 25, 50, 100, 200)
PUBLISHED = {
    ("mnist", "fixed"): (0.454, 0.718, 0.841, 0.901, 0.922, 0.942, 0.963),
    ("mnist", "learned"): (0.854, 0.937, 0.962, 0.977, 0.981, 0.981, 0.981),
    ("mnist", "fractional_fixed"): (0.29, 0.596, 0.792, 0.897, 0.931, 0.959, 0.971),
    ("mnist", "fractional_learned"): (0.58, 0.897, 0.933, 0.971, 0.977, 0.977, 0.977),
    ("fashion_mnist", "fixed"): (0.50, 0.636, 0.694, 0.800, 0.826, 0.844, 0.864),
    ("fashion_mnist", "learned"): (0.78, 0.833, 0.854, 0.874, 0.877, 0.890, 0.891),
    ("fashion_mnist", "fractional_fixed"): (0.28, 0.574, 0.682, 0.792, 0.831, 0.854, 0.876),
    ("fashion_mnist", "fractional_learned"): (0.61, 0.788, 0.833, 0.863, 0.874, 0.879, 0.885),
}
"""Test accuracy of one run each, read off the figure of 2306.16111's repository to +- .004, T = 1, no penalty."""

PUBLISHED_AS = {"partly_fixed": "fixed"}
"""The released code trains all steps but the first where fixed ones are asked for: either may be what was published."""

EXAMPLES = 60_000
"""Of an epoch of either dataset, without a validation part."""

READING = 0.005
"""Added to three standard deviations of a single further run: what the figure could be read to."""


def of_cell(ds: xr.Dataset, **wanted: object) -> xr.Dataset | None:
    """Return the one cell with these values; None where there is none."""
    chosen = np.ones(ds.sizes["cell"], bool)
    for name, value in wanted.items():
        chosen &= ds[name].values == value
    place = np.flatnonzero(chosen)
    return ds.isel(cell=int(place[0])) if len(place) else None


def at_epoch(own: xr.Dataset, epoch: int) -> tuple[float, float, float] | None:
    """Return mean and standard deviation over seeds at the end of an epoch, and how far one further run may lie."""
    ended = np.flatnonzero(own["samples"].values == epoch * EXAMPLES)
    if not len(ended):
        return None
    found = own["test_metric"].values[:, ended[0]]
    found = found[np.isfinite(found)]
    sd = float(found.std(ddof=1))
    return float(found.mean()), sd, 3 * sd * float(np.sqrt((len(found) + 1) / len(found))) + READING
