"""The sweep: config.yaml -> cells -> jobs -> run files -> results.nc -> statistics.nc -> report with its figures."""

import atexit
import hashlib
import json
import math
import os
import pathlib
import shlex
import subprocess
import sys
import typing

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

from hornlib.config.commands import CONFIG_VARIABLE, named_files
from hornlib.config.copies import COPIES_VARIABLE
from hornlib.errors import HornlibError
from hornlib.grid.jobs import scan_runs
from hornlib.lease import acquire
from hornlib.provenance import commit, version
from hornlib.results.configuration_copies import read_grid_for_workflow
from hornlib.status.beside_cluster import note_head, refuse_beside_cluster, submitting_head

min_version("9.0")

# Snakemake's own reading of a configuration runs code that stands in it, and loses duplicate keys, types and line
# numbers, so there is no `configfile:`. HORNLIB_CONFIG names other files than config.yaml; the grid reads them itself.
if workflow.config_settings.config:
    raise WorkflowError(
        "--config is not understood; write the value into a file, and name the file: "
        f"{CONFIG_VARIABLE}=FILE snakemake ..."
    )
if workflow.overwrite_configfiles and os.environ.get(CONFIG_VARIABLE):
    raise WorkflowError(
        f"--configfile and {CONFIG_VARIABLE} both name a configuration; leave --configfile out (it may stand in a "
        "profile)"
    )
if workflow.overwrite_configfiles:
    print(
        "warning: Snakemake runs Python code that stands in a file of --configfile, before the workflow begins. Name a "
        f"configuration so: {CONFIG_VARIABLE}=FILE snakemake ..., or hornlib run --configfile FILE",
        file=sys.stderr,
    )
FILES = [str(file) for file in workflow.overwrite_configfiles or named_files()]
try:
    GRID, COPIES = read_grid_for_workflow(FILES)
    JOBS = GRID.jobs(scan_runs(GRID.settings.results))
except HornlibError as error:
    raise WorkflowError(str(error)) from None
RESULTS = GRID.settings.results
# A job may run later, from a snapshot that has no history.
os.environ |= {"HORNLIB_COMMIT": commit(), "HORNLIB_VERSION": version()}
RUNS = [str(GRID.run_path(job)) for job in JOBS]
PAGE = f"{RESULTS}/report.html"
CONFIGFILES = " ".join(f"--configfile {shlex.quote(file)}" for file in FILES)

# The terminal gets the end of a failed job's log, in one write that is short enough for the system to keep whole: jobs
# that fail at the same moment would mix their lines. Snakemake's own show-failed-logs prints logs whole, of any size.
SHOW_END = "printf 'The end of %s:\\n%s\\n' {log:q} \"$(tail -n 20 {log:q} | tail -c 3500)\" >&2 || true; "
TO_LOG = " > {log:q} 2>&1 || {{ code=$?; " + SHOW_END + "exit $code; }}"

# The priority of jobs that take seconds and that long jobs wait for: above the logarithm of any number of FLOPs.
FIRST = 100


def current_marker(path, holds):
    """Return the name of a marker: one that exists where the marker holds, else one that does not exist.

    Parsing the workflow changes nothing on disk, so a marker that no longer holds cannot be deleted here. A marker
    therefore has two names; the rule that makes it under one name removes the other.
    """
    names = (path, other_marker(path))
    return next((name for name in names if os.path.exists(name) == holds), path)


def other_marker(path):
    """Return the other one of a marker's two names."""
    return path.removesuffix("_again") if path.endswith("_again") else f"{path}_again"


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/tune.smk"
include: "workflow/rules/calibrate.smk"
include: "workflow/rules/gather.smk"
include: "workflow/rules/importance.smk"
include: "workflow/rules/stability.smk"
include: "workflow/rules/statistics.smk"
include: "workflow/rules/mechanism.smk"
include: "workflow/rules/report.smk"


localrules:
    all,


rule all:
    """Every run, results.nc, statistics, stability, mechanism, importance and the report with its figures."""
    default_target: True
    # Snakemake makes a missing file anew only where a target names it, or where what follows is to be made as well.
    # Plain paths: beside an output of `rules`, Snakemake would compare every input with every other.
    input:
        runs=RUNS,
        calibrated=CALIBRATED,
        configuration=DIGESTS.values(),
        importance=[*IMPORTANCE, *GATHERED_IMPORTANCE],
        results=f"{RESULTS}/results.nc",
        report=PAGE,
    message:
        "everything is made"


for sweep in GRID.sweeps.values():

    rule:
        """Every run of one sweep."""
        name:
            sweep.name
        input:
            runs=[str(GRID.run_path(job)) for job in JOBS if job.cell in sweep.arms],
        localrule: True


# Snakemake's own lock outlives a killed process; this one does not (profiles/default sets nolock).
onstart:
    global LEASE  # this is a function's body: a local name would be forgotten, and the file closed, at its end
    try:
        LEASE = acquire(RESULTS)
        head = submitting_head(workflow.executor_settings)
        refuse_beside_cluster(RESULTS, head)
        if head is not None:
            note_head(RESULTS, head)
        COPIES.write()
    except HornlibError as error:
        raise WorkflowError(str(error)) from None
    COPIES.remove_old()
    # From here on every command reads the copies: an edit of the files holds from the next call on.
    os.environ[COPIES_VARIABLE] = COPIES.variable()


def report_time():
    """Return when the report was written, None where there is none."""
    page = pathlib.Path(PAGE)
    return page.stat().st_mtime_ns if page.exists() else None


REPORT_TIME = report_time()


# The last lines of a sweep are its answer. They are printed at exit, because Snakemake still has to say where its log
# is. A call that made no report has no new answer, and `hornlib run` prints the answer itself.
onsuccess:
    if report_time() != REPORT_TIME and "HORNLIB_RUN" not in os.environ:
        atexit.register(subprocess.run, f"echo; hornlib answer {CONFIGFILES}", shell=True)


# The finished part of an unfinished sweep can be looked at. A failed cell is still missing, and the next call trains it.
onerror:
    if any(os.path.exists(run) for run in RUNS):
        shell("hornlib gather --partial {CONFIGFILES} || true")
