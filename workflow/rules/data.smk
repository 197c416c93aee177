# Data are fetched, or computed, on the submitting machine, once; a node only ever reads them.
DATA = {
    f"{cell.data.name}-{hashlib.sha256(str(cell.data.root_path()).encode()).hexdigest()[:8]}": cell.data
    for cell in GRID.cells.values()
    if cell.data.declaration.needs_files
}
# dataset and folder -> the marker of files that were checked; it does not hold where files are missing
READY = {
    (data.name, data.root_path()): current_marker(
        f"{RESULTS}/data/{key}.ready",
        holds=not data.declaration.missing_files(data.root_path()),
    )
    for key, data in DATA.items()
}
# cell -> the marker that it waits for; none where the data come with a dependency
DATA_OF = {name: READY.get((cell.data.name, cell.data.root_path()), []) for name, cell in GRID.cells.items()}


rule data:
    """Make sure that a dataset's files exist and are right; existing files are used as they are."""
    output:
        ready=touch(f"{RESULTS}/data/{{key}}.{{marker}}"),
    log:
        f"{RESULTS}/logs/data/{{key}}.{{marker}}.log",
    wildcard_constraints:
        key="|".join(DATA) or "$^",
        marker="ready|ready_again",
    priority: FIRST
    localrule: True
    params:
        name=lambda wildcards: DATA[wildcards.key].name,
        root=lambda wildcards: str(DATA[wildcards.key].root_path()),
        other=lambda wildcards, output: other_marker(output.ready),
    message:
        "check the files of {params.name} in {params.root}, and fetch or compute what is missing"
    shell:
        "rm -f {params.other:q}; hornlib data {params.name:q} --root {params.root:q}" + TO_LOG
