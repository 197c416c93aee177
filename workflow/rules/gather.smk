rule gather:
    """Gather every run file into one labelled dataset."""
    input:
        runs=RUNS,
        # by its step times seconds are compared; `ancient`: a calibration that comes later makes no result stale
        calibrated=ancient(CALIBRATED),
    output:
        results=f"{RESULTS}/results.nc",
    log:
        f"{RESULTS}/logs/gather.log",
    localrule: True
    params:
        configfiles=CONFIGFILES,
    shell:
        "hornlib gather {params.configfiles} > {log:q} 2>&1"
