# Data are fetched on the submitting machine, once; a node only ever reads them.
DATASETS = {
    cell.data.name: cell.data.root_path() for cell in GRID.cells.values() if cell.data.declaration.needs_download
}


rule data:
    """Make sure that a dataset's files are there; an existing root is used as it is."""
    output:
        ready=touch(f"{RESULTS}/data/{{dataset}}.ready"),
    log:
        f"{RESULTS}/logs/data/{{dataset}}.log",
    params:
        root=lambda wildcards: str(DATASETS[wildcards.dataset]),
    localrule: True
    shell:
        "hornlib data {wildcards.dataset:q} --root {params.root:q} > {log:q} 2>&1"
