"""Ways to damage a file, each a function of its bytes and of a generator of random numbers."""

from collections.abc import Callable

import numpy as np

Corruption = Callable[[bytes, np.random.Generator], bytes]

MOST = 64
"""Bytes that a corruption changes, inserts or repeats at most."""


def _bit(content: bytes, random: np.random.Generator) -> bytes:
    place = int(random.integers(len(content)))
    return content[:place] + bytes([content[place] ^ 1 << int(random.integers(8))]) + content[place + 1 :]


def _byte(content: bytes, random: np.random.Generator) -> bytes:
    place = int(random.integers(len(content)))
    return content[:place] + random.bytes(1) + content[place + 1 :]


def _bytes(content: bytes, random: np.random.Generator) -> bytes:
    place, count = _span(content, random)
    return content[:place] + random.bytes(count) + content[place + count :]


def _truncate(content: bytes, random: np.random.Generator) -> bytes:
    return content[: int(random.integers(len(content)))]


def _zero(content: bytes, random: np.random.Generator) -> bytes:
    place, count = _span(content, random)
    return content[:place] + bytes(count) + content[place + count :]


def _insert(content: bytes, random: np.random.Generator) -> bytes:
    place, count = _span(content, random)
    return content[:place] + random.bytes(count) + content[place:]


def _append(content: bytes, random: np.random.Generator) -> bytes:
    return content + random.bytes(_span(content, random)[1])


def _repeat(content: bytes, random: np.random.Generator) -> bytes:
    place, count = _span(content, random)
    return content[: place + count] + content[place:]


CORRUPTIONS: dict[str, Corruption] = {
    "bit": _bit,
    "byte": _byte,
    "bytes": _bytes,
    "truncate": _truncate,
    "zero": _zero,
    "insert": _insert,
    "append": _append,
    "repeat": _repeat,
}


def damaged(content: bytes, seed: int, corruption: str = "") -> bytes:
    """Return other bytes than these.

    Args:
        content: at least one byte.
        seed: of all that is random.
        corruption: a name of the table; "" draws one.
    """
    random = np.random.default_rng(seed)
    while True:
        name = corruption or str(random.choice(list(CORRUPTIONS)))
        changed = CORRUPTIONS[name](content, random)
        if changed != content:
            return changed


def _span(content: bytes, random: np.random.Generator) -> tuple[int, int]:
    """Return a place in the file, and a number of bytes from there on that the file has."""
    place = int(random.integers(len(content)))
    return place, int(random.integers(1, min(MOST, len(content) - place) + 1))
