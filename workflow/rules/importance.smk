# Only where the configuration asks for it. The networks that training ended with are enough, so that another setting
# of importance retrains nothing.
IMPORTANCE = (
    [f"{RESULTS}/importance/{job.file_name}" for job in JOBS] if SETTINGS.importance is not None else []
)
GATHERED_IMPORTANCE = [f"{RESULTS}/importance.nc"] if IMPORTANCE else []


rule importance:
    """Set single connections of the networks of one job to 0, beside what proxies say of them."""
    input:
        weights=f"{RESULTS}/weights/{{cell}}.seeds-{{first}}-{{last}}.weights",
        settings=DIGESTS.get("importance", []),
    output:
        measured=f"{RESULTS}/importance/{{cell}}.seeds-{{first}}-{{last}}.nc",
    log:
        f"{RESULTS}/logs/importance/{{cell}}.seeds-{{first}}-{{last}}.log",
    wildcard_constraints:
        cell="[a-z0-9_]+(-[a-z0-9_]+)*-[0-9a-f]{12}",
        first="[0-9]+",
        last="[0-9]+",
    threads: SETTINGS.threads
    params:
        run=f"{RESULTS}/runs/{{cell}}.seeds-{{first}}-{{last}}.nc",
        settings=SETTINGS.importance.model_dump_json() if SETTINGS.importance else "off",
    message:
        "importance of the connections of {wildcards.cell}, seeds {wildcards.first} to {wildcards.last}"
    shell:
        "hornlib importance {params.run:q} --settings {params.settings:q} --threads {threads}"
        " --output {output.measured:q}" + TO_LOG


rule gather_importance:
    """Gather the importance of all jobs into one dataset."""
    input:
        measured=IMPORTANCE,
        configuration=DIGESTS["gather"],
    output:
        importance=f"{RESULTS}/importance.nc",
    log:
        f"{RESULTS}/logs/gather_importance.log",
    localrule: True
    params:
        configfiles=CONFIGFILES,
    message:
        "gather the importance of all jobs into {output.importance}"
    shell:
        "hornlib importance {params.configfiles}" + TO_LOG
