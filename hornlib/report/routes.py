"""Routes of recurrences in words: which arms were computed by fused kernels, and which by loops, and why."""

import numpy as np
import xarray as xr

__all__ = ["routes_of_runs", "routes_of_seconds"]


def routes_of_runs(ds: xr.Dataset) -> str:
    """Return the routes that trained the runs, each with its arms: "fused (horn_cnn, horn); none (cnn)".

    Args:
        ds: a sweep's results (cell, seed, step). Without a record of routes the answer is "not known".
    """
    if "kernel" not in ds:
        return "not known"
    is_trained = ds["status"].isin(("complete", "diverged"))
    arms = ds["arm"].broadcast_like(ds["status"]).transpose(*ds["status"].dims)
    kernels = ds["kernel"].transpose(*ds["status"].dims)
    return _with_arms(kernels.values[is_trained.values], arms.values[is_trained.values])


def routes_of_seconds(ds: xr.Dataset, device: str) -> str:
    """Return the routes of the steps that were timed on a device, each with its arms.

    Args:
        ds: a sweep's results (cell, seed, step).
        device: one of `calibration_device`; "" or another one gives "not known".
    """
    if "step_time_kernel" not in ds or device not in ds["calibration_device"].values:
        return "not known"
    measured = ds[["step_time_kernel", "step_time"]].sel(calibration_device=device)
    is_measured = measured["step_time"].notnull().values
    return _with_arms(measured["step_time_kernel"].values[is_measured], ds["arm"].values[is_measured])


def _with_arms(kernels: np.ndarray, arms: np.ndarray) -> str:
    """Return each route with its arms; both arrays are (run,)."""
    arms_of_routes: dict[str, dict[str, None]] = {}
    for kernel, arm in zip(kernels, arms, strict=True):
        arms_of_routes.setdefault(str(kernel) or "not known", {})[str(arm)] = None
    return (
        "; ".join(f"{kernel} ({', '.join(names)})" for kernel, names in arms_of_routes.items()) or "not known"
    )
