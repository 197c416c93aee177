"""The check that runs that are compared were trained on the same examples."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from hornlib.data.parameters import DataParameters

__all__ = ["TrainedFile", "different_data"]

SHOWN = 3
"""Largest number of files that a message names for each digest."""


class TrainedFile(NamedTuple):
    """A run file or a tuning file.

    Attributes:
        name: of the file.
        data: parameters of the data that it was trained on.
        attributes: provenance. A file of an older hornlib has no `data_digest`, and is not compared.
    """

    name: str
    data: DataParameters
    attributes: Mapping[str, Any]


def different_data(files: Iterable[TrainedFile]) -> list[str]:
    """Return a sentence for each dataset on whose examples the files do not agree.

    Files with the same dataset, validation split and training subset must have the same digest, in whatever
    presentation they were trained.
    """
    digests: dict[tuple[str, int, int], dict[str, list[str]]] = {}
    for file in files:
        if digest := file.attributes.get("data_digest"):
            examples = (file.data.name, file.data.num_train, file.data.num_validation)
            digests.setdefault(examples, {}).setdefault(str(digest), []).append(file.name)
    return [_sentence(dataset, names) for (dataset, *_), names in digests.items() if len(names) > 1]


def _sentence(dataset: str, names: Mapping[str, list[str]]) -> str:
    parts = []
    for digest, files in sorted(names.items(), key=lambda item: -len(item[1])):
        more = f", and {len(files) - SHOWN} more" if len(files) > SHOWN else ""
        parts.append(f"digest {digest}: {len(files)} file(s), {', '.join(files[:SHOWN])}{more}")
    return (
        f"{dataset}: runs that are compared were trained on different examples: {'; '.join(parts)}. "
        f"`hornlib data {dataset} --root ROOT` checks the files that are there now. Delete the files of the wrong "
        "examples and give the same command again: only those are made anew"
    )
