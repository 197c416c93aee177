"""What SLURM's programs print: tasks, exit codes and memory. Text that is not understood is no error."""

import re

__all__ = ["TaskId", "parse_exit_code", "parse_megabytes", "parse_task_ids"]

TaskId = tuple[str, int]
"""Array and task: ("123", 4) for 123_4."""

_TASKS = re.compile(
    r"(?P<array>\d{1,10})(?:_(?:(?P<task>\d{1,7})|\[(?P<tasks>[\d,\-:]+)(?:%\d+)?\]))?", re.ASCII
)
_RANGE = re.compile(
    r"(\d{1,7})(?:-(\d{1,7})(?::(\d{1,7}))?)?", re.ASCII
)  # no array has more than 4 million tasks


def parse_task_ids(text: str) -> list[TaskId]:
    """Return the tasks that `12`, `12_3` or `12_[0,2,5-9%4]` names; an empty list for any other text."""
    match = _TASKS.fullmatch(text.strip())
    if match is None:
        return []
    array = match["array"]
    if match["tasks"] is None:
        return [(array, int(match["task"] or 0))]
    task_ids: list[TaskId] = []
    for part in match["tasks"].split(","):
        bounds = _RANGE.fullmatch(part)
        if bounds is None:
            return []
        first = int(bounds[1])
        last, step = int(bounds[2] or first), int(bounds[3] or 1)
        task_ids.extend((array, task) for task in range(first, last + 1, max(step, 1)))
    return task_ids


def parse_exit_code(text: str) -> tuple[int, int]:
    """Return exit code and signal of `1:0`; (0, 0) for any other text."""
    match = re.fullmatch(r"(\d{1,9}):(\d{1,9})", text.strip(), re.ASCII)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def parse_megabytes(text: str) -> float:
    """Return the megabytes of `123456K`, `1.5G` or bytes without a unit; -1 for any other text."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([KMGT]?)", text.strip(), re.ASCII)
    if match is None:
        return -1.0
    return float(match[1]) * {"": 2**-20, "K": 2**-10, "M": 1.0, "G": 2.0**10, "T": 2.0**20}[match[2]]
