"""C sources compiled at first use by the machine's own compiler, and kept in the user's cache folder.

A cached library belongs to its source, to the flags and to the CPU, since the compiler may use every instruction that
this CPU has. Its name ends with the digest of its content, so that a damaged file is never loaded but made again.
"""

import ctypes
import fcntl
import functools
import hashlib
import os
import platform
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import IO

from hornlib.errors import HornlibError

__all__ = ["SOURCES", "KernelError", "compiler", "cpu_model", "load", "why_not"]

SOURCES = {"field": ("vectors.h", "field.c"), "recurrence": ("vectors.h", "products.h", "recurrence.c")}
"""Library -> its files, which are compiled as one text."""

FLAGS = ("-O2", "-march=native", "-std=c11", "-fPIC", "-shared", "-ffp-contract=fast", "-fno-math-errno")
SECONDS = 120
"""A compiler that takes longer is stopped."""


class KernelError(HornlibError):
    """A kernel cannot be compiled or loaded here; the message says why."""


@functools.cache
def load(name: str, real: str) -> ctypes.CDLL:
    """Return a library, compiled now if the cache does not have it.

    Processes that need it before it is there wait for the first of them. Where the cache cannot be written, every
    process compiles for itself.

    Args:
        name: field or recurrence.
        real: the type of its numbers, "float" or "double".

    Raises:
        KernelError: there is no compiler, it failed, or its library cannot be loaded.
    """
    source = b"".join(files(__package__).joinpath(file).read_bytes() for file in SOURCES[name])
    flags = (*FLAGS, f"-DREAL={real}")
    recipe = "\0".join([*flags, cpu_model(), _instructions()]).encode() + source
    stem = f"{name}-{hashlib.sha256(recipe).hexdigest()[:16]}"
    folder = _cache()
    try:
        if path := _sound(folder, stem):
            return _loaded(path)
        with tempfile.TemporaryDirectory() as scratch, _locked(folder / f"{stem}.lock"):
            path = _sound(folder, stem) or _stored(_compiled(source, flags, Path(scratch)), folder, stem)
            return _loaded(path)
    except OSError as error:  # such as a folder that may hold no programs
        raise KernelError(
            f"no kernel can be compiled or loaded here ({error}); XDG_CACHE_HOME names the folder of the cache"
        ) from error


@functools.cache
def why_not(name: str, real: str) -> str:
    """Return why a library cannot be used on this machine, "" if it can; the first call compiles it.

    Args:
        name: as in `load`.
        real: as in `load`.
    """
    try:
        load(name, real)
    except KernelError as error:
        return str(error)
    return ""


def compiler() -> str:
    """Return the path of the C compiler, which is $CC or `cc`; "" if there is none."""
    return shutil.which(os.environ.get("CC") or "cc") or ""


@functools.cache
def cpu_model() -> str:
    """Return the name of the CPU's model, such as "AMD EPYC 9554 64-Core Processor"."""
    return _cpu_info("model name") or platform.processor() or platform.machine()


def _instructions() -> str:
    return _cpu_info("flags") or _cpu_info("Features")


@functools.cache
def _cpu_info(key: str) -> str:
    """Return a value of Linux's list of CPUs; "" on another system."""
    with suppress(OSError):
        if line := re.search(rf"^{key}\s*: (.*)$", Path("/proc/cpuinfo").read_text("utf-8"), re.MULTILINE):
            return line[1].strip()
    return ""


def _cache() -> Path:
    """Return hornlib's folder of kernels in the user's cache, made if that is possible."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hornlib" / "kernels"
    except RuntimeError:  # a user without a home folder
        return Path(os.devnull)
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process compile while the others wait; all compile where no lock can be had.

    Raises:
        KernelError: another process has held the lock for longer than a compilation may take.
    """
    with ExitStack() as stack:
        with suppress(OSError):
            file = stack.enter_context(path.open("w"))
            deadline = time.monotonic() + SECONDS
            while not _lock(file):
                if time.monotonic() > deadline:
                    raise KernelError(f"another process has been compiling for {SECONDS} s; it holds {path}")
                time.sleep(0.05)
        yield


def _lock(file: IO[str]) -> bool:
    """Return whether the lock was free; this process has it then."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sound(folder: Path, stem: str) -> Path | None:
    """Return a compiled library whose content has the digest in its name; damaged ones are removed."""
    for path in folder.glob(f"{stem}-*.so"):
        with suppress(OSError):
            if path.name == _library_name(stem, path.read_bytes()):
                return path
            path.unlink()
    return None


def _loaded(path: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(path))
    except OSError:  # what a broken compiler made is not tried again
        with suppress(OSError):
            path.unlink()
        raise


def _library_name(stem: str, content: bytes) -> str:
    return f"{stem}-{hashlib.sha256(content).hexdigest()[:32]}.so"


def _stored(library: Path, folder: Path, stem: str) -> Path:
    """Return the path of a library in the cache; its own where the cache cannot be written."""
    content = library.read_bytes()
    path = folder / _library_name(stem, content)
    temporary = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}")  # nodes may share a home
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink()
        return library
    return path


def _compiled(source: bytes, flags: tuple[str, ...], folder: Path) -> Path:
    command = compiler()
    if not command:
        raise KernelError("there is no C compiler (cc, or the one that $CC names)")
    library = folder / "kernel.so"
    # A session of its own, so that a compiler can be stopped with all programs that it has started.
    with subprocess.Popen(
        [command, *flags, "-x", "c", "-", "-o", str(library), "-lm"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            _, complaint = process.communicate(source, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise KernelError(f"{command} was stopped after {SECONDS} s") from None
    if process.returncode:
        lines = complaint.decode(errors="replace").strip().splitlines() or ["it said nothing"]
        raise KernelError(f"{command} failed ({process.returncode}): {lines[0]}")
    if not library.exists():
        raise KernelError(f"{command} made no library")
    return library
