"""Compiled libraries: cached by source and CPU, never loaded damaged, and refused in plain words."""

import ctypes
import errno
import fcntl
import multiprocessing
import os
import shutil
import stat
import subprocess
import sys
import tempfile

import pytest
import torch
from snakemake_executor_plugin_submitit.snapshots import snapshot

from hornlib.kernels import library, route
from hornlib.kernels.library import KernelError, load

needs_compiler = pytest.mark.skipif(not library.compiler(), reason="no C compiler on this machine")


@pytest.fixture(autouse=True)
def _cache_and_source(tmp_path, monkeypatch):
    """An empty cache, and a source that is compiled in no time."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "field.c").write_text("int one(void) { return 1; }\n")
    (tmp_path / "vectors.h").touch()
    monkeypatch.setattr(library, "files", lambda _: tmp_path)
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


@needs_compiler
def test_a_library_in_the_cache_is_used_although_another_process_has_the_lock(tmp_path, monkeypatch):
    load("field", "float")
    load.cache_clear()
    monkeypatch.setattr(library, "SECONDS", 0.2)
    (lock,) = (tmp_path / "cache/hornlib/kernels").glob("*.lock")
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert isinstance(load("field", "float"), ctypes.CDLL)


@needs_compiler
def test_a_library_in_a_cache_that_cannot_be_written_is_used(monkeypatch):
    load("field", "float")
    load.cache_clear()

    open_ = library.Path.open

    def refuse(path, mode="r", **others):
        if "w" in mode:
            raise OSError(errno.EROFS, "Read-only file system")
        return open_(path, mode, **others)

    monkeypatch.setattr(library.Path, "open", refuse)
    calls = count_compilations(monkeypatch)
    assert isinstance(load("field", "float"), ctypes.CDLL) and not calls


@needs_compiler
def test_a_full_disk_leaves_nothing_in_the_cache_and_stops_nobody(tmp_path, monkeypatch):
    def fill(path, content):
        with path.open("wb") as file:
            file.write(content[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(library.Path, "write_bytes", fill)
    assert isinstance(load("field", "float"), ctypes.CDLL)
    assert [path.suffix for path in (tmp_path / "cache/hornlib/kernels").iterdir()] == [".lock"]


@needs_compiler
def test_a_user_without_a_home_compiles_for_each_process(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(library.Path, "home", homeless)
    assert isinstance(load("field", "float"), ctypes.CDLL)


@needs_compiler
def test_a_cache_that_may_hold_no_programs_is_named(monkeypatch):
    def refuse(path):
        raise OSError(f"{path}: failed to map segment from shared object: Operation not permitted")

    monkeypatch.setattr(library.ctypes, "CDLL", refuse)
    assert "Operation not permitted); XDG_CACHE_HOME names" in library.why_not("field", "float")


def test_nobody_waits_for_ever_for_another_process(tmp_path, monkeypatch):
    folder = tmp_path / "cache/hornlib/kernels"
    folder.mkdir(parents=True)
    monkeypatch.setattr(library, "SECONDS", 0.2)
    monkeypatch.setattr(
        library.hashlib, "sha256", lambda content: type("", (), {"hexdigest": lambda self: "0" * 64})()
    )
    with (folder / f"field-{'0' * 16}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert "another process has been compiling" in library.why_not("field", "float")


def program(tmp_path, text):
    path = tmp_path / "cc"
    path.write_text(f"#!{sys.executable}\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@needs_compiler
def test_kernels_are_compiled_from_a_zip(tmp_path):
    archive = snapshot("hornlib", tmp_path)
    code = (
        "from hornlib.kernels import library; assert '.zip' in library.__file__, library.__file__; "
        "print(*(library.why_not(name, 'float') or 'compiled' for name in ('field', 'recurrence')))"
    )
    command = library.compiler()
    quick = program(tmp_path, f"import os, sys; os.execv({command!r}, [{command!r}, *sys.argv[1:], '-O0'])")
    environment = os.environ | {"PYTHONPATH": str(archive), "CC": quick}
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == ["compiled", "compiled"]


@pytest.mark.parametrize(
    ("compiler", "message"),
    [
        ("", "there is no C compiler"),
        ("import sys; sys.exit('fatal: no space')", "failed (1): fatal: no space"),
        ("import time; time.sleep(60)", "was stopped after"),
        ("import subprocess; subprocess.run(['sleep', '60'])", "was stopped after"),
        (
            "import sys; open(sys.argv[sys.argv.index('-o') + 1], 'w').write('?')",
            "no kernel can be compiled or loaded",
        ),
        ("pass", "made no library"),
    ],
    ids=["none", "fails", "slow", "slow-child", "garbage", "nothing"],
)
def test_without_a_library_the_reason_is_said_and_the_loop_runs(tmp_path, monkeypatch, compiler, message):
    if message == "was stopped after":
        monkeypatch.setattr(library, "SECONDS", 1)
    monkeypatch.setenv("CC", program(tmp_path, compiler) if compiler else str(tmp_path / "no compiler"))
    with pytest.raises(KernelError) as caught:
        load("field", "float")
    assert message in str(caught.value)
    assert message in library.why_not("field", "float")
    assert not route.is_fused("field", torch.zeros(1))
    assert not cached(tmp_path)


@needs_compiler
def test_a_kill_during_the_compilation_leaves_nothing_that_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # what the killed process leaves
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
