AXES = ("steps", "samples", "flops", "seconds")
FIGURES = expand(
    "{results}/figures/{sweep}-{axis}.{kind}",
    results=RESULTS,
    sweep=list(GRID.sweeps),
    axis=AXES,
    kind=("svg", "png"),
)


rule figures:
    """Draw a sweep's learning curves against steps, samples, FLOPs and seconds."""
    input:
        results=rules.gather.output.results,
    output:
        figures=report(
            expand(
                "{results}/figures/{{sweep}}-{axis}.{kind}", results=RESULTS, axis=AXES, kind=("svg", "png")
            ),
            category="learning curves",
            subcategory="{sweep}",
        ),
    log:
        f"{RESULTS}/logs/figures/{{sweep}}.log",
    localrule: True
    params:
        folder=lambda wildcards, output: os.path.dirname(output[0]),
    message:
        "draw the learning curves of {wildcards.sweep}"
    shell:
        "hornlib figures --results {input.results:q} --sweep {wildcards.sweep:q} --folder {params.folder:q}"
        " > {log:q} 2>&1"
