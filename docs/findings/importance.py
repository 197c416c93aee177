"""What a weight's magnitude says of its importance: exploration, hypotheses, rules with their cells, code.

hornlib importance --configfile config/importance.yaml
python docs/findings/importance.py <importance.nc> --out docs/findings/importance.md

Before the confirming sweep is trained, with `hornlib importance --partial`:
python docs/findings/importance.py <importance_partial.nc> --directions docs/findings/importance_hypotheses.md
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import xarray as xr
from importance_figure import draw
from importance_hypotheses import (
    BESIDE,
    EXPLORED,
    HYPOTHESES,
    Verdict,
    cells_by_direction,
    direction_lines,
    directions_in,
    verdicts,
)
from importance_pairs import drop_rule_of, log_ratio, mean_effect, of_rule, over_runs, part_of
from importance_tables import (
    TITLES,
    as_ratio,
    distribution,
    drops,
    factor_lines,
    gate,
    layers,
    leading,
    proxies,
    removal,
    topology,
)
from tables import in_table, write_below_mark

from hornlib.results.importance_file import importance_sweeps, open_importance, sweep_of_importance

HYPOTHESES_PAGE = Path("docs/findings/importance_hypotheses.md")

SUPPORTING = (*EXPLORED, "cnn", "lstm", "confirmation")
"""Sweeps whose cells stand beside each rule."""

MOST_LABELS = 12
"""Labels of cells that a line names."""


def sentence(ds: xr.Dataset, found: dict[str, Verdict]) -> Iterator[str]:
    """Yield the answer in one sentence; it stands in the README too.

    Args:
        ds: importance.nc.
        found: verdicts of the confirming runs.
    """
    present = importance_sweeps(ds)
    if "exploration" not in present:
        yield from ("The sweep exploration has no results yet.", "")
        return
    sweep = sweep_of_importance(ds, "exploration")
    rho = sweep["pooled_spearman"].sel(split="held_out").mean("cell", skipna=False)
    magnitude, second = (over_runs(rho.sel(proxy=proxy).values) for proxy in ("magnitude", "second_order"))
    factor, _ = leading(sweep)
    words = [
        f"A weight's magnitude ranks its importance at rho = {magnitude.words()}",
        f"{factor.replace('_', ' ') or 'no factor is shown to'} change{'s' if factor else ''} that most",
        f"the second order, -g w + h w^2 / 2, ranks it at {second.words()}",
        *filter(None, (_dropped(ds, rule, name) for rule, name in NAMED.items())),
    ]
    if found:
        counts = [f"{sum(verdict.word == word for verdict in found.values())} {word}" for word in WORDS]
        words.append(f"of {len(found)} hypotheses on Fashion-MNIST, {', '.join(counts)}")
    scope = f"digits, {sweep.sizes['cell']} cells of an MLP, n = {magnitude.number} seeds, held-out examples"
    yield from (f"*{'; '.join(words)} ({scope}).*", "")


WORDS = ("confirmed", "contradicted", "not shown")


NAMED = {"set_stopped": "SET (stopped at three quarters)", "rigl": "RigL"}
"""Rules of which the sentence speaks. What SET has grown last has no size yet, so that its drop says nothing."""


def _dropped(ds: xr.Dataset, rule: str, name: str) -> str:
    """Return the words for what a rule would drop of networks that it has trained; "" without such networks."""
    part = of_rule(part_of(ds, ("topology",)), rule)
    if not part.sizes["cell"]:
        return ""
    dropped = part.sel(split="held_out", drop_rule=drop_rule_of(rule))
    log = over_runs(log_ratio(dropped).mean("cell", skipna=False).values)
    verb = (
        "matters less"
        if log.high < 0
        else "matters more"
        if log.low > 0
        else "is not shown to matter less or more"
    )
    return f"what {name} would drop {verb} than a random choice, {as_ratio(log)} of its mean |dL|"


def framework(found: dict[str, Verdict], directions: dict[str, str]) -> Iterator[str]:
    """Yield what was predicted, and what the confirming runs say."""
    if not directions:
        yield from (f"{HYPOTHESES_PAGE.name} does not exist yet: no direction was written down.", "")
        return
    yield from (
        "Directions were written from digits, before Fashion-MNIST was trained "
        f"([{HYPOTHESES_PAGE.name}]({HYPOTHESES_PAGE.name})). Two-sided t-tests over seeds, Holm's correction over all "
        "rows, level .05; held-out examples.",
        "",
        "| hypothesis | measure | predicted | n | effect on Fashion-MNIST [95 %] | p, Holm | verdict |",
        "|---|---|---|---:|---:|---:|---|",
    )
    for name, direction in directions.items():
        if name not in found:
            yield f"| {name} | {in_table(HYPOTHESES[name].measure)} | {direction} | 0 | - | - | no results yet |"
            continue
        verdict = found[name]
        p = "< .001" if verdict.p < 0.001 else f"{verdict.p:.3f}"
        yield (
            f"| {name} | {in_table(HYPOTHESES[name].measure)} | {direction} | {verdict.estimate.number} | "
            f"{verdict.estimate.words(3)} | {p} | {verdict.word} |"
        )
    yield ""


def beside(ds: xr.Dataset) -> Iterator[str]:
    """Yield comparisons that were not registered, without a test."""
    yield from (
        "Not registered, beside these tests and without a part in their correction: the rank of what a rule would "
        "drop, and SET whose updates ended at three quarters of the training, as those of RigL do.",
        "",
        "| comparison | measure | sweep | n | effect on held-out examples [95 %] |",
        "|---|---|---|---:|---:|",
    )
    for hypothesis in BESIDE.values():
        for sweep in ("topology", "confirmation"):
            part = part_of(ds, (sweep,))
            effects = hypothesis.effects(part, "held_out") if part.sizes["cell"] else []
            if effects:
                estimate = mean_effect(effects)
                yield (
                    f"| {hypothesis.claim} | {in_table(hypothesis.measure)} | {sweep} | {estimate.number} | "
                    f"{estimate.words(3)} |"
                )
    yield ""


def rules(ds: xr.Dataset, directions: dict[str, str], found: dict[str, Verdict]) -> Iterator[str]:
    """Yield every rule with the cells that support it, those that contradict it, and the check on training examples."""
    for name, direction in directions.items():
        hypothesis, word = HYPOTHESES[name], found[name].word if name in found else "not tested yet"
        yield from (
            f"**{name}: {hypothesis.claim}** (predicted: {direction}; Fashion-MNIST: {word}). Measure: "
            f"{hypothesis.measure}.",
            "",
            "| sweep | pairs | held-out examples [95 %] | training examples [95 %] | support | contradict | open | "
            "pairs that support | pairs that contradict |",
            "|---|---:|---:|---:|---:|---:|---:|---|---|",
        )
        for sweep in SUPPORTING:
            part = part_of(ds, (sweep,))
            effects = hypothesis.effects(part, "held_out") if part.sizes["cell"] else []
            if not effects:
                continue
            supporting, contradicting, open_pairs = cells_by_direction(effects, direction)
            shown = [
                mean_effect(hypothesis.effects(part, split)).words(3) for split in ("held_out", "training")
            ]
            yield (
                f"| {sweep} | {len(effects)} | {shown[0]} | {shown[1]} | {len(supporting)} | {len(contradicting)} | "
                f"{open_pairs} | {_listed(supporting)} | {_listed(contradicting)} |"
            )
        yield ""


def _listed(labels: list[str]) -> str:
    """Return the first labels of cells, and how many more there are."""
    more = f", and {len(labels) - MOST_LABELS} more" if len(labels) > MOST_LABELS else ""
    return (", ".join(labels[:MOST_LABELS]) or "-") + more


def lines(ds: xr.Dataset, directions: dict[str, str]) -> Iterator[str]:
    """Yield the lines of the page.

    Args:
        ds: importance.nc.
        directions: what was predicted, from the page of hypotheses.
    """
    present = importance_sweeps(ds)
    sweeps = {name: sweep_of_importance(ds, name) for name in TITLES if name in present}
    found = verdicts(ds, directions)
    yield from ("## In one sentence", "", *sentence(ds, found), "## Gate", "", *gate(sweeps))
    yield from ("## 1. Exploration", "", *proxies(sweeps))
    if "exploration" in sweeps:
        yield from (*factor_lines(sweeps["exploration"]), *layers(sweeps["exploration"]))
    if "topology" in sweeps:
        yield from topology(sweeps["topology"])
    yield from (*distribution(sweeps), *removal(sweeps), *drops(sweeps))
    yield from ("![Proxies and removal](importance.svg)", "")
    yield from ("## 2. Framework and hypotheses", "", *framework(found, directions), *beside(ds))
    yield from (
        "## 3. Rules",
        "",
        "A pair of cells that differ in one factor alone supports or contradicts a rule where its own 95 % interval "
        "over runs leaves out 0; all others are open. With many pairs some do so by chance.",
        "",
        *rules(ds, directions, found),
    )
    yield from ("## 4. Code and report", "", *CODE)


CODE = (
    "- `hornlib/importance/`: exact ablation (`ablation/`), curvature (`curvature/`), `proxies.py`, rank statistics "
    "(`agreement.py`), concentration, removal of sets, what SET and RigL drop.",
    "- `keep_weights: last` and `importance: {}` in a configuration measure any sweep of mlp, cnn and rnn; `hornlib "
    "importance` measures anew after a change of settings, and retrains nothing.",
    "- `importance.nc` has every statistic of every network with units; the files in `importance/` have every judged "
    "connection. The section *Importance of connections* of `report.html` shows both.",
    "- `benchmarks/importance.py` compares the incremental form with the plain loop.",
)


def main() -> None:
    """Read importance.nc, and write the hypotheses or the page and its figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("importance", type=Path)
    parser.add_argument("--directions", type=Path, help="write the hypotheses there, and nothing else")
    parser.add_argument("--hypotheses", type=Path, default=HYPOTHESES_PAGE, help="the page of hypotheses")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if (arguments.directions is None) == (arguments.out is None):
        parser.error("give either --directions or --out")
    ds = open_importance(arguments.importance)
    if arguments.directions is not None:
        arguments.directions.write_text("\n".join(direction_lines(ds)) + "\n")
        return
    page = lines(ds, directions_in(arguments.hypotheses))
    write_below_mark(arguments.out, "Importance", "docs/findings/importance.py", page)
    draw(arguments.out.with_suffix(".svg"), ds)


if __name__ == "__main__":
    main()
