"""Cost of networks without a closed form: built and counted once, then stored in the user's cache folder."""

import hashlib
import json
from functools import lru_cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

from hornlib.models.remembered_counts import cache_path, read_counts, remember_counts
from hornlib.parameters import Cost, ModelParameters, Task

__all__ = ["cache_file", "counted_cost"]


def cache_file() -> Path | None:
    """Return `hornlib/counts.json` in the user's cache folder; None for a user without a home folder."""
    return cache_path("counts.json")


@lru_cache(maxsize=4096)
def counted_cost(parameters: ModelParameters, task: Task) -> Cost:
    """Return the cost of the network that these parameters build, from the cache file if it is there.

    Args:
        parameters: of the network.
        task: shapes of inputs and outputs.
    """
    key = _key(parameters, task)
    remembered = read_counts(cache_file(), _code(), len(Cost._fields)).get(key)
    if remembered is not None:
        return Cost(*remembered)
    counted = _count(parameters, task)
    remember_counts(cache_file(), _code(), key, counted)
    return counted


def _count(parameters: ModelParameters, task: Task) -> Cost:
    # Imported here, so that a plan whose counts are in the cache needs no torch.
    from hornlib.models.build import build_network
    from hornlib.models.operations import forward_work

    network = build_network(parameters, task, seed=0)
    num_parameters = sum(parameter.numel() for parameter in network.parameters())
    return Cost(num_parameters, *forward_work(network, task).example)


@lru_cache(maxsize=1)
def _code() -> str:
    """Return a digest of all code that decides the counts: networks, counter, torchvision."""
    package = files("hornlib")  # possibly within a zip file
    family = package / "models" / "efficient"
    sources = [family / "network.py", family / "parameters.py", package / "models" / "operations.py"]
    text = b"\x1f".join(source.read_bytes() for source in sources) + version("torchvision").encode()
    return hashlib.sha256(text).hexdigest()[:16]


def _key(parameters: ModelParameters, task: Task) -> str:
    return json.dumps([parameters.canonical(), task.input_shape, task.num_outputs], sort_keys=True)
