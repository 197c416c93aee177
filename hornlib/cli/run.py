"""`hornlib run`: train what is missing of a configuration, judge it, and print the answer."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from hornlib.cli.options import DEFAULT_CONFIG, ConfigFiles, Limit, complete_sweep
from hornlib.config.commands import CONFIG_VARIABLE, configuration_options, joined
from hornlib.config.copies import COPIES_VARIABLE
from hornlib.config.messages import counted
from hornlib.errors import ConfigError

if TYPE_CHECKING:
    from hornlib.grid import Grid

__all__ = ["answer", "run"]

INTERRUPTED = 130
"""Exit status after Ctrl-C, as a shell has it."""


def run(
    sweeps: Annotated[
        list[str] | None, typer.Argument(help="Sweeps; default: all.", autocompletion=complete_sweep)
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            help="key=value: only these cells, as `hornlib plan --where` has it. `seed=0` chooses the jobs that "
            "contain the seed: their other seeds are trained, too. May be repeated."
        ),
    ] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="key=value: another value for this call, e.g. training.steps=20 or seeds=3. It holds in every sweep. "
            "The configuration with the new values is written to RESULTS/configurations/, its name is printed, and "
            "later commands take it with --configfile. May be repeated.",
        ),
    ] = None,
    limit: Limit = None,
    cores: Annotated[int | None, typer.Option(min=1, help="CPU cores; default: all.")] = None,
    configfile: ConfigFiles = None,
    profile: Annotated[
        Path | None, typer.Option(help="A profile of Snakemake, e.g. cluster/slurm; it may set the cores.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", "-n", help="Only print what would be done.")] = False,
) -> None:
    """Train what is missing, judge it, and print the answer. The same command goes on after Ctrl-C.

    No code in the configuration runs, as it would with the --configfile of Snakemake itself. The configuration is read
    when the command starts: an edit meanwhile holds from the next call on.

    A chosen part is trained and judged alone, as a preliminary result, while other runs are missing.
    """
    from hornlib.results.configuration_copies import read_grid_for_workflow

    files = list(configfile or [DEFAULT_CONFIG])
    with tempfile.TemporaryDirectory() as folder:
        if assignments:
            from hornlib.cli.overrides import parse_assignment, write_overridden

            values = [parse_assignment(text) for text in assignments]
            changed = f"{' and '.join(map(str, files))} with {', '.join(assignments)}"
            files = [write_overridden(files, values, Path(folder) if dry_run else None)]
            print(f"configuration: {changed if dry_run else files[0]}", file=sys.stderr)
        grid, copies = read_grid_for_workflow(files)
        targets = _targets(grid, sweeps or [], where or [], limit)
        snakemake = _snakemake(cores, profile, dry_run)
        os.environ[CONFIG_VARIABLE] = _variable(files)
        if not dry_run:  # from here on an edit of the files holds from the next call on
            copies.write()
            os.environ[COPIES_VARIABLE] = copies.variable()
        status = _call(snakemake, targets)
        if dry_run:
            sys.exit(status)
    if status == 0 and targets:
        status = _judge_part(grid) if _is_unfinished(grid) else _call(snakemake, [])
    if status:
        _print_unfinished(grid)
        sys.exit(status)
    print()
    _print_answer(grid, sweeps or [])


def answer(
    configfile: ConfigFiles = None,
    sweeps: Annotated[
        list[str] | None, typer.Option("--sweep", help="Only this sweep; may be repeated.")
    ] = None,
) -> None:
    """Print the answer of every sweep again, where the report and the results are, and what to do next."""
    from hornlib.grid import read_grid

    _print_answer(read_grid(configfile or [DEFAULT_CONFIG]), sweeps or [])


def _print_answer(grid: "Grid", sweeps: Sequence[str]) -> None:
    from hornlib.cli.conclusion import answer_lines

    for line in answer_lines(grid, _checked_sweeps(grid, sweeps)):
        print(line)


def _checked_sweeps(grid: "Grid", sweeps: Sequence[str]) -> list[str]:
    """Return the names, each once.

    Raises:
        ConfigError: there is no such sweep.
    """
    return list(dict.fromkeys(grid.sweep(name).name for name in sweeps))


def _targets(grid: "Grid", sweeps: Sequence[str], where: Sequence[str], limit: int | None) -> list[str]:
    """Return the run files of the chosen part; none where nothing is chosen, which means everything.

    Raises:
        ConfigError: a sweep, a key or a value that the configuration does not have.
    """
    from hornlib.grid.jobs import scan_runs
    from hornlib.plan.choosing_cells import Condition, parse_condition, select
    from hornlib.plan.plan import Plan

    if not sweeps and not where and limit is None:
        return []
    conditions = [Condition("sweep", name) for name in _checked_sweeps(grid, sweeps)]
    conditions += [parse_condition(text) for text in where]
    seeds = {condition.value for condition in conditions if condition.key == "seed"}
    conditions = [condition for condition in conditions if condition.key != "seed"]
    chosen = Plan(grid, select(grid, conditions, limit=limit), scan_runs(grid.settings.results))
    jobs = [job for job in chosen.jobs if not seeds or seeds & set(job.range.seeds())]
    if not jobs:
        valid = sorted(set().union(*chosen.seeds.values()))
        raise ConfigError(f"--where seed: no cell has it; valid: {', '.join(map(str, valid))}")
    return [str(grid.run_path(job)) for job in jobs]


def _is_unfinished(grid: "Grid") -> bool:
    from hornlib.cli.conclusion import num_missing_runs

    return num_missing_runs(grid) > 0


def _judge_part(grid: "Grid") -> int:
    """Gather what is finished into partial.nc, judge it, and write the report; return the exit status."""
    options = [word for file in grid.files for word in ("--configfile", str(file))]
    partial = str(Path(grid.settings.results) / "partial.nc")
    for words in (["gather", "--partial"], ["statistics", "--results", partial], ["report"]):
        print(f"hornlib {' '.join(words)}", file=sys.stderr)
        status = _call([sys.executable, "-m", "hornlib.cli", *words, *options], [], stdout=subprocess.DEVNULL)
        if status:
            return status
    return 0


def _print_unfinished(grid: "Grid") -> None:
    from hornlib.cli.conclusion import num_missing_runs

    options = configuration_options(grid.files)
    missing = num_missing_runs(grid)
    state = (
        f"{counted(missing, 'run')} missing"
        if missing
        else "every run is trained, and the report is not made"
    )
    print(
        f"\nnot finished: {state}. The same command goes on; `hornlib status --failed{options}` shows which training "
        f"and tuning jobs failed and the end of their logs. The logs of all other rules are in "
        f"{Path(grid.settings.results) / 'logs'}.",
        file=sys.stderr,
    )


def _variable(files: Sequence[Path]) -> str:
    """Return the value of the environment variable that names the configuration files to Snakemake.

    Raises:
        ConfigError: a path contains the character that separates two files.
    """
    for file in files:
        if os.pathsep in str(file):
            raise ConfigError(
                f"{file}: the path of a configuration must not contain {os.pathsep!r}; rename it"
            )
    return joined(files)


def _snakemake(cores: int | None, profile: Path | None, dry_run: bool) -> list[str]:
    """Return the command without its targets.

    Raises:
        ConfigError: there is no Snakefile, or not its profile, without which edited rules would train runs anew.
    """
    snakefile = _snakefile()
    defaults = snakefile.parent / "profiles" / "default"
    if not (defaults / "config.yaml").exists():
        raise ConfigError(
            f"{defaults / 'config.yaml'}: there is no such file, and without its settings finished runs would be "
            "trained again; copy the folder profiles/ of the repository to this place"
        )
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile)]
    command += ["--workflow-profile", str(defaults)]
    # a dry run is asked for its reasons; later they are long lists of files
    command += ["--dry-run"] if dry_run else ["--quiet", "reason"]
    if profile is not None:
        command += ["--profile", str(profile)]
    if cores is not None or profile is None:
        command += ["--cores", str(cores or os.cpu_count() or 1)]
    return command


def _snakefile() -> Path:
    """Return the Snakefile of this folder if it is hornlib's, else that of the clone from which hornlib is installed.

    Raises:
        ConfigError: there is neither.
    """
    clone = Path(__file__).resolve().parents[2]
    for folder in (Path(), clone):
        file = folder / "Snakefile"
        if file.is_file() and "from hornlib.grid" in file.read_text(encoding="utf-8", errors="replace"):
            return file
    raise ConfigError(
        f"there is no Snakefile of hornlib here, nor in {clone}; call `hornlib run` in a clone of the repository"
    )


def _call(command: Sequence[str], targets: Sequence[str], stdout: int | None = None) -> int:
    """Run a program to its end and return its exit status; Ctrl-C reaches it, and its end is waited for."""
    environment = {**os.environ, "HORNLIB_RUN": "1"}
    # rules call `hornlib`, which lies beside this Python whether or not the environment is activated
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), environment.get("PATH", "")])
    environment.setdefault("OMP_NUM_THREADS", "1")
    words = [*command, "--", *targets] if targets else list(command)
    # In a group of its own the program, and all that it starts, gets each signal once, from a terminal or from `kill`.
    with (
        _passed_on() as signals,
        subprocess.Popen(words, env=environment, stdout=stdout, process_group=0) as process,
    ):
        signals.attach(process.pid)
        status = process.wait()
    if status and signal.SIGINT in signals.numbers:
        return INTERRUPTED
    return status if status >= 0 else 128 - status  # ended by a signal: the status that a shell has for it


PASSED_ON = (
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGTSTP,
    signal.SIGCONT,
)
"""What a terminal, a shell or a person sends to this process, and what the program and all that it started need."""


@dataclass
class _Signals:
    """The signals that came while a program runs, and the group of processes that they are passed on to."""

    numbers: list[int] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    group: int | None = None

    def attach(self, group: int) -> None:
        """Pass on to a group of processes what came before it existed, and all that comes later."""
        self.group = group
        while self.waiting:
            _send(self.waiting.pop(0), group)

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Pass a signal on; Ctrl-Z then stops this process, too, so that the shell sees that it stopped.

        Args:
            number: number of the signal.
            frame: the interrupted stack frame, which Python passes to every handler; it is not used.
        """
        self.numbers.append(number)
        if self.group is None:
            self.waiting.append(number)
        else:
            _send(number, self.group)


def _send(number: int, group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, number)
    if number == signal.SIGTSTP:
        os.kill(os.getpid(), signal.SIGSTOP)


@contextmanager
def _passed_on() -> Iterator[_Signals]:
    """Pass signals on instead of ending; a program that starts meanwhile has the usual handlers.

    What the caller ignores stays ignored, here and in the program, as `nohup` wants it for SIGHUP.
    """
    signals = _Signals()
    numbers = [number for number in PASSED_ON if signal.getsignal(number) != signal.SIG_IGN]
    handlers = {number: signal.signal(number, signals.receive) for number in numbers}
    try:
        yield signals
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
