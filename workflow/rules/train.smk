SETTINGS = GRID.settings
CHECKPOINTS = SETTINGS.checkpoints or f"{RESULTS}/checkpoints"


rule train:
    """Train one job: one cell with a range of seeds, side by side as lanes."""
    input:
        # `ancient`: a newer marker makes no run stale; a run of no cell waits for a file that says so
        data=lambda wildcards: ancient(
            DATA_OF.get(wildcards.cell, f"(the configuration has no cell {wildcards.cell})")
        ),
    output:
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
        checkpoints=CHECKPOINTS,
        minutes=SETTINGS.checkpoint_minutes,
    message:
        "train {wildcards.cell}, seeds {wildcards.first} to {wildcards.last}"
    shell:
        "hornlib train {output.run:q} --cell {params.cell:q} --lanes {params.lanes:q} --threads {threads}"
        " --device {params.device:q} --checkpoints {params.checkpoints:q} --checkpoint-minutes {params.minutes}"
        " > {log:q} 2>&1"
