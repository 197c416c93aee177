# Data are fetched on the submitting machine, once; a node only ever reads them.
DATASETS = {
    cell.data.name: cell.data.root_path()
    for cell in GRID.cells.values()
    if cell.data.declaration.needs_download
}
# the marker that says that a dataset is there; none for one that comes with a dependency
READY = {
    cell.data.name: f"{RESULTS}/data/{cell.data.name}.ready" if cell.data.name in DATASETS else []
    for cell in GRID.cells.values()
}


rule data:
    """Make sure that a dataset's files are there; an existing root is used as it is."""
    output:
        ready=touch(f"{RESULTS}/data/{{dataset}}.ready"),
    log:
        f"{RESULTS}/logs/data/{{dataset}}.log",
    localrule: True
    params:
        root=lambda wildcards: str(DATASETS[wildcards.dataset]),
    shell:
        "hornlib data {wildcards.dataset:q} --root {params.root:q} > {log:q} 2>&1"
