"""Calls of kernels: shared out to threads, also in a fork; finished before an error; refused for wrong tensors."""

import ctypes
import multiprocessing
import time

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from hornlib.kernels.calls import call, contiguous, share_out


@pytest.fixture
def threads():
    """Return a function that sets torch's number of threads until the test ends."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("number", [1, 2, 3, 8])
@pytest.mark.parametrize("count", [0, 1, 5, 8])
def test_every_thing_is_computed_once(threads, number, count):
    threads(number)
    things = []
    share_out(lambda first, last: things.extend(range(first, last)), count)
    assert sorted(things) == list(range(count))


@pytest.mark.parametrize("number", [1, 3])
def test_lack_of_memory_in_one_thread_is_raised_when_all_have_finished(threads, number):
    threads(number)
    finished = []

    def compute(first, last):
        if first > 0:
            time.sleep(0.2)
        finished.append(first)
        return first == 0

    with pytest.raises(MemoryError):
        share_out(compute, 3)
    assert len(finished) == number


def _share_out_in_fork():
    things = []
    share_out(lambda first, last: things.extend(range(first, last)), 5)
    assert sorted(things) == list(range(5))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork")
def test_a_fork_has_threads_of_its_own(threads):
    threads(3)
    _share_out_in_fork()
    process = multiprocessing.get_context("fork").Process(target=_share_out_in_fork)
    process.start()
    process.join(60)
    if process.is_alive():
        process.kill()
    assert process.exitcode == 0


def test_tensors_of_another_shape_type_or_device_are_refused():
    first, shapes = torch.zeros(2, 3), ((2, 3), (4,))
    for tensor in (torch.zeros(5), torch.zeros(1, 4), torch.zeros(4).double(), torch.zeros(4, device="meta")):
        with pytest.raises(ValueError, match=r"a kernel got .* and needs \(4,\) of torch.float32 on cpu"):
            contiguous((first, tensor), shapes)


class Sizes(ctypes.Structure):
    _fields_ = ()


@pytest.mark.filterwarnings("ignore:Accessing the data pointer of FakeTensor")
def test_a_tensor_without_numbers_is_refused():
    with FakeTensorMode():
        fake = torch.zeros(3)
    for tensors in (fake, (torch.zeros(3), None, fake)):
        with pytest.raises(ValueError, match="without numbers"):
            call(lambda *pointers: 0, 1, Sizes(), tensors)


def test_tensors_are_made_contiguous():
    arranged = contiguous((torch.zeros(3, 2).mT, None, torch.zeros(1).expand(4)), ((2, 3), (9,), (4,)))
    assert arranged[1] is None and arranged[0].is_contiguous() and arranged[2].is_contiguous()
