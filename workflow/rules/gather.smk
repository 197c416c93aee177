from hornlib.grid.digests import gather_digest, importance_digest, report_digest, statistics_digest

# The digests of what the stages read from the configuration. Each is part of the name of an empty file that its
# stage has as an input: a changed digest asks for a new file, and the stage and all that follows are made anew. The
# runs stay, and so does everything after a change that the digest does not see, such as a comment.
# (Snakemake notices a missing file if it is an input of the target `all`, or if an input of its rule, here a file of
# the configuration, is newer than what follows.)
DIGESTS = {
    "gather": f"{RESULTS}/digests/gather-{gather_digest(GRID)}",
    "statistics": f"{RESULTS}/digests/statistics-{statistics_digest(GRID)}",
    "report": f"{RESULTS}/digests/report-{report_digest(GRID)}",
}
if SETTINGS.importance is not None:
    DIGESTS["importance"] = f"{RESULTS}/digests/importance-{importance_digest(GRID)}"


rule digest:
    """Mark what a stage reads from the configuration; the marks of earlier configurations are removed."""
    input:
        lambda wildcards: [] if os.path.exists(DIGESTS[wildcards.stage]) else FILES,
    output:
        mark=touch(f"{RESULTS}/digests/{{stage}}-{{digest}}"),
    wildcard_constraints:
        stage="|".join(DIGESTS),
        digest="[0-9a-f]+",
    localrule: True
    params:
        earlier=lambda wildcards: f"{RESULTS}/digests/{wildcards.stage}-",
    message:
        "the configuration of the stage {wildcards.stage} is new"
    shell:
        "rm -f {params.earlier:q}*"


rule gather:
    """Gather every run file into one labelled dataset."""
    input:
        runs=RUNS,
        calibrated=SECONDS,  # seconds are compared by its step times
        configuration=DIGESTS["gather"],
    output:
        results=f"{RESULTS}/results.nc",
    log:
        f"{RESULTS}/logs/gather.log",
    localrule: True
    params:
        configfiles=CONFIGFILES,
    message:
        "gather every run file into {output.results}"
    shell:
        "hornlib gather {params.configfiles}" + TO_LOG
