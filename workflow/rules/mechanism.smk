from hornlib.mechanism.experiments import EXPERIMENTS, experiments_of

# Only the experiments whose own sweep the configuration has: config/mechanism.yaml has them all.
MECHANISM = [f"{RESULTS}/mechanism/{experiment}.nc" for experiment in experiments_of(GRID)]


rule mechanism:
    """Run one experiment that could refute an explanation of fast early learning."""
    input:
        results=rules.gather.output.results,
    output:
        measured=f"{RESULTS}/mechanism/{{experiment}}.nc",
        figures=multiext(f"{RESULTS}/figures/mechanism-{{experiment}}", ".svg", ".png"),
    log:
        f"{RESULTS}/logs/mechanism/{{experiment}}.log",
    wildcard_constraints:
        experiment="|".join(EXPERIMENTS),
    threads: SETTINGS.threads
    params:
        configfiles=CONFIGFILES,
    message:
        "mechanism: {wildcards.experiment}"
    shell:
        "hornlib mechanism {wildcards.experiment:q} {params.configfiles} --output {output.measured:q}"
        + TO_LOG
