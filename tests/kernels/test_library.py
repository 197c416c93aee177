"""Compiled libraries: cached by source and CPU, never loaded damaged, and refused in plain words."""

import ctypes
import multiprocessing
import shutil
import stat
import sys

import pytest

from hornlib.kernels import library, route
from hornlib.kernels.library import KernelError, load

needs_compiler = pytest.mark.skipif(not library.compiler(), reason="no C compiler on this machine")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    load.cache_clear()
    library.why_not.cache_clear()
    yield
    load.cache_clear()
    library.why_not.cache_clear()


def cached(tmp_path):
    return sorted((tmp_path / "cache/hornlib/kernels").glob("*.so"))


def count_compilations(monkeypatch):
    calls, real = [], library._compiled
    monkeypatch.setattr(library, "_compiled", lambda *arguments: calls.append(1) or real(*arguments))
    return calls


@needs_compiler
def test_a_library_is_compiled_once_for_all_processes(tmp_path, monkeypatch):
    calls = count_compilations(monkeypatch)
    for _ in range(3):
        load("field", "float")
        load.cache_clear()
    assert len(calls) == 1 and len(cached(tmp_path)) == 1


def _load_in_process(barrier, log):
    real = library._compiled
    library._compiled = lambda *arguments: log.put(1) or real(*arguments)
    barrier.wait()
    load("field", "float")


@needs_compiler
def test_processes_that_start_together_compile_once():
    context = multiprocessing.get_context("fork")
    barrier, log = context.Barrier(4), context.Queue()
    processes = [context.Process(target=_load_in_process, args=(barrier, log)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 4
    assert log.get(timeout=5) == 1 and log.empty()


@needs_compiler
@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_library_is_made_again_and_never_loaded(tmp_path, monkeypatch, damage):
    load("field", "float")
    load.cache_clear()
    (path,) = cached(tmp_path)
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
    path.unlink()  # it may be mapped by this process
    path.write_bytes({"flip": content, "cut": content[:5000], "empty": b""}[damage])
    calls = count_compilations(monkeypatch)
    load("field", "float")
    assert len(calls) == 1 and cached(tmp_path) == [path]


@needs_compiler
def test_another_cpu_has_a_library_of_its_own(tmp_path, monkeypatch):
    load("field", "float")
    load.cache_clear()
    monkeypatch.setattr(library, "cpu_model", lambda: "another CPU")
    load("field", "float")
    assert len(cached(tmp_path)) == 2


@needs_compiler
def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert isinstance(load("field", "float"), ctypes.CDLL)


def program(tmp_path, text):
    path = tmp_path / "cc"
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.parametrize(
    ("compiler", "message"),
    [
        ("", "there is no C compiler"),
        ("import sys; sys.exit('fatal: no space')", "failed (1): fatal: no space"),
        ("import time; time.sleep(60)", "was stopped after"),
        ("import sys; open(sys.argv[sys.argv.index('-o') + 1], 'w').write('?')", "cannot be loaded"),
        ("pass", "No such file"),
    ],
    ids=["none", "fails", "slow", "garbage", "nothing"],
)
def test_without_a_library_the_reason_is_said_and_the_loop_runs(tmp_path, monkeypatch, compiler, message):
    import torch

    monkeypatch.setattr(library, "SECONDS", 1)
    monkeypatch.setenv("CC", program(tmp_path, compiler) if compiler else str(tmp_path / "no compiler"))
    with pytest.raises(KernelError) as caught:
        load("field", "float")
    assert message in str(caught.value)
    assert message in library.why_not("field")
    assert not route.is_fused("field", torch.zeros(1))
    assert not list((tmp_path / "cache").rglob("*.so")) or "loaded" in message


@needs_compiler
def test_a_kill_during_the_compilation_leaves_nothing_that_is_loaded(tmp_path):
    context = multiprocessing.get_context("fork")
    process = context.Process(target=load, args=("field", "float"))
    process.start()
    folder = tmp_path / "cache/hornlib/kernels"
    while process.is_alive() and not list(folder.glob("*.lock")):
        pass
    process.kill()
    process.join()
    assert isinstance(load("field", "float"), ctypes.CDLL)


def test_the_compiler_is_the_one_that_cc_names(monkeypatch):
    monkeypatch.setenv("CC", "true")
    assert library.compiler() == shutil.which("true")
    monkeypatch.delenv("CC")
    assert library.compiler() == (shutil.which("cc") or "")
