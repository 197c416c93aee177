"""Messages for refusals of sbatch and pending reasons of SLURM; they name the resource to change."""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from snakemake_executor_plugin_submitit.slurm import Slurm

__all__ = ["HOPELESS", "describe_resources", "explain_refusal"]

HOPELESS = {
    "PartitionNodeLimit": "no node of the partition has what the job asks for",
    "PartitionTimeLimit": "the time limit (runtime) is longer than the partition allows",
    "PartitionDown": "the partition is down",
    "PartitionInactive": "the partition is inactive",
    "BadConstraints": "no node has what constraint, gres or memory ask for",
    "InvalidAccount": "the account is not valid (slurm_account)",
    "InvalidQOS": "the quality of service is not valid (qos)",
    "JobHeldUser": "the job is held; release it with: scontrol release",
    "JobHeldAdmin": "the administrator holds the job",
    "QOSMaxWallDurationPerJobLimit": "the time limit (runtime) is longer than the quality of service allows",
    "AssocMaxWallDurationPerJobLimit": "the time limit (runtime) is longer than the account allows",
    "QOSMaxGRESPerJob": "the job asks for more GPUs than the quality of service allows",
    "AssocGrpGRES": "the account's GPUs are used up, or fewer than the job asks for",
}
"""Reasons for which a job may wait for ever, and their meaning."""


def explain_refusal(said: str, parameters: Mapping[str, Any], slurm: Slurm | None) -> str:
    """Return a message with the reason of a refusal, the valid values, and the resource to change.

    Args:
        said: the message of sbatch.
        parameters: the parameters of the submission.
        slurm: the SLURM to ask for valid values; None without one.
    """
    lower = said.lower()
    limit = next((meaning for reason, meaning in HOPELESS.items() if reason in said), None)
    if limit is not None or "qos policy" in lower:
        meaning = limit or "a limit of the account or the quality of service is exceeded"
        return (
            f"sbatch refused: {said}: {meaning}. Change the resources, now {describe_resources(parameters)}"
        )
    if "invalid account" in lower:
        command = ["sacctmgr", "-n", "-P", "show", "associations", "where", "user=$USER", "format=account"]
        valid = slurm.names(_with_user(command)) if slurm else []
        return _advice(said, "slurm_account", str(parameters.get("account", "")), valid)
    if "partition" in lower and "partition" in parameters:
        valid = slurm.names(["sinfo", "-h", "-o", "%R"]) if slurm else []
        return _advice(said, "slurm_partition", str(parameters["partition"]), valid)
    if "qos" in lower and "qos" in parameters:
        valid = slurm.names(["sacctmgr", "-n", "-P", "show", "qos", "format=name"]) if slurm else []
        return _advice(said, "qos", str(parameters["qos"]), valid)
    if "gres" in lower:
        valid = slurm.names(["sinfo", "-h", "-o", "%G"]) if slurm else []
        wanted = str(parameters.get("gres") or parameters.get("gpus_per_node") or "")
        return _advice(said, "gres, gpu or gpus_per_node", wanted, valid)
    if "feature" in lower or "constraint" in lower:
        valid = slurm.names(["sinfo", "-h", "-o", "%f"]) if slurm else []
        return _advice(said, "constraint", str(parameters.get("constraint", "")), valid)
    if (
        "memory" in lower
        or "configuration is not available" in lower
        or "cpu count" in lower
        or "processors" in lower
    ):
        nodes = slurm.names(["sinfo", "-h", "-o", "%R: %c CPUs, %m MB, %G"]) if slurm else []
        offers = f"; the nodes are {'; '.join(nodes)}" if nodes else ""
        mismatch = f"No node has what was asked for ({describe_resources(parameters)}){offers}"
        return f"sbatch refused: {said}. {mismatch}. Change the resources"
    if "time limit" in lower:
        return f"sbatch refused: {said}. Change the resource runtime (minutes), now {parameters.get('time')}"
    return f"sbatch refused: {said} (asked for: {describe_resources(parameters)})"


def _advice(said: str, resource: str, wanted: str, valid: list[str]) -> str:
    close = get_close_matches(wanted, valid, 1)
    nearest = f" (did you mean {close[0]}?)" if close else ""
    choices = f"; valid here: {', '.join(valid)}" if valid else ""
    return f"sbatch refused: {said}. Change the resource {resource}, now {wanted or 'not set'!r}{nearest}{choices}"


def describe_resources(parameters: Mapping[str, Any]) -> str:
    """Return the resources of a submission in one line: partition gpu, time 60, mem 4000MB."""
    names = (
        *(
            "partition",
            "account",
            "qos",
            "time",
            "cpus_per_task",
            "mem",
            "mem_per_cpu",
            "gres",
            "gpus_per_node",
        ),
        "constraint",
    )
    return ", ".join(f"{name} {parameters[name]}" for name in names if name in parameters)


def _with_user(command: list[str]) -> list[str]:
    import getpass

    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # the user database does not know the user
        user = str(os.getuid())
    return [part.replace("$USER", user) for part in command]
