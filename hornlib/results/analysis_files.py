"""Kinds of the files that analyses beside the main flow write, and that the report reads."""

from hornlib.results.netcdf import FileKind

__all__ = ["EXPERIMENT_FILE", "STABILITY_FILE"]

STABILITY_FILE = FileKind("stability file", 1, "`hornlib stability` writes it anew")

EXPERIMENT_FILE = FileKind("file of an experiment", 1, "`hornlib mechanism` writes it anew")
