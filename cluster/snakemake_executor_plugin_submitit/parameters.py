"""Conversion of a rule's resources to sbatch's parameters; it refuses text that could change the batch script."""

import re
import shlex
import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["ParameterError", "describe_array", "sbatch_parameters", "with_more_memory", "without_nodes"]


class ParameterError(ValueError):
    """A resource that sbatch cannot be given."""


RESOURCES = {
    "mem_mb": "memory of a job in MB",
    "mem_mb_per_cpu": "memory of a CPU in MB, instead of mem_mb",
    "runtime": "time limit in minutes",
    "cpus_per_task": "CPUs of a job; default: the rule's threads",
    "slurm_partition": "partition",
    "slurm_account": "account",
    "gres": "generic resources, e.g. gpu:a100:1",
    "gpu": "number of GPUs, e.g. 1",
    "gpus_per_node": "number of GPUs, with a type if wished: a100:1",
    "constraint": "features that the node must have",
    "qos": "quality of service",
    "slurm_extra": "further options of sbatch, e.g. --nice=100 --exclude=n7",
}
"""The resources that the executor understands; it ignores all others."""

TEXTS = {"slurm_partition": "partition", "slurm_account": "account", "constraint": "constraint", "qos": "qos"}
"""Resource -> submitit's parameter, for values that are passed on unchanged."""

OURS = {
    *(
        "array",
        "comment",
        "job-name",
        "output",
        "error",
        "input",
        "requeue",
        "no-requeue",
        "signal",
        "open-mode",
    ),
    *("wrap", "parsable", "chdir", "wait", "dependency", "export", "test-only", "begin"),
    *(
        "time",
        "mem",
        "mem-per-cpu",
        "cpus-per-task",
        "partition",
        "account",
        "gres",
        "gpus-per-node",
        "constraint",
    ),
    *("qos", "nodes", "ntasks", "ntasks-per-node", "ntasks-per-core", "ntasks-per-socket", "ntasks-per-gpu"),
    *("clusters", "cluster-constraint", "hold", "quiet"),
}
"""Options refused in slurm_extra: the executor sets them, a resource sets them, or they would run a job twice."""


def sbatch_parameters(
    resources: Mapping[str, Any], threads: int, jobs_per_task: int = 1, signal_seconds: int = 120
) -> dict[str, Any]:
    """Return submitit's parameters for a job with these resources.

    Args:
        resources: the rule's resources, strings and integers.
        threads: the rule's threads.
        jobs_per_task: jobs side by side in one task; CPUs and memory grow with it, GPUs and time do not.
        signal_seconds: how many seconds before the time limit a job is told to save.

    Raises:
        ParameterError: a value of the wrong kind, two that contradict each other, or one with control characters.
    """
    given = {name: resources[name] for name in RESOURCES if resources.get(name) not in (None, "")}
    for name, value in given.items():
        _refuse_control_characters(name, str(value))
    if "mem_mb" in given and "mem_mb_per_cpu" in given:
        raise ParameterError("mem_mb and mem_mb_per_cpu contradict each other: set one of them")
    gpus = [name for name in ("gres", "gpu", "gpus_per_node") if name in given and str(given[name]) != "0"]
    if len(gpus) > 1:
        raise ParameterError(f"{' and '.join(gpus)} ask for GPUs twice: set one of them")
    minutes = _positive("runtime", given.get("runtime", 60))
    parameters: dict[str, Any] = {
        "time": minutes,
        "cpus_per_task": jobs_per_task * _positive("cpus_per_task", given.get("cpus_per_task", threads)),
        # earlier than the slowest save takes, yet not in the first half of a short job
        "signal_delay_s": max(1, min(signal_seconds, minutes * 60 // 3)),
        "stderr_to_stdout": True,
    }
    if "mem_mb" in given:
        parameters["mem"] = f"{jobs_per_task * _positive('mem_mb', given['mem_mb'])}MB"
    if "mem_mb_per_cpu" in given:
        parameters["mem_per_cpu"] = f"{_positive('mem_mb_per_cpu', given['mem_mb_per_cpu'])}MB"
    for name, target in TEXTS.items():
        if name in given:
            parameters[target] = str(given[name])
    if gpus:
        target = "gres" if gpus == ["gres"] else "gpus_per_node"
        parameters[target] = _gpus(gpus[0], str(given[gpus[0]]))
    extra = _extra(str(given["slurm_extra"])) if "slurm_extra" in given else {}
    parameters["additional_parameters"] = {"requeue": True, **extra}
    return parameters


def with_more_memory(parameters: Mapping[str, Any], factor: float) -> dict[str, Any] | None:
    """Return the parameters with more memory, or None if they ask for no memory.

    Args:
        parameters: the parameters of sbatch.
        factor: new memory over old memory.
    """
    for key in ("mem", "mem_per_cpu"):
        if key in parameters:
            megabytes = int(str(parameters[key]).removesuffix("MB"))
            return {**parameters, key: f"{int(megabytes * factor)}MB"}
    return None


def without_nodes(parameters: Mapping[str, Any], nodes: Iterable[str]) -> dict[str, Any]:
    """Return the parameters with further nodes excluded.

    Args:
        parameters: the parameters of sbatch.
        nodes: names of nodes.
    """
    extra = dict(parameters["additional_parameters"])
    listed = [node for node in str(parameters.get("exclude", extra.pop("exclude", ""))).split(",") if node]
    excluded = ",".join(dict.fromkeys([*listed, *nodes]))
    return {**parameters, "exclude": excluded, "additional_parameters": extra}


def describe_array(uuid: str, names: list[str]) -> tuple[str, str]:
    """Return the name and the comment of an array.

    The name holds the words that all jobs share. The comment begins with the batch's uuid, by which an array is found
    again, and goes on with the first and the last job.

    Args:
        uuid: the batch's name.
        names: the names of its jobs.
    """
    words = [_plain(name).split() or ["job"] for name in names]
    others = [set(other) for other in words[1:]]
    common = [word for word in words[0] if all(word in other for other in others)] or words[0][:1]
    short = textwrap.shorten(" ".join(common), 60, placeholder="").strip(" ,:(") or common[0][:60]
    name = short + (f" x{len(names)}" if len(names) > 1 else "")
    span = _plain(names[0]) if len(names) == 1 else f"{_plain(names[0])} ... {_plain(names[-1])}"
    return name, f"{uuid} {span}"[:400]


def _plain(text: str) -> str:
    """Control characters become spaces: a newline in a comment would be a line of the batch script."""
    return "".join(character if character.isprintable() else " " for character in text) or "job"


def _refuse_control_characters(name: str, value: str) -> None:
    if not value.isprintable():
        raise ParameterError(f"{name}: {value!r} has control characters, which no option of sbatch may have")


def _positive(name: str, value: Any) -> int:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | str)
        or not re.fullmatch(r"\d{1,15}(\.0*)?", str(value), re.ASCII)
    ):
        raise ParameterError(f"{name}: {value!r} is not a whole number ({RESOURCES[name]})")
    number = int(float(value))
    if number < 1:
        raise ParameterError(f"{name}: {value!r} must be at least 1 ({RESOURCES[name]})")
    return number


def _gpus(name: str, value: str) -> str:
    pattern = (
        r"gpu(:[\w.-]+)*(,\w+(:[\w.-]+)*)*|\w+(:[\w.-]+)*(,\w+(:[\w.-]+)*)*"
        if name == "gres"
        else r"([\w.-]+:)?\d+"
    )
    if not re.fullmatch(pattern, value):
        example = "gpu:a100:1" if name == "gres" else "1 or a100:1"
        raise ParameterError(f"{name}: {value!r} is no request for GPUs; write e.g. {example}")
    return value


def _extra(text: str) -> dict[str, Any]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ParameterError(f"slurm_extra: {text!r}: {error}") from None
    extra: dict[str, Any] = {}
    for word in words:
        match = re.fullmatch(r"--([a-z][a-z-]*)(?:=(.*))?", word)
        if match is None:
            raise ParameterError(f"slurm_extra: {word!r} is no option of the form --name or --name=value")
        if match[1] in OURS:
            raise ParameterError(
                f"slurm_extra: --{match[1]} is not for here: it has a resource of its own, or is the executor's"
            )
        extra[match[1]] = True if match[2] is None else match[2]
    return extra
