"""hornlib: do networks with dynamics of their own learn faster and cheaper?"""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("hornlib")
except PackageNotFoundError:  # a bare source tree on PYTHONPATH, without installed metadata
    __version__ = "0+unknown"

__all__ = ["__version__", "open_results", "time_to_target"]


def __getattr__(name: str) -> object:
    """Load the results API on first use, so that `import hornlib` stays cheap for every command."""
    if name in ("open_results", "time_to_target"):
        from hornlib import results

        return getattr(results, name)
    raise AttributeError(f"module 'hornlib' has no attribute {name!r}")
