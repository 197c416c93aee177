rule statistics:
    """Who learns faster, by how much, how certain that is: every sweep, from results.nc."""
    input:
        results=rules.gather.output.results,
        configuration=DIGESTS["statistics"],
    output:
        statistics=f"{RESULTS}/statistics.nc",
    log:
        f"{RESULTS}/logs/statistics.log",
    localrule: True
    params:
        configfiles=CONFIGFILES,
    message:
        "compute the statistics of every sweep into {output.statistics}"
    shell:
        "hornlib statistics {params.configfiles} --results {input.results:q} --output {output.statistics:q}"
        + TO_LOG
