"""`hornlib plan` as people see it: a table for each sweep, totals, matches that fall short, and warnings."""

import shlex
from collections.abc import Iterable, Iterator, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hornlib.config.messages import counted
from hornlib.grid.expansion import Caution
from hornlib.grid.matching import QUANTITIES, TOLERANCE, Match, Quantity, largest_deviations
from hornlib.grid.routes import REMEDY
from hornlib.plan.plan import Plan, Row

__all__ = ["compact", "hours_text", "plain_unless_terminal", "print_lines", "print_plan", "unsealed_files"]

PLAIN_WIDTH = 400
"""Columns where the output is no terminal: a file or a pipe has no edge to break lines at."""

MOST_NAMED = 10
"""Damaged files that the plan names."""

MOST_COUNTED = 8
"""Matches of an arm whose training FLOPs are counted beside their forward FLOPs; the first count of a network takes
up to half a second."""


def print_plan(plan: Plan, console: Console) -> None:
    """Print the plan; without colours and line breaks where the output is no terminal.

    Args:
        plan: the chosen cells and their costs.
        console: where to print.
    """
    console = plain_unless_terminal(console)
    rows = plan.rows()
    for sweep, dataset in dict.fromkeys((row.sweep, row.dataset) for row in rows):
        group = [row for row in rows if (row.sweep, row.dataset) == (sweep, dataset)]
        seeds = _seeds(plan.grid.sweeps[sweep].seeds)
        heading = Text.assemble("\nsweep ", (sweep, "bold"), " on ", (dataset, "bold"), f", {seeds}")
        console.print(heading, soft_wrap=True)
        console.print(_table(group))
        print_lines(console, (_nearness(row) for row in group if row.matches))
        print_lines(console, _simulation(group))
        print_lines(console, _tuning(group))
    console.print()
    print_lines(
        console,
        (
            *_totals(plan),
            *_routes(plan, rows),
            *_faults(plan),
            *_far_matches(rows),
            *_cautions(plan.cautions()),
        ),
    )


def plain_unless_terminal(console: Console) -> Console:
    """Return the console of a terminal as it is; of a file or a pipe one without colours and line breaks."""
    return console if console.is_terminal else Console(file=console.file, width=PLAIN_WIDTH, no_color=True)


def print_lines(console: Console, lines: Iterable[str]) -> None:
    """Print lines as they are: no mark-up, no colours of numbers, no line breaks of the console.

    Args:
        console: where to print.
        lines: plain text.
    """
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def compact(count: float) -> str:
    """Return a count in three digits: 950, 6.13k, 10.3M."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= limit * 0.9995:
            return f"{count / limit:#.3g}".rstrip(".") + unit
    return f"{count:.0f}"


def unsealed_files(plan: Plan) -> Iterator[str]:
    """Yield one line about all files without a seal, with the way to seal them; nothing where all files have one."""
    if not plan.unsealed:
        return
    results = shlex.quote(str(plan.grid.settings.results))
    yield (
        f"files without a SHA-256 at their end: {len(plan.unsealed):,}, the first is {plan.unsealed[0]}. An earlier "
        f"hornlib or another program wrote them, or they were cut off. `hornlib seal {results}/*.nc {results}/*/*.nc` "
        "reads them to their ends and seals those that are whole. Delete only files that it refuses, and give the same "
        "command again"
    )


def _seeds(seeds: Sequence[int]) -> str:
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    if seeds == tuple(range(seeds[0], seeds[-1] + 1)):
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return f"seeds {', '.join(map(str, seeds))}"


def _table(rows: Sequence[Row]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0))
    table.add_column("arm", overflow="fold")
    for heading in ("cells", "runs", "done", "jobs", "parameters", "FLOPs", "route", "hours"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        counts = (row.cells, row.runs, row.done, row.jobs)
        style = "dim" if row.done == row.runs else None
        kinds = " ".join(dict.fromkeys(route.kind for route in row.routes if route.kind != "none"))
        numbers = (*(f"{count:,}" for count in counts), _span(row.parameters), _span(row.flops), kinds)
        table.add_row(Text(row.arm), *numbers, hours_text(*row.left), style=style)
    return table


def _span(counts: tuple[int, int]) -> str:
    low, high = map(compact, counts)
    return low if low == high else f"{low}-{high}"


def _nearness(row: Row) -> str:
    """Return how near an arm came to its target in what it is matched by, and in the other kind of FLOPs."""
    first, deviations = row.matches[0], [match.deviation for match in row.matches]
    flag = " (!)" if max(map(abs, deviations)) > TOLERANCE else ""
    words = f"{row.arm} is matched to {first.to} by {QUANTITIES[first.by]}: {_percentages(deviations)}{flag}"
    beside = _beside(row.matches)
    if beside is None:
        return words
    other = _percentages([match.deviation_in(beside) for match in row.matches])
    return f"{words}; {QUANTITIES[beside]} {other}"


def _simulation(rows: Sequence[Row]) -> Iterator[str]:
    """Yield how many FLOPs arms with masks really compute, since zeros are multiplied too: hours follow from them."""
    arms: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        if row.computed_flops != row.flops:
            arms.setdefault((_span(row.computed_flops), _span(row.flops)), []).append(row.arm)
    for (computed, counted_flops), labels in arms.items():
        yield (
            f"the zeros of masked weights are multiplied too: {computed} FLOPs, of which {counted_flops} count "
            f"({', '.join(labels)})"
        )


def _beside(matches: Sequence[Match]) -> Quantity | None:
    """Return the kind of FLOPs to print beside the one that was matched; None without FLOPs, or if it costs much."""
    if matches[0].by == "training_flops":
        return "forward_flops"
    return "training_flops" if matches[0].by == "forward_flops" and len(matches) <= MOST_COUNTED else None


def _percentages(deviations: Sequence[float]) -> str:
    low, high = f"{min(deviations):+.1%}", f"{max(deviations):+.1%}"
    return low if low == high else f"{low} to {high}"


def hours_text(seconds: float, is_guess: bool = False) -> str:
    """Return seconds in hours: 0, <0.01, 0.25, 3.1, 1,200; after ~ where they are guessed, two digits at most.

    Args:
        seconds: device seconds.
        is_guess: whether they follow from FLOPs alone.
    """
    hours = seconds / 3600
    if 0 < hours < 0.01:
        return "~0.01" if is_guess else "<0.01"
    digits = 0 if hours == 0 or hours >= 10 else 1 if hours >= 1 else 2
    return f"{'~' if is_guess else ''}{hours:,.{digits}f}"


def _tuning(rows: Sequence[Row]) -> Iterator[str]:
    """Yield how the arms of a sweep are tuned, with the trials per tuned parameter of each."""
    tuned = {row.arm: row.tuned for row in rows if row.tuned is not None}
    if not tuned:
        return
    first = next(iter(tuned.values()))
    stages = f"{counted(first.trials, 'trial')} x {counted(first.seeds, 'seed')}"
    if first.finalists:
        stages += f", then the best {first.finalist_trials} x {counted(first.finalist_seeds, 'fresh seed')}"
    shares = (
        f"{arm} {protocol.trials / len(protocol.ranges):.3g} ({counted(len(protocol.ranges), 'parameter')})"
        for arm, protocol in tuned.items()
    )
    yield f"tuning of every arm: {stages}; trials per tuned parameter: {', '.join(shares)}"


def _totals(plan: Plan) -> Iterator[str]:
    cells, runs = counted(len(plan.cells), "cell"), counted(sum(map(len, plan.seeds.values())), "run")
    yield f"{cells}, {runs} ({plan.done:,} done); {counted(len(plan.to_train), 'job')} to train"
    if arms := plan.tuned_arms:
        done = sum(job not in plan.to_tune for job in arms)
        trials = counted(plan.num_trials(arms), "run")
        yield f"{counted(len(arms), 'arm')} to be tuned first ({done} done), {trials} of trials in all"
    if finalists := plan.finalists:
        done = sum(job not in plan.to_tune for job in finalists)
        runs = counted(plan.num_trials(finalists), "run")
        yield f"finalists of {counted(len(finalists), 'arm')} to be trained next ({done} done), at most {runs} in all"
    if plan.to_train or plan.to_tune:
        left = plan.left()
        yield f"device hours: {hours_text(*left)} ({_source(plan, left.is_guess)}); disk: {compact(plan.disk_bytes())}B"
    if weights := plan.weights_bytes():
        yield f"weights of all runs (keep_weights: last): {compact(weights)}B"


def _source(plan: Plan, is_guess: bool) -> str:
    """Return where the hours come from: earlier run files, or FLOPs at a rate that is named."""
    estimates = plan.estimates
    measured, unused = counted(estimates.num_files, "earlier run file"), ""
    if estimates.num_of_other_routes:
        unused = f"; not by {counted(estimates.num_of_other_routes, 'run file')} of another route than here"
    if not is_guess:
        return f"by the rate of {measured}{unused}"
    origin = f"measured in {measured}" if estimates.measured_gflops else f"usual on {estimates.device}"
    return f"~ is guessed: training FLOPs at {estimates.gflops:.2g} GFLOP/s, {origin}{unused}"


def _routes(plan: Plan, rows: Sequence[Row]) -> Iterator[str]:
    """Yield the arms whose recurrence a loop computes here, a line for each reason, and of which machine this is said.

    With `kernel: fused` a loop is an error.
    """
    arms: dict[str, dict[str, None]] = {}
    for row in rows:
        for route in row.routes:
            if route.kind == "loop":
                arms.setdefault(route.reason, {})[row.arm] = None
    for reason, labels in arms.items():
        if plan.grid.settings.kernel == "fused":
            yield f"warning: {', '.join(labels)}: kernel: fused, but {reason}. {REMEDY}"
        else:
            yield f"a loop computes the recurrence of {', '.join(labels)}: {reason}"
    if any(route.kind != "none" for row in rows for route in row.routes):
        yield "routes are those of this machine; on another one a job may take another route, which its log names"


def _faults(plan: Plan) -> Iterator[str]:
    """Yield a line for files without a seal, one for each damaged file, and the number of those that are not named."""
    yield from (f"warning: {line}" for line in unsealed_files(plan))
    unsealed = set(plan.unsealed)
    faults = [fault for job, fault in plan.faults.items() if plan.grid.run_path(job) not in unsealed]
    for fault in faults[:MOST_NAMED]:
        yield f"warning: {fault}"
    if len(faults) > MOST_NAMED:
        yield f"warning: {counted(len(faults) - MOST_NAMED, 'more file')} of this kind"


def _far_matches(rows: Sequence[Row]) -> Iterator[str]:
    for match in largest_deviations(match for row in rows for match in row.matches):
        yield (
            f"warning: {match.sweep}, {match.dataset}: {match.arm} at width {match.width} has "
            f"{match.reached:,} {QUANTITIES[match.by]}, {match.deviation:+.1%} from the {match.target:,} of "
            f"{match.to}; no width comes nearer"
        )


def _cautions(cautions: Sequence[Caution]) -> Iterator[str]:
    """Yield a line for each arm that is warned of: its first warning, and how many cells share it."""
    by_place: dict[str, list[Caution]] = {}
    for caution in cautions:
        by_place.setdefault(caution.place, []).append(caution)
    for place, shared in by_place.items():
        more = f" (one of {len(shared)} such warnings)" if len(shared) > 1 else ""
        cell = f"{shared[0].cell}: " if shared[0].arm else ""
        yield f"warning: {place}: {cell}{shared[0].sentence}{more}"
