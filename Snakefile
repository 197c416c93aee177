"""The sweep: config.yaml -> cells -> jobs -> run files -> results.nc -> statistics.nc -> report with its figures."""

import atexit
import hashlib
import json
import os
import pathlib
import shlex
import subprocess

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

from hornlib.errors import HornlibError
from hornlib.grid import read_grid
from hornlib.grid.jobs import scan_runs
from hornlib.lease import acquire
from hornlib.provenance import commit, version

min_version("9.0")

# Snakemake's own reading of a configuration loses duplicate keys, types and line numbers, so there is no
# `configfile:`; the grid reads the files itself, --configfile as well as the default.
if workflow.config_settings.config:
    raise WorkflowError(
        "--config is not understood; write the value into a file and name it with --configfile"
    )
FILES = [str(file) for file in workflow.overwrite_configfiles or ["config.yaml"]]
try:
    GRID = read_grid(FILES)
    JOBS = GRID.jobs(scan_runs(GRID.settings.results))
except HornlibError as error:
    raise WorkflowError(str(error)) from None
RESULTS = GRID.settings.results
# A job may run later, from a snapshot that has no history.
os.environ |= {"HORNLIB_COMMIT": commit(), "HORNLIB_VERSION": version()}
RUNS = [str(GRID.run_path(job)) for job in JOBS]
CONFIGFILES = " ".join(f"--configfile {shlex.quote(file)}" for file in FILES)


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
include: "workflow/rules/stability.smk"
include: "workflow/rules/statistics.smk"
include: "workflow/rules/mechanism.smk"
include: "workflow/rules/report.smk"


localrules:
    all,


rule all:
    """Every run, results.nc, statistics, stability, mechanism and the report with its figures."""
    default_target: True
    # Snakemake makes a missing file anew only where a target names it, or where what follows is to be made as well
    input:
        runs=RUNS,
        calibrated=rules.calibrate.output.marker,
        configuration=DIGESTS.values(),
        results=rules.gather.output.results,
        report=rules.report.output.page,
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
    except HornlibError as error:
        raise WorkflowError(str(error)) from None


def report_time():
    """Return when the report was written, None where there is none."""
    page = pathlib.Path(rules.report.output.page)
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
