"""The clock of calibrations: load of the machine by other programs is not measured where that is possible."""

import time

import pytest
import torch

from hornlib.calibration.timing import clock_of


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_one_cpu_thread_is_timed_by_its_own_processor_time():
    torch.set_num_threads(1)
    assert clock_of(torch.device("cpu")) is time.process_time


def test_several_threads_and_gpus_are_timed_by_the_wall_clock():
    torch.set_num_threads(2)
    assert clock_of(torch.device("cpu")) is time.perf_counter
    torch.set_num_threads(1)
    assert clock_of(torch.device("cuda")) is time.perf_counter
