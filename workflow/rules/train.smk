SETTINGS = GRID.settings
CHECKPOINTS = SETTINGS.checkpoints or f"{RESULTS}/checkpoints"


def data_ready(wildcards):
    """Return the marker of the cell's dataset; `ancient`, since a newer marker makes no run stale."""
    dataset = GRID.cells[wildcards.cell].data.name
    return ancient(f"{RESULTS}/data/{dataset}.ready") if dataset in DATASETS else []


rule train:
    """Train one job: one cell with a range of seeds, side by side as lanes."""
    input:
        data=data_ready,
    output:
        run=f"{RESULTS}/runs/{{cell}}.seeds-{{first}}-{{last}}.nc",
    log:
        f"{RESULTS}/logs/train/{{cell}}.seeds-{{first}}-{{last}}.log",
    params:
        cell=lambda wildcards: json.dumps(GRID.cells[wildcards.cell].job_specification(), separators=(",", ":")),
        lanes=SETTINGS.lanes,
        device=SETTINGS.device,
        checkpoints=CHECKPOINTS,
        minutes=SETTINGS.checkpoint_minutes,
    threads: SETTINGS.threads
    message:
        "train {wildcards.cell}, seeds {wildcards.first} to {wildcards.last}"
    shell:
        "hornlib train {output.run:q} --cell {params.cell:q} --lanes {params.lanes:q} --threads {threads}"
        " --device {params.device:q} --checkpoints {params.checkpoints:q} --checkpoint-minutes {params.minutes}"
        " > {log:q} 2>&1"
