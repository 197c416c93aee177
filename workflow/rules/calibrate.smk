from hornlib.grid.shapes import distinct_shapes

# Which device measures is known only where the job runs, so the rule promises a marker, named after the shapes that
# the grid has: a further seed changes nothing, a further shape has a new marker, and only what is missing is measured.
SHAPES = ",".join(sorted(distinct_shapes(GRID.cells.values())))
CALIBRATED = f"{RESULTS}/calibration/{hashlib.sha256(SHAPES.encode()).hexdigest()[:12]}.measured"
# A marker of files that are gone says what is not so.
if not any(pathlib.Path(RESULTS, "calibration").glob("*.nc")):
    pathlib.Path(CALIBRATED).unlink(missing_ok=True)


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
    message:
        "calibrate every distinct shape on this device"
    shell:
        # results without seconds are better than none: what was not measured is NaN there, and the next call tries again
        "hornlib calibrate {params.configfiles} > {log:q} 2>&1 || echo 'not calibrated, see {log}' >&2"
