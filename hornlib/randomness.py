"""Random numbers derived by hashing named parts, so that no stream depends on its neighbours."""

import hashlib

import torch

__all__ = ["derive_seed", "generator"]


def derive_seed(*parts: str | int) -> int:
    """Return a 63-bit seed that is a pure function of the parts, e.g. ("order", seed, epoch)."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(*parts: str | int) -> torch.Generator:
    """Return a CPU generator seeded by `derive_seed(*parts)`; the CPU's stream is the same on every device."""
    return torch.Generator().manual_seed(derive_seed(*parts))
