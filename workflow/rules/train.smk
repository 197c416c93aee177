SETTINGS = GRID.settings
# what probes saw is the job's second output; a run file that is there without it is not made again
PROBED = {"dynamics": f"{RESULTS}/dynamics/{{cell}}.seeds-{{first}}-{{last}}.nc"} if SETTINGS.probes else {}
PROBES = json.dumps(SETTINGS.probes.canonical()) if SETTINGS.probes else "off"


def checkpoints_folder(resources):
    """The setting, else the profile's scratch disk with a folder for each results folder, else beside the runs."""
    if SETTINGS.checkpoints or not resources.get("scratch"):
        return SETTINGS.checkpoints or f"{RESULTS}/checkpoints"
    here = os.path.abspath(RESULTS)
    return f"{resources.scratch}/{hashlib.sha256(here.encode()).hexdigest()[:12]}"


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
    " esac; exit $code; }}"
)


rule train:
    """Train one job: one cell with a range of seeds, side by side as lanes."""
    input:
        # `ancient`: a newer marker makes no run stale; a run of no cell waits for a file that says so
        data=lambda wildcards: ancient(
            DATA_OF.get(wildcards.cell, f"(the configuration has no cell {wildcards.cell})")
        ),
        # `ancient` here too: trials that were touched retrain nothing
        selected=lambda wildcards: ancient(
            str(GRID.selection_path(wildcards.cell)) if wildcards.cell in TUNED else []
        ),
    output:
        **PROBED,
        run=f"{RESULTS}/runs/{{cell}}.seeds-{{first}}-{{last}}.nc",
    log:
        f"{RESULTS}/logs/train/{{cell}}.seeds-{{first}}-{{last}}.log",
    wildcard_constraints:
        cell="[a-z0-9_]+(-[a-z0-9_]+)*-[0-9a-f]{12}",
        first="[0-9]+",
        last="[0-9]+",
    threads: SETTINGS.threads
    params:
        cell=lambda wildcards: json.dumps(
            GRID.cells[wildcards.cell].job_specification(), separators=(",", ":")
        ),
        lanes=SETTINGS.lanes,
        device=SETTINGS.device,
        checkpoints=lambda wildcards, resources: checkpoints_folder(resources),
        # by its content the cluster's executor sees whether a restarted job gets on
        checkpoint=lambda wildcards, resources: (
            f"{checkpoints_folder(resources)}/{wildcards.cell}.seeds-{wildcards.first}-{wildcards.last}.checkpoint"
        ),
        probes=PROBES,
        label=lambda wildcards: GRID.describe(wildcards.cell),
        minutes=SETTINGS.checkpoint_minutes,
        log_format=SETTINGS.log_format,
        selected=lambda wildcards, input: (
            f" --selected {shlex.quote(input.selected)}" if input.selected else ""
        ),
    message:
        "train {params.label}, seeds {wildcards.first} to {wildcards.last} ({wildcards.cell})"
    shell:
        OPEN_LOG
        + "hornlib train {output.run:q} --cell {params.cell:q} --lanes {params.lanes:q} --threads {threads}"
        " --device {params.device:q} --checkpoints {params.checkpoints:q} --checkpoint-minutes {params.minutes}"
        " --log-format {params.log_format} --probes {params.probes:q}{params.selected}" + CLOSE_LOG
