"""Calls of compiled C functions with tensors, shared out to torch's number of threads."""

import ctypes
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import torch
from torch import Tensor

__all__ = ["call", "contiguous", "share_out"]


def contiguous(tensors: Sequence[Tensor | None], shapes: Sequence[tuple[int, ...]]) -> list[Any]:
    """Return tensors, or None, as a kernel needs them: it checks nothing, and a wrong shape would let it read anywhere.

    Args:
        tensors: the first one is no None.
        shapes: of the tensors.

    Raises:
        ValueError: a tensor has another shape, or another type or device than the first one.
    """
    first = tensors[0]
    assert first is not None
    for tensor, shape in zip(tensors, shapes, strict=True):
        if tensor is None:
            continue
        if tensor.shape != shape or tensor.dtype != first.dtype or tensor.device != first.device:
            raise ValueError(
                f"a kernel got {tuple(tensor.shape)} of {tensor.dtype} on {tensor.device}, and needs "
                f"{tuple(shape)} of {first.dtype} on {first.device}"
            )
    return [None if tensor is None else tensor.contiguous() for tensor in tensors]


def call(
    function: Any, count: int, sizes: ctypes.Structure, *tensors: Tensor | Sequence[Tensor | None]
) -> None:
    """Call a compiled function for all of `count` things; see `share_out`.

    Args:
        function: gets pointers to sizes and tensors, the first thing, and the one behind the last.
        count: how many things there are, such as channels.
        sizes: the structure of sizes and choices that the function needs.
        *tensors: from `contiguous`, or as new. A sequence becomes a structure of pointers, and None a null pointer.

    Raises:
        MemoryError: no memory was left.
    """

    def compute(first: int, last: int) -> int:  # it holds the tensors, whose memory a thread may still use
        pointers = map(_pointer, tensors)
        status: int = function(ctypes.byref(sizes), *pointers, ctypes.c_long(first), ctypes.c_long(last))
        return status

    share_out(compute, count)


def share_out(compute: Callable[[int, int], int], count: int) -> None:
    """Compute all of `count` things, which are shared out to torch's number of threads.

    Every thing is computed by one thread, so that the number of threads changes no result. A call by ctypes lets other
    threads run.

    Args:
        compute: gets the first thing and the one behind the last, and returns 0 if there was memory.
        count: how many things there are.

    Raises:
        MemoryError: no memory was left. No thread computes any more.
    """
    threads = max(1, min(torch.get_num_threads(), count))
    edges = [count * thread // threads for thread in range(threads + 1)]
    run = map if threads == 1 else _pool(threads).map
    if any(list(run(compute, edges, edges[1:]))):  # the list waits for all threads
        raise MemoryError("no memory is left for the states of a recurrence")


def _pointer(tensors: Tensor | Sequence[Tensor | None]) -> Any:
    if isinstance(tensors, Tensor):
        return ctypes.c_void_p(_address(tensors))
    addresses = [None if tensor is None else _address(tensor) for tensor in tensors]
    return (ctypes.c_void_p * len(addresses))(*addresses)


def _address(tensor: Tensor) -> int:
    address = tensor.data_ptr()
    if not address and tensor.numel():
        raise ValueError("a kernel got a tensor without numbers, such as a fake one; `kernel: loop` takes it")
    return address


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


if hasattr(os, "register_at_fork"):  # a fork has none of the threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
