rule report:
    """Write one self-contained page: the answer with its uncertainty, the evidence, and what would change it."""
    input:
        results=rules.gather.output.results,
        statistics=rules.statistics.output.statistics,
        stability=rules.stability.output.stability,
        mechanism=MECHANISM,
        importance=GATHERED_IMPORTANCE,
        configuration=DIGESTS["report"],
    output:
        page=report(PAGE, category="report"),
        figures=report(directory(f"{RESULTS}/figures/report"), patterns=["{name}.svg"], category="evidence"),
    log:
        f"{RESULTS}/logs/report.log",
    localrule: True
    params:
        configfiles=CONFIGFILES,
    message:
        "write the report {output.page}"
    shell:
        "hornlib report {params.configfiles} --output {output.page:q}" + TO_LOG
