"""The executor's start: what keeps it from starting is said in words."""

import errno
import logging
import os
import signal
from types import SimpleNamespace

import pytest
from snakemake_executor_plugin_submitit import ExecutorSettings
from snakemake_executor_plugin_submitit import executor as executor_module
from snakemake_executor_plugin_submitit.executor import Executor
from snakemake_executor_plugin_submitit.lease import Lease
from snakemake_interface_common.exceptions import WorkflowError


@pytest.mark.parametrize("step", ["install_runner", "snapshot"])
def test_a_disk_that_is_full_at_the_start_is_said_in_words(tmp_path, monkeypatch, step):
    def no_space(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(executor_module, step, no_space)
    monkeypatch.setattr(Executor, "_take_signals", lambda executor: None)  # the signals of this process
    executor = Executor.__new__(Executor)
    settings = ExecutorSettings(cluster="local", folder=str(tmp_path), snapshot=["hornlib"])
    executor.workflow = SimpleNamespace(executor_settings=settings)
    executor.folder, executor.lease, executor.logger = tmp_path, Lease(tmp_path), logging.getLogger("head")
    try:
        with pytest.raises(WorkflowError, match=r"cannot be written \(No space left.*nothing was submitted"):
            executor._start()
    finally:
        executor.lease.release()


def test_a_sigterm_that_snakemake_took_before_the_executor_started_ends_the_head(monkeypatch):
    """Snakemake notes it in an attribute of its scheduler, and would wait for all jobs."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # the handlers of this process stay
    executor = Executor.__new__(Executor)
    for noted, ends in ((None, False), ("graceful", True)):
        executor.workflow, executor.leaving = SimpleNamespace(scheduler=SimpleNamespace(_user_kill=noted)), ""
        if ends:
            with pytest.raises(SystemExit, match="143"):
                executor._take_signals()
        else:
            executor._take_signals()
        assert executor.leaving == ("SIGTERM" if ends else "")
