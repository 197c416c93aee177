from hornlib.grid.shapes import distinct_shapes

# The device that measures is known only where the job runs. The rule therefore promises a marker, named after the
# shapes of the grid: a further seed changes nothing; a further shape has a new marker, and only that shape is measured.
SHAPES = ",".join(sorted(distinct_shapes(GRID.cells.values())))
CALIBRATED = current_marker(
    f"{RESULTS}/calibration/{hashlib.sha256(SHAPES.encode()).hexdigest()[:12]}.measured",
    holds=any(pathlib.Path(RESULTS, "calibration").glob("*.nc")),
)


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
    message:
        "measure the step time of every distinct shape on this device"
    shell:
        "rm -f {params.other:q}; "
        # results without seconds are better than none: they are NaN for a shape that was not measured, and the next
        # call tries again
        "hornlib calibrate {params.configfiles} > {log:q} 2>&1"
        " || echo 'The step times were not measured, so the results have no seconds; see {log}' >&2"
