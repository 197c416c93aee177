"""Run files, results.nc, and functions that read them; xarray is imported on first use."""

__all__ = ["open_results", "time_to_target"]


def __getattr__(name: str) -> object:
    """Import a function on first use: a trainer that writes run files needs no xarray."""
    if name == "open_results":
        from hornlib.results.opening import open_results

        return open_results
    if name == "time_to_target":
        from hornlib.results.target_times import time_to_target

        return time_to_target
    raise AttributeError(f"module 'hornlib.results' has no attribute {name!r}")
