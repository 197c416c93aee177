from hornlib.grid.shapes import distinct_shapes

# The device that measures is known only where the job runs. The rule therefore promises a marker, named after the
# shapes of the grid and the route of recurrences: a further seed changes nothing; a further shape has a new marker, and
# only that shape is measured.
SHAPES = ",".join([SETTINGS.kernel, *sorted(distinct_shapes(GRID.cells.values()))])
CALIBRATION = f"{RESULTS}/calibration/{hashlib.sha256(SHAPES.encode()).hexdigest()[:12]}"
# A measurement that failed leaves this file until one succeeds. As long as it is there, every call tries again.
FAILED = f"{CALIBRATION}.failed"
CALIBRATED = current_marker(
    f"{CALIBRATION}.measured",
    holds=any(pathlib.Path(RESULTS, "calibration").glob("*.nc")) and not os.path.exists(FAILED),
)
# Results do not wait for a further attempt, which may fail too. If it succeeds, the next call makes them anew.
SECONDS = [] if os.path.exists(FAILED) else CALIBRATED


rule calibrate:
    """Measure step time and peak memory of every distinct shape, alone on the machine."""
    output:
        marker=touch(CALIBRATED),
    log:
        f"{RESULTS}/logs/calibrate.log",
    # nothing runs beside it: here by taking every core, on SLURM by taking the whole node
    threads: workflow.resource_settings.cores or SETTINGS.threads
    resources:
        slurm_extra="--exclusive",
    params:
        configfiles=CONFIGFILES,
        other=other_marker(CALIBRATED),
        failed=FAILED,
    message:
        "measure the step time of every distinct shape on this device"
    shell:
        "rm -f {params.other:q}; "
        # results without seconds are better than none: they are NaN for a shape that was not measured
        "if hornlib calibrate {params.configfiles} > {log:q} 2>&1; then"
        # Snakemake takes a newer file of the same content for the same
        ' echo "$(date) $$" > {output.marker:q};'
        " if [ -e {params.failed:q} ]; then rm -f {params.failed:q};"
        " echo 'The step times are measured now; the same command once more gives the results their seconds' >&2; fi;"
        " else touch {params.failed:q};"
        " echo 'The step times were not measured, so the results lack seconds; see {log}. The next call tries again'"
        " >&2; fi"
