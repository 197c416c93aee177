CONFIGFILES = " ".join(f"--configfile {shlex.quote(file)}" for file in FILES)


rule gather:
    """Gather every run file into one labelled dataset."""
    input:
        runs=RUNS,
    output:
        results=f"{RESULTS}/results.nc",
    log:
        f"{RESULTS}/logs/gather.log",
    localrule: True
    params:
        configfiles=CONFIGFILES,
    shell:
        "hornlib gather {params.configfiles} > {log:q} 2>&1"
