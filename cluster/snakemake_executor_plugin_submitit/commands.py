"""The command of a Snakemake job on a node: its own shell command, or a remote Snakemake if that is not enough."""

import os
from collections.abc import Mapping
from typing import Any

__all__ = ["THREAD_VARIABLES", "describe_job", "job_environment", "needs_snakemake", "prepare"]

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "GOTO_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)
"""Variables that Snakemake sets before it runs a shell command."""


def needs_snakemake(job: Any) -> str | None:
    """Return why a job's shell command alone is not enough, or None if it is enough.

    With a reason, a Snakemake is started on the node, as other executors do (2 to 3 s a job).
    """
    if not job.is_shell:
        return "it has no shell command"
    reasons = {
        "benchmark:": job.benchmark is not None,
        "shadow:": job.is_shadow,
        "conda:": job.conda_env_spec is not None,
        "container:": job.container_img_url is not None,
        "envmodules:": job.env_modules is not None,
        "resources.tmpdir, which the node decides": "tmpdir" in str(job.rule.shellcmd),
        "files in a remote storage": any(
            file.is_storage for file in (*job.input, *job.output) if hasattr(file, "is_storage")
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def job_environment(threads: int, snapshots: str, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables that a job gets in addition to those of the submitting process.

    Args:
        threads: the rule's threads.
        snapshots: paths that come first on PYTHONPATH, or "".
        environ: the submitting process's variables.
    """
    variables = dict.fromkeys(THREAD_VARIABLES, str(threads))
    if snapshots:
        variables["PYTHONPATH"] = os.pathsep.join(filter(None, [snapshots, environ.get("PYTHONPATH", "")]))
    return variables


def describe_job(job: Any) -> str:
    """Return a description of a job: the rule's message, or the rule with its wildcards."""
    if job.message:
        return " ".join(str(job.message).split())
    wildcards = ", ".join(f"{name}={value}" for name, value in job.wildcards_dict.items())
    return f"{job.rule.name} {wildcards}".strip()


async def prepare(job: Any, keeps_outputs: bool) -> None:
    """Let Snakemake prepare a job, which removes its outputs, unless all of them have appeared meanwhile.

    A task that SLURM has lost can finish while the head waits to submit its job again. The job then finds its result.

    Args:
        job: Snakemake's job.
        keeps_outputs: whether an output that exists is whole, as --ignore-incomplete says.
    """
    if not (keeps_outputs and job.output and all(os.path.exists(output) for output in job.output)):
        await job.prepare()
