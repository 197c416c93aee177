CONFIGFILES = " ".join(f"--configfile {shlex.quote(file)}" for file in FILES)


rule gather:
    """Gather every run file into one labelled dataset."""
    input:
        runs=RUNS,
    output:
        results=f"{RESULTS}/results.nc",
    log:
        f"{RESULTS}/logs/gather.log",
    params:
        configfiles=CONFIGFILES,
    localrule: True
    shell:
        "hornlib gather {params.configfiles} > {log:q} 2>&1"
