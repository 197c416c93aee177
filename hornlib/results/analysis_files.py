"""Kinds of the files that analyses of results.nc write, and that the report reads."""

from hornlib.results.file_kind import FileKind

__all__ = ["EXPERIMENT_FILE", "IMPORTANCE_FILE", "STABILITY_FILE", "STATISTICS_FILE"]

STATISTICS_FILE = FileKind("statistics file", 2, "`hornlib statistics` writes it anew")

STABILITY_FILE = FileKind("stability file", 1, "`hornlib stability` writes it anew")

EXPERIMENT_FILE = FileKind("file of an experiment", 2, "`hornlib mechanism` writes it anew")

IMPORTANCE_FILE = FileKind(
    "file of importance",
    1,
    "`hornlib importance` writes it anew",
    missing="`hornlib importance` writes it, where config.yaml has `keep_weights: last` and `importance: {}`",
    essential=("seed", "split", "layer", "proxy"),
)
