# Data are fetched, or computed, on the submitting machine, once; a node only ever reads them.
DATA = {
    f"{cell.data.name}-{hashlib.sha256(str(cell.data.root_path()).encode()).hexdigest()[:8]}": cell.data
    for cell in GRID.cells.values()
    if cell.data.declaration.needs_download
}
# dataset and folder -> the marker that says that the files are there
READY = {(data.name, data.root_path()): f"{RESULTS}/data/{key}.ready" for key, data in DATA.items()}

# A marker of files that are gone says what is not so.
for (name, root), marker in READY.items():
    if not all((root / file).exists() for file in DATASETS[name].files):
        pathlib.Path(marker).unlink(missing_ok=True)
# cell -> the marker that it waits for; none where the data come with a dependency
DATA_OF = {name: READY.get((cell.data.name, cell.data.root_path()), []) for name, cell in GRID.cells.items()}


rule data:
    """Make sure that a dataset's files are there; an existing root is used as it is."""
    output:
        ready=touch(f"{RESULTS}/data/{{key}}.ready"),
    log:
        f"{RESULTS}/logs/data/{{key}}.log",
    wildcard_constraints:
        key="|".join(DATA) or "$^",
    localrule: True
    params:
        name=lambda wildcards: DATA[wildcards.key].name,
        root=lambda wildcards: str(DATA[wildcards.key].root_path()),
    shell:
        "hornlib data {params.name:q} --root {params.root:q} > {log:q} 2>&1"
