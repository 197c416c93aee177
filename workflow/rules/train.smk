from snakemake.rules import Rule

from hornlib.grid.jobs import Job, Range
from hornlib.plan.estimates import training_forward_flops

SETTINGS = GRID.settings
# what probes saw is the job's second output; a run file that is there without it is not made again
PROBED = {"dynamics": f"{RESULTS}/dynamics/{{cell}}.seeds-{{first}}-{{last}}.nc"} if SETTINGS.probes else {}
# so are the weights that are kept
KEPT = (
    {"weights": f"{RESULTS}/weights/{{cell}}.seeds-{{first}}-{{last}}.weights"}
    if SETTINGS.keep_weights == "last"
    else {}
)
PROBES = json.dumps(SETTINGS.probes.canonical()) if SETTINGS.probes else "off"


def checkpoints_folder(resources):
    """The setting, else the profile's scratch disk with a folder for each results folder, else beside the runs."""
    # "<TBD>", which a dry run of older versions of Snakemake has for a resource, counts as false
    if SETTINGS.checkpoints or resources.get("scratch", "") == "":
        return SETTINGS.checkpoints or f"{RESULTS}/checkpoints"
    here = os.path.abspath(RESULTS)
    return f"{resources.scratch}/{hashlib.sha256(here.encode()).hexdigest()[:12]}"


# A parameter that is a function costs each job of a dry run a millisecond, and twice that if it asks for resources.
# So a rule has one function at most for what differs from job to job, and the folder is a function only where a
# profile has a scratch disk.
# In older versions of Snakemake, default resources are the attribute `parsed` of an object.
DEFAULT_RESOURCES = workflow.resource_settings.default_resources
GIVEN_RESOURCES = (
    getattr(DEFAULT_RESOURCES, "parsed", DEFAULT_RESOURCES) or {},
    *workflow.resource_settings.overwrite_resources.values(),
)
CHECKPOINTS = (
    (lambda wildcards, resources: checkpoints_folder(resources))
    if any("scratch" in resources for resources in GIVEN_RESOURCES)
    else checkpoints_folder({})
)


def checkpoint(name):
    """Return the parameter that is a job's checkpoint.

    Args:
        name: of the file, with wildcards.
    """
    if isinstance(CHECKPOINTS, str):
        return f"{CHECKPOINTS}/{name}"
    return lambda wildcards, resources: f"{checkpoints_folder(resources)}/{name.format(**wildcards)}"


# cell -> its jobs, where other cells start from its weights
STARTED = {cell.training.start_from for cell in GRID.cells.values()}
JOBS_OF = {name: [job for job in JOBS if job.cell == name] for name in STARTED if name is not None}


def awaited_files(wildcards):
    """Return the files that a job waits for: data, the choice for a tuned cell, and the weights that it starts from."""
    cell = wildcards.cell
    if cell not in GRID.cells:
        return f"(the configuration has no cell {cell})"
    marker = DATA_OF[cell]
    job = Job(cell, Range(int(wildcards.first), int(wildcards.last)))
    return [
        *([marker] if marker else []),
        *([str(GRID.selection_path(cell))] if cell in TUNED else []),
        *map(str, GRID.start_paths(job, JOBS_OF.get(GRID.cells[cell].training.start_from, ()))),
    ]


class CellParameters(typing.NamedTuple):
    """What differs from cell to cell in the command that trains; it is computed where it is printed or run."""

    cell: str

    @property
    def specification(self):
        return json.dumps(GRID.cells[self.cell].job_specification(), separators=(",", ":"))

    @property
    def label(self):
        return GRID.describe(self.cell)

    @property
    def selected(self):
        """The option that names the choice for a tuned cell."""
        return f" --selected {shlex.quote(str(GRID.selection_path(self.cell)))}" if self.cell in TUNED else ""


def longest_first(num_flops):
    """Return the priority of jobs that train: long ones start before short ones, so that none runs alone at the end.

    Snakemake's exact scheduler adds priorities up, so that FLOPs themselves would drown those of short jobs. In older
    versions a priority is no function, and jobs start in any order.

    Args:
        num_flops: returns the forward FLOPs of a job of given wildcards; the job's seconds grow with them.
    """
    return (lambda wildcards: math.log(num_flops(wildcards))) if hasattr(Rule, "expand_priority") else 0


def train_flops(wildcards):
    num_runs = 1 + int(wildcards.last) - int(wildcards.first)
    return num_runs * training_forward_flops(GRID.cells[wildcards.cell])


# Snakemake removes a job's log before it starts the job. A second name of the same file keeps what earlier attempts
# wrote; where the file system has no second names, only that is lost.
OPEN_LOG = (
    'history="$(dirname {log:q})/history/$(basename {log:q})"; '
    '{{ mkdir -p "$(dirname "$history")" && touch "$history" && ln -f "$history" {log:q}; }} || true; '
    "echo \"--- $(date '+%Y-%m-%d %H:%M:%S') on $(uname -n), process $$\" >> {log:q}; "
)
# A process that is killed cannot write why. Other codes than a signal's have an error message of their own.
CLOSE_LOG = (
    " >> {log:q} 2>&1 || {{ code=$?; case $code in"
    " 137) echo 'error: killed (signal 9): often out of memory' >> {log:q};;"
    ' 132|134|135|136|139) echo "error: killed (signal $((code - 128)))" >> {log:q};;'
    " esac; " + SHOW_END + "exit $code; }}"
)


rule train:
    """Train one job: one cell with a range of seeds, side by side as lanes."""
    input:
        # `ancient`: a newer marker and trials that were touched make no run stale; a run of no cell waits for a file
        # that says so
        awaited=lambda wildcards: ancient(awaited_files(wildcards)),
    output:
        **PROBED,
        **KEPT,
        run=f"{RESULTS}/runs/{{cell}}.seeds-{{first}}-{{last}}.nc",
    log:
        f"{RESULTS}/logs/train/{{cell}}.seeds-{{first}}-{{last}}.log",
    wildcard_constraints:
        cell="[a-z0-9_]+(-[a-z0-9_]+)*-[0-9a-f]{12}",
        first="[0-9]+",
        last="[0-9]+",
    priority: longest_first(train_flops)
    threads: SETTINGS.threads
    params:
        cell=lambda wildcards: CellParameters(wildcards.cell),
        lanes=SETTINGS.lanes,
        device=SETTINGS.device,
        kernel=SETTINGS.kernel,
        checkpoints=CHECKPOINTS,
        # by its content the cluster's executor sees whether a restarted job gets on
        checkpoint=checkpoint("{cell}.seeds-{first}-{last}.checkpoint"),
        probes=PROBES,
        minutes=SETTINGS.checkpoint_minutes,
        log_format=SETTINGS.log_format,
        keep_weights=SETTINGS.keep_weights,
    message:
        "train {params.cell.label}, seeds {wildcards.first} to {wildcards.last} ({wildcards.cell})"
    shell:
        OPEN_LOG
        + "hornlib train {output.run:q} --cell {params.cell.specification:q} --lanes {params.lanes:q} --threads {threads}"
        " --device {params.device:q} --kernel {params.kernel} --checkpoints {params.checkpoints:q}"
        " --checkpoint-minutes {params.minutes}"
        " --log-format {params.log_format} --keep-weights {params.keep_weights} --probes {params.probes:q}"
        "{params.cell.selected}" + CLOSE_LOG
