rule stability:
    """Predict the stability of every oscillator, beside what happened; the report draws its maps."""
    input:
        results=rules.gather.output.results,
    output:
        stability=f"{RESULTS}/stability.nc",
    log:
        f"{RESULTS}/logs/stability.log",
    localrule: True
    params:
        configfiles=CONFIGFILES,
    message:
        "predict the stability of every oscillator"
    shell:
        "hornlib stability {params.configfiles} --results {input.results:q} --output {output.stability:q}"
        + TO_LOG
