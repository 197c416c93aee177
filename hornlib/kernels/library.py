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
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path

from hornlib.errors import HornlibError

__all__ = ["KernelError", "compiler", "cpu_model", "load", "why_not"]

FLAGS = ("-O2", "-march=native", "-std=c11", "-fPIC", "-shared", "-ffp-contract=fast", "-fno-math-errno")
SECONDS = 120
"""A compiler that takes longer is stopped."""


class KernelError(HornlibError):
    """A kernel cannot be compiled or loaded here; the message says why."""


@functools.cache
def load(name: str, real: str) -> ctypes.CDLL:
    """Return the library of `<name>.c`, compiled now if the cache does not have it.

    Processes that need it at the same time wait for the first of them. Without a cache folder that can be written,
    every process compiles for itself.

    Args:
        name: of the source file in this folder, without its suffix.
        real: the type of its numbers, "float" or "double".

    Raises:
        KernelError: there is no compiler, it failed, or its library cannot be loaded.
    """
    source = b"".join(files(__package__).joinpath(file).read_bytes() for file in ("vectors.h", f"{name}.c"))
    flags = (*FLAGS, f"-DREAL={real}")
    recipe = "\0".join([*flags, cpu_model(), _instructions()]).encode() + source
    stem = f"{name}-{hashlib.sha256(recipe).hexdigest()[:16]}"
    with tempfile.TemporaryDirectory() as scratch:
        folder = _writable_cache() or Path(scratch)
        with _locked(folder / f"{stem}.lock"):
            path = _sound(folder, stem)
            if path is None:
                path = _compiled(source, flags, folder, stem)
            try:
                return ctypes.CDLL(str(path))
            except OSError as error:  # such as a folder that may hold no programs
                raise KernelError(f"{path}: the compiled kernel cannot be loaded ({error})") from error


@functools.cache
def why_not(name: str, real: str = "float") -> str:
    """Return why a library cannot be used on this machine, "" if it can; the first call compiles it.

    Args:
        name: as in `load`, like the other.
        real: the type of its numbers.
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


def _writable_cache() -> Path | None:
    """Return hornlib's folder of kernels in the user's cache, or None where no file can be made there."""
    try:
        folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hornlib" / "kernels"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError):  # RuntimeError: a user without a home folder
        return None


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Let one process compile while the others wait; a file system without locks lets all of them compile."""
    with path.open("w") as file:
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _sound(folder: Path, stem: str) -> Path | None:
    """Return a compiled library whose content has the digest in its name; damaged ones are removed."""
    for path in folder.glob(f"{stem}-*.so"):
        with suppress(OSError):
            if path.name == _library_name(stem, path.read_bytes()):
                return path
            path.unlink()
    return None


def _library_name(stem: str, content: bytes) -> str:
    return f"{stem}-{hashlib.sha256(content).hexdigest()[:32]}.so"


def _compiled(source: bytes, flags: tuple[str, ...], folder: Path, stem: str) -> Path:
    command = compiler()
    if not command:
        raise KernelError("there is no C compiler (cc, or the one that $CC names)")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        library = Path(scratch, "kernel.so")
        try:
            subprocess.run(
                [command, *flags, "-x", "c", "-", "-o", str(library), "-lm"],
                input=source,
                capture_output=True,
                timeout=SECONDS,
                check=True,
            )
            path = folder / _library_name(stem, library.read_bytes())
            os.replace(library, path)
        except subprocess.TimeoutExpired:
            raise KernelError(f"{command} was stopped after {SECONDS} s") from None
        except subprocess.CalledProcessError as error:
            words = error.stderr.decode(errors="replace").strip().splitlines() or ["it said nothing"]
            raise KernelError(f"{command} failed ({error.returncode}): {words[0]}") from None
        except OSError as error:
            raise KernelError(f"{command}: {error.strerror or error}") from error
    return path
