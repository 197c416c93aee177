"""Files of tensors: a header with the SHA-256 of all that follows, and content that is loaded without running code."""

import hashlib
import io
import pickle
import re
from typing import Any

import torch

__all__ = ["packed", "unpacked"]

_HEADER = re.compile(rb"hornlib ([a-z ]+ [0-9]+) sha256 ([0-9a-f]{64})\n")
_LONGEST_HEADER = 128


def packed(kind: str, state: dict[str, Any]) -> list[bytes | memoryview]:
    """Return the parts of the file, to be written one after the other.

    Args:
        kind: what the file is, and the version of its format, such as "checkpoint 2".
        state: tensors, numbers and strings, in lists and dicts.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    payload = buffer.getbuffer()
    digest = hashlib.sha256(payload).hexdigest()
    return [f"hornlib {kind} sha256 {digest}\n".encode(), payload]


def unpacked(kind: str, content: bytes) -> dict[str, Any]:
    """Return the state, with its tensors on the CPU.

    Args:
        kind: as it was packed.
        content: of the file.

    Raises:
        ValueError: the content is of another kind, or damaged; the message says which.
        pickle.UnpicklingError: the checksum is right, but the content is code and not tensors.
    """
    word = kind.rpartition(" ")[0]
    header = _HEADER.match(content[:_LONGEST_HEADER])
    if header is None or header[1].decode() != kind:
        raise ValueError(f"this is no hornlib {word}, or its beginning is lost")
    payload = memoryview(content)[header.end() :]
    if hashlib.sha256(payload).hexdigest() != header[2].decode():
        raise ValueError(f"the {word} is damaged (its checksum differs)")
    state = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    if not isinstance(state, dict):
        raise pickle.UnpicklingError(f"the {word} holds no dict")
    return state
