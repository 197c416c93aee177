"""The executor's settings: --submitit-<name> on the command line, submitit-<name> in a profile."""

from dataclasses import dataclass, field
from typing import Any

from snakemake_interface_executor_plugins.settings import ExecutorSettingsBase

__all__ = ["ExecutorSettings"]


def _setting(default: Any, text: str, **metadata: Any) -> Any:
    return field(default=default, metadata={"help": text, "type": str, **metadata})


def _as_list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _list_setting(text: str) -> Any:
    metadata = {"nargs": "+", "parse_func": _as_list, "unparse_func": _as_list}
    return field(default=None, metadata={"help": text, **metadata})


@dataclass
class ExecutorSettings(ExecutorSettingsBase):
    """How jobs reach the cluster."""

    folder: str | None = _setting(
        None,
        "Folder of batch records and task logs; every node must see it. Default: .snakemake/submitit in the working "
        "directory.",
    )
    cluster: str | None = _setting(
        "slurm",
        "Where jobs run: slurm, local (processes of this machine), or debug (this process, one after the other).",
        choices=["slurm", "local", "debug"],
    )
    array_size: int | None = _setting(
        0, "Most tasks of one job array; 0: as many as SLURM takes (MaxArraySize).", type=int
    )
    array_parallelism: int | None = _setting(
        0, "Most tasks of one array that run at the same time (SLURM's %%N); 0: no limit.", type=int
    )
    jobs_per_task: int | None = _setting(
        1,
        "Small jobs packed into one task, side by side on its GPU; CPUs and memory are multiplied.",
        type=int,
    )
    setup: list[str] | None = _list_setting(
        "Shell lines that run on the node before the jobs, e.g. 'module load cuda'."
    )
    snapshot: list[str] | None = _list_setting(
        "Python packages of which a zip is made when jobs are submitted and put first on PYTHONPATH, so that later "
        "edits do not reach jobs in the queue.",
    )
    on_interrupt: str | None = _setting(
        "cancel",
        "What Ctrl-C does with submitted jobs: cancel them, or leave them running.",
        choices=["cancel", "leave"],
    )
    requeues: int | None = _setting(
        5, "Restarts in a row that find the checkpoint unchanged before a job counts as stuck.", type=int
    )
    memory_retries: int | None = _setting(
        2, "How often a job that ran out of memory is submitted again with twice as much.", type=int
    )
    signal_seconds: int | None = _setting(
        120,
        "How long before its time limit a job is told to save (SIGUSR2); at most a third of the limit. Choose more "
        "than the slowest save takes.",
        type=int,
    )
    poll_min: float | None = _setting(
        0.5, "Shortest pause between two queries of the queue, in seconds.", type=float
    )
    poll_max: float | None = _setting(
        60.0,
        "Longest pause between two queries, in seconds; pauses grow with the age of the sweep.",
        type=float,
    )

    def __post_init__(self) -> None:
        """Refuse what no cluster can do.

        Raises:
            WorkflowError: a value out of its range.
        """
        from snakemake_interface_common.exceptions import WorkflowError

        bounds = {"array_size": 0, "array_parallelism": 0, "jobs_per_task": 1, "requeues": 0, "memory_retries": 0,
                  "signal_seconds": 1, "poll_min": 0.05, "poll_max": 0.05}  # fmt: skip
        for name, least in bounds.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise WorkflowError(f"--submitit-{name.replace('_', '-')}: {value} is less than {least}")
