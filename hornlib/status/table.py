"""`hornlib status` as text: the head, a table for each sweep, running jobs, failed jobs, totals and the time left."""

from collections import Counter
from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hornlib.config.messages import counted
from hornlib.plan.table import plain_unless_terminal, print_lines, unsealed_files
from hornlib.status.remaining import job_seconds_left, sweep_seconds_left
from hornlib.status.standing import JobState, Standing
from hornlib.status.survey import ArmCounts, Survey
from hornlib.status.traces import ago

__all__ = ["job_name", "print_failed", "print_status"]

SHOWN = 20
"""The most running and failed jobs that are listed; the others are counted."""

COLOURS = {
    JobState.DONE: "green",
    JobState.RUNNING: "cyan",
    JobState.STOPPED: "yellow",
    JobState.FAILED: "red",
}


def print_status(survey: Survey, console: Console) -> None:
    """Print the state of the sweeps. Outside a terminal, the text has no colours and no line breaks of its own.

    Args:
        survey: the states of the jobs.
        console: where to print.
    """
    console = plain_unless_terminal(console)
    print_lines(console, _heads(survey))
    rows = survey.rows()
    for sweep, dataset in dict.fromkeys((row.sweep, row.dataset) for row in rows):
        console.print(Text.assemble("\nsweep ", (sweep, "bold"), " on ", (dataset, "bold")), soft_wrap=True)
        console.print(_arms([row for row in rows if (row.sweep, row.dataset) == (sweep, dataset)]))
    if running := survey.of(JobState.RUNNING):
        console.print()
        console.print(_running(survey, running[:SHOWN]))
        print_lines(console, _more(running, "running", "--json lists all"))
    console.print()
    print_lines(console, _reasons(survey))
    print_lines(console, (f"failed: {line}" for line in unsealed_files(survey.plan)))
    if failed := _failed(survey):
        print_lines(console, _failures(survey, failed[:SHOWN]))
        print_lines(console, _more(failed, "failed", "--failed lists all"))
    print_lines(console, _totals(survey))


def print_failed(survey: Survey, console: Console, count: int = 8) -> None:
    """Print every failed job with the last lines of its log.

    Args:
        survey: the states of the jobs.
        console: where to print.
        count: lines of each log.
    """
    console = plain_unless_terminal(console)
    print_lines(console, (f"failed: {line}" for line in unsealed_files(survey.plan)))
    for standing in _failed(survey):
        print_lines(console, _failures(survey, [standing]))
        if not survey.plan.fault(standing.job):
            print_lines(console, (f"    {line}" for line in survey.last_lines(standing.job, count)))
    print_lines(console, [f"{counted(len(survey.of(JobState.FAILED)), 'job')} failed"])


def job_name(standing: Standing) -> str:
    """Return the stem of the job's run file, which its log and its checkpoint share."""
    return standing.job.file_name.removesuffix(".nc")


def _heads(survey: Survey) -> Iterator[str]:
    head, sweep = survey.submissions.head, survey.traces.sweep
    if head is not None and head.lives:
        yield f"head: process {head.pid} on {head.host} watches (its last beat was {ago(head.silent)} ago)"
    elif head is not None:
        yield (
            f"head: process {head.pid} on {head.host} is dead (its last beat was {ago(head.silent)} ago); the same "
            "snakemake command takes the jobs over"
        )
    elif sweep is not None and sweep.lives:
        yield f"head: process {sweep.process} trains on this machine"
    elif survey.submissions.latest:
        yield "head: none; jobs in the queue go on without one, and the next snakemake command takes them over"
    else:
        yield "no sweep runs here; `hornlib run` starts it or goes on with it"
    for sentence in survey.submissions.damage[:SHOWN]:
        yield f"note: {sentence}"
    if survey.submissions.silence:
        yield f"note: SLURM does not answer ({survey.submissions.silence}); its jobs are shown as of the records"


def _arms(rows: Sequence[ArmCounts]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("arm", overflow="fold")
    for heading in ("cells", "jobs", *(state.name.lower() for state in JobState)):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        counts = row.counts
        whole = counts.runs_done == counts.runs
        states = (_number(counts.jobs, state) for state in JobState)
        numbers = (f"{counts.cells:,}", f"{sum(counts.jobs.values()):,}")
        table.add_row(Text(row.arm), *numbers, *states, style="dim" if whole else None)
    return table


def _number(jobs: Counter[JobState], state: JobState) -> str:
    if not jobs[state]:
        return "-"
    colour = COLOURS.get(state)
    return f"[{colour}]{jobs[state]:,}[/{colour}]" if colour else f"{jobs[state]:,}"


def _running(survey: Survey, running: Sequence[Standing]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("running", overflow="fold", min_width=20)
    for heading in ("job", "node", "step", "left"):
        table.add_column(heading, overflow="fold")
    for standing in running:
        entries = (job_name(standing), standing.task, standing.node)
        table.add_row(*map(Text, entries), _step(survey, standing), _left(survey, standing))
    return table


def _step(survey: Survey, standing: Standing) -> str:
    progress, restarts = survey.progress(standing.job), survey.restarts(standing.job)
    again = f"{restarts} restarts" if restarts > 1 else "1 restart" if restarts else ""
    step = f"{progress.step}/{progress.total_steps}" if progress else ""
    if progress and progress.seeds not in (None, tuple(standing.job.range)):
        first, last = progress.seeds or (0, 0)
        step += f" of {first}-{last}" if last > first else f" of seed {first}"
    return ", ".join(filter(None, (step, again, standing.reason)))


def _left(survey: Survey, standing: Standing) -> str:
    left = job_seconds_left(survey, standing.job)
    if left is not None:
        return ago(left)
    return "" if standing.limit_seconds is None else f"<{ago(standing.limit_seconds)}"


def _reasons(survey: Survey) -> Iterator[str]:
    """Yield the reasons for which jobs wait or stopped, the most frequent first."""
    hopeless = _hopeless() if survey.of(JobState.QUEUED) else {}
    for state in (JobState.QUEUED, JobState.STOPPED, JobState.OPEN):
        reasons = Counter(standing.reason for standing in survey.of(state) if standing.reason)
        for reason, count in reasons.most_common(SHOWN):
            meaning = f": they may wait for ever, {hopeless[reason]}" if reason in hopeless else ""
            yield f"{state.value} {count:,}: {reason}{meaning}"
    if survey.strays:
        yield f"{counted(survey.strays, 'further job')} in the queue that are not among these cells"


def _hopeless() -> dict[str, str]:
    from snakemake_executor_plugin_submitit.explain import HOPELESS

    return HOPELESS


def _failed(survey: Survey) -> list[Standing]:
    """Return the jobs that failed, without those whose file lacks a seal: one line stands for all of these."""
    unsealed = set(survey.plan.unsealed)
    return [
        standing
        for standing in survey.of(JobState.FAILED)
        if survey.grid.run_path(standing.job) not in unsealed
    ]


def _failures(survey: Survey, failed: Sequence[Standing]) -> Iterator[str]:
    for standing in failed:
        task = f" (job {standing.task})" if standing.task else ""
        first, last = standing.job.range
        seeds = f"seeds {first} to {last}" if last > first else f"seed {first}"
        label = f"{survey.grid.describe(standing.job.cell)}, {seeds}"
        yield f"failed: {label}{task}: {standing.reason}"
        if not survey.plan.fault(standing.job):  # the log of a damaged file says that the training ended well
            yield f"    {survey.log(standing.job)}"


def _more(standings: Sequence[Standing], word: str, how: str) -> Iterator[str]:
    if len(standings) > SHOWN:
        yield f"... and {len(standings) - SHOWN:,} more {word}; {how}"


def _totals(survey: Survey) -> Iterator[str]:
    counts = survey.counts()
    yield (
        f"done: {counts.cells_done:,} of {counted(counts.cells, 'cell')}, "
        f"{counts.runs_done:,} of {counted(counts.runs, 'run')}"
    )
    if tuning := survey.tuning():
        yield f"{counted(sum(tuning.values()), 'arm')} to be tuned first: {_states(tuning)}"
    if finalists := survey.finalists():
        yield f"finalists of {counted(sum(finalists.values()), 'arm')}: {_states(finalists)}"
    yield f"{counted(sum(counts.jobs.values()), 'job')}: {_states(counts.jobs)}"
    seconds = sweep_seconds_left(survey)
    if seconds is None:
        yield "time left: not known yet; a model that waits was never measured"
    elif seconds > 0:
        num_running = len(survey.of(JobState.RUNNING))
        yield f"time left: about {ago(seconds)} with {counted(max(num_running, 1), 'job')} at a time"


def _states(jobs: Counter[JobState]) -> str:
    return ", ".join(f"{jobs[state]:,} {state.value}" for state in JobState if jobs[state]) or "none"
