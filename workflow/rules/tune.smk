# cell -> its tuned arm, and the baseline whose final metric sets the target ("" for none)
TUNED = {name: cell.tuned for name, cell in GRID.cells.items() if cell.tuned is not None}


def tune_flops(wildcards):
    arm = GRID.tuned_arms[wildcards.arm]
    return arm.trials * arm.seeds * training_forward_flops(arm.cell)


def finalists_flops(wildcards):
    stage = GRID.finalist_stages[wildcards.stage]
    return stage.most_trials * stage.seeds * training_forward_flops(stage.cell)


rule tune:
    """Train every trial of one arm of a tuned sweep, side by side as lanes."""
    input:
        data=lambda wildcards: ancient(
            READY.get(
                (
                    GRID.tuned_arms[wildcards.arm].cell.data.name,
                    GRID.tuned_arms[wildcards.arm].cell.data.root_path(),
                ),
                [],
            )
            if wildcards.arm in GRID.tuned_arms
            else f"(the configuration has no arm {wildcards.arm})"
        ),
    output:
        trials=f"{RESULTS}/tuning/{{arm}}.nc",
    log:
        f"{RESULTS}/logs/tune/{{arm}}.log",
    wildcard_constraints:
        arm="[a-z0-9_]+(-[a-z0-9_]+)*-[0-9a-f]{12}",
    priority: longest_first(tune_flops)
    threads: SETTINGS.threads
    params:
        arm=lambda wildcards: json.dumps(GRID.tuned_arms[wildcards.arm].document(), separators=(",", ":")),
        lanes=SETTINGS.lanes,
        device=SETTINGS.device,
        kernel=SETTINGS.kernel,
        checkpoints=CHECKPOINTS,
        checkpoint=checkpoint("{arm}.checkpoint"),
        label=lambda wildcards: GRID.describe(wildcards.arm),
        minutes=SETTINGS.checkpoint_minutes,
    message:
        "tune {params.label} ({wildcards.arm})"
    shell:
        OPEN_LOG
        + "hornlib tune {output.trials:q} --arm {params.arm:q} --lanes {params.lanes:q} --threads {threads}"
        " --device {params.device:q} --kernel {params.kernel} --checkpoints {params.checkpoints:q}"
        " --checkpoint-minutes {params.minutes}" + CLOSE_LOG


rule finalists:
    """Train the best trials of one arm again with fresh seeds, side by side as lanes."""
    input:
        data=lambda wildcards: ancient(
            READY.get(
                (
                    GRID.finalist_stages[wildcards.stage].cell.data.name,
                    GRID.finalist_stages[wildcards.stage].cell.data.root_path(),
                ),
                [],
            )
            if wildcards.stage in GRID.finalist_stages
            else f"(the configuration has no finalists {wildcards.stage})"
        ),
        # `ancient`: trials that were touched retrain nothing; `select` checks that the finalists follow from them
        trials=lambda wildcards: ancient(
            f"{RESULTS}/tuning/{GRID.finalist_stages[wildcards.stage].arm.name}.nc"
        ),
        baseline=lambda wildcards: (
            ancient(f"{RESULTS}/tuning/{GRID.finalist_stages[wildcards.stage].baseline}.nc")
            if GRID.finalist_stages[wildcards.stage].baseline
            else []
        ),
    output:
        finalists=f"{RESULTS}/tuning/{{stage}}.nc",
    log:
        f"{RESULTS}/logs/tune/{{stage}}.log",
    wildcard_constraints:
        stage="[a-z0-9_]+(-[a-z0-9_]+)*-[0-9a-f]{12}[.]finalists",
    priority: longest_first(finalists_flops)
    threads: SETTINGS.threads
    params:
        stage=lambda wildcards: json.dumps(
            GRID.finalist_stages[wildcards.stage].document(), separators=(",", ":")
        ),
        baseline=lambda wildcards, input: (
            f"--baseline {shlex.quote(input.baseline)}" if input.baseline else ""
        ),
        lanes=SETTINGS.lanes,
        device=SETTINGS.device,
        kernel=SETTINGS.kernel,
        checkpoints=CHECKPOINTS,
        checkpoint=checkpoint("{stage}.checkpoint"),
        label=lambda wildcards: GRID.describe(wildcards.stage),
        minutes=SETTINGS.checkpoint_minutes,
    message:
        "train finalists of {params.label} ({wildcards.stage})"
    shell:
        OPEN_LOG
        + "hornlib finalists {output.finalists:q} --stage {params.stage:q} --trials {input.trials:q} {params.baseline}"
        " --lanes {params.lanes:q} --threads {threads} --device {params.device:q} --kernel {params.kernel}"
        " --checkpoints {params.checkpoints:q} --checkpoint-minutes {params.minutes}" + CLOSE_LOG


rule select:
    """Choose the best trial for a tuned cell, on validation."""
    input:
        trials=lambda wildcards: f"{RESULTS}/tuning/{TUNED[wildcards.cell].arm}.nc",
        baseline=lambda wildcards: (
            f"{RESULTS}/tuning/{TUNED[wildcards.cell].baseline}.nc" if TUNED[wildcards.cell].baseline else []
        ),
        finalists=lambda wildcards: (
            f"{RESULTS}/tuning/{TUNED[wildcards.cell].finalists}.nc"
            if TUNED[wildcards.cell].finalists
            else []
        ),
        baseline_finalists=lambda wildcards: (
            f"{RESULTS}/tuning/{TUNED[wildcards.cell].baseline_finalists}.nc"
            if TUNED[wildcards.cell].baseline_finalists
            else []
        ),
    output:
        selected=f"{RESULTS}/selected/{{cell}}.json",
    log:
        f"{RESULTS}/logs/select/{{cell}}.log",
    wildcard_constraints:
        cell="[a-z0-9_]+(-[a-z0-9_]+)*-[0-9a-f]{12}",
    priority: FIRST
    localrule: True
    params:
        cell=lambda wildcards: json.dumps(
            GRID.cells[wildcards.cell].job_specification(), separators=(",", ":")
        ),
        others=lambda wildcards, input: " ".join(
            f"--{option.replace('_', '-')} {shlex.quote(input[option])}"
            for option in ("baseline", "finalists", "baseline_finalists")
            if input[option]
        ),
    message:
        "choose for {wildcards.cell}"
    shell:
        OPEN_LOG
        + "hornlib select {output.selected:q} --cell {params.cell:q} --trials {input.trials:q} {params.others}"
        + CLOSE_LOG
