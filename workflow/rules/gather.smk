rule gather:
    """Gather every run file into one labelled dataset."""
    input:
        runs=RUNS,
        calibrated=CALIBRATED,  # by its step times seconds are compared
    output:
        results=f"{RESULTS}/results.nc",
    log:
        f"{RESULTS}/logs/gather.log",
    localrule: True
    params:
        configfiles=CONFIGFILES,
    shell:
        "hornlib gather {params.configfiles} > {log:q} 2>&1"
