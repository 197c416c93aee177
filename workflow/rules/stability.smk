STABILITY_MAPS = expand(
    "{results}/figures/stability_maps-{part}.{kind}",
    results=RESULTS,
    part=("plane", "heterogeneity", "outcome", "orders"),
    kind=("svg", "png"),
)


rule stability:
    """Predict the stability of every oscillator, beside what happened; map it, and measure the integrators' orders."""
    input:
        results=rules.gather.output.results,
    output:
        stability=f"{RESULTS}/stability.nc",
        figures=report(STABILITY_MAPS, category="stability"),
    log:
        f"{RESULTS}/logs/stability.log",
    localrule: True
    params:
        configfiles=CONFIGFILES,
        folder=lambda wildcards, output: os.path.dirname(output.figures[0]),
    message:
        "predict the stability of every oscillator"
    shell:
        "hornlib stability {params.configfiles} --results {input.results:q} --output {output.stability:q}"
        " --figures {params.folder:q}" + TO_LOG
