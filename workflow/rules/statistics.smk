rule statistics:
    """Who learns faster, by how much, how certain that is: every sweep, from results.nc."""
    input:
        results=rules.gather.output.results,
    output:
        statistics=f"{RESULTS}/statistics.nc",
    log:
        f"{RESULTS}/logs/statistics.log",
    localrule: True
    params:
        configfiles=CONFIGFILES,
    shell:
        "hornlib statistics {params.configfiles} --results {input.results:q} --output {output.statistics:q}"
        " > {log:q} 2>&1"
