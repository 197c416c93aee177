"""Wrong configurations: each is read, planned and printed in a process of its own, and its outcome is counted."""

import io
import multiprocessing
import os
import random
import resource
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fuzz.mutations import mutated

__all__ = ["OUTCOMES", "Case", "cases", "sources", "table"]

REPOSITORY = Path(__file__).resolve().parents[2]

SECONDS, BYTES = 5.0, 10**9
"""Most processor time and memory that a configuration may cost."""

CPU_LIMIT, DATA_LIMIT = 20, 4 * 10**9
"""Limits at which the process is ended, in s and bytes."""

GOOD = ("accepted", "refused")

OUTCOMES = (
    *GOOD,
    "refused without file",
    "traceback",
    "crash or limit",
    "file or command",
    "above 5 s",
    "above 1 GB",
)

WRITING = ("os.", "shutil.", "subprocess.", "socket.", "pty.")
"""Beginnings of the names of Python's audit events that change files or start something."""

HARMLESS = (
    "os.listdir",
    "os.scandir",
    "os.walk",
    "os.fwalk",
    "os.getxattr",
    "os.listxattr",
    "os.putenv",
    "os.unsetenv",
)


class Case(NamedTuple):
    """A judged configuration.

    Attributes:
        name: of the file that was changed, and the seed of the changes.
        outcome: one of `OUTCOMES`.
        detail: the message or the end of the traceback.
        seconds: processor time.
        num_bytes: peak memory of the process.
    """

    name: str
    outcome: str
    detail: str
    seconds: float
    num_bytes: int


def sources() -> list[Path]:
    """Return the configurations of the repository."""
    return [REPOSITORY / "config.yaml", *sorted((REPOSITORY / "config").glob("*.yaml"))]


def cases(number: int, seed: int = 0) -> Iterator[Case]:
    """Yield judged configurations; each file of the repository is changed in turn.

    Args:
        number: how many.
        seed: every number from here on changes one file.
    """
    files = sources()
    texts = [file.read_text(encoding="utf-8") for file in files]
    _load_program()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as cache:
        for index in range(seed, seed + number):
            file = files[index % len(files)]
            content = mutated(texts[index % len(files)], random.Random(f"{file.name} {index}"))
            yield _judged(f"{file.name}, seed {index}", content, Path(folder), cache)


def table(number: int, seed: int = 0) -> list[str]:
    """Return the lines of a table in Markdown, and one line for each bad outcome.

    Args:
        number: how many configurations.
        seed: of all that is random.
    """
    judged = list(cases(number, seed))
    counts = Counter(case.outcome for case in judged)
    lines = [
        f"| configurations | {' | '.join(OUTCOMES)} | longest | largest |",
        "|---|" + "---:|" * (len(OUTCOMES) + 2),
        f"| {number:,} | {' | '.join(f'{counts[outcome]:,}' for outcome in OUTCOMES)} "
        f"| {max(case.seconds for case in judged):.1f} s "
        f"| {max(case.num_bytes for case in judged) / 1e6:,.0f} MB |",
    ]
    bad = [f"- {case.name}: {case.outcome}: {case.detail}" for case in judged if case.outcome not in GOOD]
    return [*lines, "", *bad]


def _load_program() -> None:
    """Import what the children need, torch included, so that their time is that of the configuration alone.

    A plan compiles the fused kernels at their first use. Here they are compiled before any configuration is read.
    """
    import fvcore.nn  # noqa: F401
    import torch
    import torchvision  # noqa: F401

    import hornlib.grid.digests
    import hornlib.grid.labels
    import hornlib.grid.shapes
    import hornlib.plan.choosing_cells
    import hornlib.plan.plan
    import hornlib.plan.table  # noqa: F401
    from hornlib.kernels.library import SOURCES, why_not

    torch.set_num_threads(1)  # a fork has one thread
    for library in SOURCES:
        why_not(library, "float")


def _judged(name: str, content: bytes, folder: Path, cache: str) -> Case:
    """Judge a configuration in a child process, and look at what the child did.

    Args:
        name: of the case.
        content: of the configuration file.
        folder: an empty folder; it is the child's working folder.
        cache: the folder where children remember counts of networks, the one place where they may write.
    """
    path = folder / "config.yaml"
    path.write_bytes(content)
    receiving, sending = multiprocessing.Pipe(duplex=False)
    child = os.fork()
    if child == 0:
        _run_child(path, cache, sending.fileno())
    sending.close()
    with os.fdopen(os.dup(receiving.fileno()), "rb") as stream:
        answer = stream.read().decode("utf-8", "replace")
    receiving.close()
    _, status, usage = os.wait4(child, 0)
    outcome, _, detail = answer.partition("\n")
    seconds, num_bytes = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    if os.WIFSIGNALED(status):
        outcome, detail = "crash or limit", signal.Signals(os.WTERMSIG(status)).name
    elif entries := sorted(entry.name for entry in folder.iterdir() if entry != path):
        outcome, detail = "file or command", f"left {', '.join(entries)}"
    elif outcome in GOOD and seconds > SECONDS:
        outcome, detail = "above 5 s", f"{seconds:.1f} s, {outcome}"
    elif outcome in GOOD and num_bytes > BYTES:
        outcome, detail = "above 1 GB", f"{num_bytes / 1e6:,.0f} MB, {outcome}"
    return Case(name, outcome, " ".join(detail.split())[-400:], seconds, num_bytes)


def _run_child(path: Path, cache: str, answer_to: int) -> None:
    """Read and plan the configuration, write outcome and detail to a descriptor, and end the process."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_LIMIT, CPU_LIMIT))
    resource.setrlimit(resource.RLIMIT_DATA, (DATA_LIMIT, DATA_LIMIT))
    os.chdir(path.parent)
    os.environ |= {"XDG_CACHE_HOME": cache, "TORCHINDUCTOR_CACHE_DIR": cache}
    sys.stdout = sys.stderr = io.StringIO()
    sys.dont_write_bytecode = True
    deeds: list[str] = []
    sys.addaudithook(lambda event, arguments: _note(deeds, cache, event, arguments))
    try:
        answer = _answer(path)
    except BaseException as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        answer = f"traceback\n{type(error).__name__}: {error} ({last.filename}:{last.lineno})"
    if deeds:
        answer = f"file or command\n{'; '.join(deeds[:3])}"
    os.write(answer_to, answer.encode("utf-8", "replace")[:4000])
    os._exit(0)


def _note(deeds: list[str], cache: str, event: str, arguments: tuple[object, ...]) -> None:
    """Note an event of Python that changes a file outside the cache, or that starts something."""
    if arguments and str(arguments[0]).startswith(cache):
        return
    if event == "open":
        _, mode, flags = arguments
        is_written = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if is_written or (isinstance(mode, str) and set(mode) & set("wax+")):
            deeds.append(f"open {arguments[0]!r}")
    elif event.startswith(WRITING) and event not in HARMLESS:
        deeds.append(f"{event} {arguments[:2]!r}")


def _answer(path: Path) -> str:
    """Do what `hornlib plan`, `plan --cells` and the workflow do with a configuration."""
    from rich.console import Console

    from hornlib.errors import HornlibError
    from hornlib.grid import read_grid
    from hornlib.grid.digests import report_digest
    from hornlib.grid.jobs import scan_runs
    from hornlib.grid.labels import labels_of
    from hornlib.grid.shapes import distinct_shapes
    from hornlib.plan.choosing_cells import select
    from hornlib.plan.plan import Plan
    from hornlib.plan.table import print_plan

    try:
        grid = read_grid([path])
        runs = scan_runs(grid.settings.results)
        grid.jobs(runs)
        print_plan(Plan(grid, select(grid, [], None, None), runs), Console(file=io.StringIO()))
        for sweep in grid.sweeps.values():
            labels_of(grid, sweep)
        distinct_shapes(grid.cells.values())
        report_digest(grid)
    except HornlibError as error:
        return f"{'refused' if path.name in str(error) else 'refused without file'}\n{error}"
    return "accepted\n"
