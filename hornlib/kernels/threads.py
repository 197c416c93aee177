"""Calls of compiled functions, shared out to torch's number of threads."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch

__all__ = ["share_out"]


def share_out(call: Callable[[int, int], int], count: int) -> None:
    """Call a compiled function for all of `count` things, which are shared out to torch's number of threads.

    Every thing is computed by one thread, so that the number of threads changes no result. A call by ctypes lets other
    threads run.

    Args:
        call: gets the first thing and the one behind the last, and returns 0 if there was memory.
        count: how many things there are.

    Raises:
        MemoryError: no memory was left.
    """
    threads = max(1, min(torch.get_num_threads(), count))
    edges = [count * thread // threads for thread in range(threads + 1)]
    if any(map(call, edges, edges[1:]) if threads == 1 else _pool(threads).map(call, edges, edges[1:])):
        raise MemoryError("no memory is left for the states of a recurrence")


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads)


if hasattr(os, "register_at_fork"):  # a fork has none of the threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
