"""hornlib: do networks with dynamics of their own learn faster and cheaper?"""

from typing import Any

__all__ = ["__version__", "open_results", "time_to_target"]


def __getattr__(name: str) -> Any:
    """Load the version and the results API on first use, so that `import hornlib` stays cheap for every command."""
    if name == "__version__":
        from hornlib import provenance

        return provenance.version()
    if name in ("open_results", "time_to_target"):
        from hornlib import results

        return getattr(results, name)
    raise AttributeError(f"module 'hornlib' has no attribute {name!r}")
