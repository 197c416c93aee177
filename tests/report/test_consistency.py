"""No row of statistics.nc or of the page contradicts itself: word, Holm's p, interval, arrivals and sentence agree."""

import dataclasses
import json
import re

import numpy as np
import pytest
import xarray as xr

from hornlib.parameters.statistics import Claim, StatisticsSettings
from hornlib.report.blocks import Cards, PageTable
from hornlib.report.evidence import SweepEvidence, collect
from hornlib.report.sections.answer import answer
from hornlib.report.sections.efficiency import efficiency
from hornlib.report.sections.speed import speed
from hornlib.statistics.summary import summarise

STEPS = np.array(sorted({round(10 ** (k / 12)) for k in range(37)}))
DATASETS = ("digits", "mnist", "fashion_mnist")
RIVALS, CONTROLS = ("cnn", "cnn_flops"), ("leaky",)
ARMS = ("horn", *RIVALS, *CONTROLS)

SETTINGS = StatisticsSettings(
    subject="horn",
    targets=(),
    claims={
        "faster": Claim(rivals=RIVALS),
        "because_of_oscillation": Claim(what="its oscillation", rivals=RIVALS, controls=CONTROLS),
        "cheaper": Claim(axes=("training_flops", "seconds"), rivals=RIVALS),
        "leaky_faster": Claim(subject="leaky", rivals=("cnn",)),
    },
    bootstrap=1000,
)

PLANTED = {
    "equal": {},
    "faster": {"speed": 2.0},
    "slower": {"speed": 0.5},
    "close to the border": {"speed": 1.3, "sd": 0.3},
    "half never arrives": {"speed": 1.5, "stalling": 0.5},
    "hardly anybody arrives": {"stalling": 0.9},
    "some diverge": {"speed": 1.5, "diverging": 0.3},
    "few seeds": {"speed": 2.0, "num_seeds": 5},
    "dear": {"speed": 1.5, "cost": 3.0},
}
"""What is true of the subject; the other arms are alike."""


def simulated(seed, speed=1.0, sd=0.25, stalling=0.0, diverging=0.0, num_seeds=10, cost=1.0):
    """Return a sweep of four arms on three datasets, as `open_results` gives it."""
    random = np.random.default_rng(seed)
    entries = [(arm, dataset) for dataset in DATASETS for arm in ARMS]
    shape, own = (len(entries), num_seeds), np.array([arm == "horn" for arm, _ in entries])[:, None]
    times = 100 / np.where(own, speed, 1.0) * np.exp(sd * random.standard_normal(shape))
    ends = np.where(random.random(shape) < np.where(own, stalling, stalling / 2), 0.5, 1.0)
    curve = 0.1 + 0.85 * ends[..., None] * (1 - np.exp(-np.log(10) * STEPS / times[..., None]))
    diverged_at = np.where(own & (random.random(shape) < diverging), 500.0, np.nan)
    curve[diverged_at[..., None] <= STEPS] = np.nan
    flops = np.where(np.isnan(curve), np.nan, np.where(own, cost, 1.0)[..., None] * STEPS)
    dims = ("cell", "seed", "step")
    curves = {f"{part}_metric": curve for part in ("validation", "test")}
    curves |= {f"{part}_loss": 1 - curve for part in ("validation", "test", "training")}
    curves |= {"training_flops": flops, "seconds": flops, "num_parameters": flops * 0 + 500}
    known = {
        "arm": [arm for arm, _ in entries],
        "model": [{"horn": "horn_cnn"}.get(arm, "cnn") for arm, _ in entries],
        "dataset": [dataset for _, dataset in entries],
        "direction": ["maximise"] * len(entries),
        "metric": ["accuracy"] * len(entries),
        "chance_level": [0.1] * len(entries),
        "forward_flops": [1000.0] * len(entries),
    }
    return xr.Dataset(
        {name: (dims, values) for name, values in curves.items()}
        | {f"final_{name}": (dims[:2], values[..., -1]) for name, values in curves.items()}
        | {
            "samples": (("cell", "step"), np.tile(64.0 * STEPS, (len(entries), 1))),
            "step_time": (("cell", "calibration_device"), np.where(own, cost, 1.0)),
            "diverged_at_step": (dims[:2], diverged_at),
            "status": (dims[:2], np.where(np.isnan(diverged_at), "complete", "diverged").astype(object)),
        },
        coords={
            "cell": [f"cell-{index}" for index in range(len(entries))],
            "seed": np.arange(num_seeds),
            "step": STEPS,
            "calibration_device": ["planted"],
            **{name: ("cell", np.array(values)) for name, values in known.items()},
        },
        attrs={"mixed_versions": ""},
    )


def random_sweep(seed):
    random = np.random.default_rng([seed, 7])
    return simulated(
        seed,
        speed=float(np.exp(0.4 * random.standard_normal())),
        sd=float(random.uniform(0.05, 0.6)),
        stalling=float(random.choice([0, 0, 0.3, 0.7])),
        diverging=float(random.choice([0, 0, 0.2, 0.6])),
        num_seeds=int(random.integers(6, 13)),
        cost=float(np.exp(random.standard_normal())),
    )


@pytest.fixture(scope="module", params=[*PLANTED, *range(4)], ids=str)
def summary(request):
    """Statistics of a planted or of a random sweep."""
    kind = request.param
    return summarise(random_sweep(kind) if isinstance(kind, int) else simulated(1, **PLANTED[kind]), SETTINGS)


@pytest.fixture(scope="module")
def sections(summary, tmp_path_factory):
    """The sections of the page that show comparisons."""
    sweep = SweepEvidence("planted", None, summary)
    evidence = dataclasses.replace(collect(tmp_path_factory.mktemp("nothing"), []), sweeps=[sweep])
    return [section(evidence) for section in (answer, speed, efficiency)]


def contradicts(word, ratio, low, high, p_holm, arrivals):
    """Return what is wrong with a row, "" if nothing is; an interval that is not there is NaN."""
    if word == "too few arrivals":
        return "" if arrivals < SETTINGS.min_seeds else "enough runs arrived"
    if word in ("yes", "no"):
        if not p_holm <= SETTINGS.alpha:
            return "decided, but Holm's p does not reject"
        if arrivals < SETTINGS.min_seeds:
            return "decided on too few arrivals"
        if np.isfinite(low) and not (high <= 1 if word == "yes" else low >= 1):
            return "decided, but the interval holds ratios of both sides"
    if word == "not distinguished":
        if p_holm <= SETTINGS.alpha:
            return "open, but Holm's p rejects"
        if np.isfinite(low) and not low <= 1 <= high:
            return "open, but the interval excludes 1"
    if np.isfinite(low) and not low <= ratio <= high:
        return "the ratio lies outside of its interval"
    return ""


def test_no_row_of_the_statistics_contradicts_itself(summary):
    at = summary.sel(target=SETTINGS.target)
    dims = ("contender", "rival", "axis")
    low, high = (at["ratio_bound"].sel(bound=end).transpose(*dims).values for end in ("low", "high"))
    names = ("conclusion", "ratio", "p_value", "p_holm", "arrived", "rival_arrived", "two_part")
    words, ratio, p_value, p_holm, own, rival, two_part = (at[name].transpose(*dims).values for name in names)
    num_rows = 0
    for place in np.argwhere(at["rival_contender"].values != "").tolist():
        for axis in range(at.sizes["axis"]):
            row = (*place, axis)
            arrivals = own[row] + rival[row]
            wrong = contradicts(words[row], ratio[row], low[row], high[row], p_holm[row], arrivals)
            assert not wrong, (row, wrong)
            assert not p_holm[row] < p_value[row]
            assert not (two_part[row] == 1 and np.isfinite(low[row]))
            num_rows += words[row] != "not measured"
    assert num_rows > 50


def parsed(text):
    """Return the numbers of "0.71 [0.6, 0.83]", NaN where they are not there."""
    numbers = [
        np.inf if word == "∞" else float(word.replace(",", ""))
        for word in re.findall(r"∞|\d[\d,.e+-]*\d|\d", text)
    ]
    return [*numbers, np.nan, np.nan, np.nan][:3]


def test_no_row_of_the_page_contradicts_itself(sections):
    tables = [block for section in sections for block in section.all_blocks() if isinstance(block, PageTable)]
    num_rows = 0
    for table in tables:
        columns = {name: place for place, name in enumerate(table.columns)}
        for row in table.rows if "needs less" in columns else []:
            cell = {name: row[place] for name, place in columns.items()}
            arrivals = cell["arrived"].key + cell["rival arrived"].key
            word = cell["needs less"].shown
            wrong = contradicts(
                word, *parsed(cell["ratio"].shown.replace(", ", " ")), cell["p, Holm"].key, arrivals
            )
            assert not wrong, (table.name, [entry.shown for entry in row], wrong)
            assert word != "too few arrivals" or cell["ratio"].shown == "–"
            num_rows += 1
    assert num_rows > 30


def test_verdicts_and_sentences_say_what_their_comparisons_say(summary, sections):
    rows = next(
        block
        for block in sections[0].all_blocks()
        if isinstance(block, PageTable) and "comparisons" in block.name
    )
    words = {}
    for row in rows.rows:
        words.setdefault((row[1].shown, row[0].shown.replace(" ", "_")), []).append(row[4].shown)
    for (dataset, claim), own in words.items():
        found = summary.sel(dataset=dataset, claim=claim)
        verdict, sentence = str(found["verdict"].item()), str(found["verdict_sentence"].item())
        assert sentence.lower().startswith(f"{verdict}: ")
        assert (verdict == "yes") == (set(own) == {"yes"})
        assert verdict not in ("no", "mixed") or "no" in own
        assert verdict != "mixed" or "yes" in own
        agree_with_words(sentence)
    for sentence in summary["overall_sentence"].values:
        agree_with_words(str(sentence))


def agree_with_words(sentence):
    """Check each comparison of a sentence: its words against its interval and its p-value."""
    assert not re.search(r"not fewer|does not help|equal|no difference", sentence)
    decided = re.findall(
        r"needs ([\d.]+) \[([\d.]+), ([\d.∞]+)\] times .*?Holm's p (= ([\d.e-]+)|< 0.001)", sentence
    )
    for ratio, low, high, _, p_value in decided:
        assert float(p_value or 0) <= SETTINGS.alpha
        assert float(high.replace("∞", "inf")) <= 1 if float(ratio) < 1 else float(low) >= 1
    for found in re.findall(r"\(ratio ([\d.]+) \[([\d.]+), ([\d.∞]+)\], .*?Holm's p = ([\d.e-]+)", sentence):
        ratio, low, high, p_value = (float(number.replace("∞", "inf")) for number in found)
        assert low <= ratio <= high and low <= 1 <= high and p_value > SETTINGS.alpha
    for found in re.findall(r"needs (?:fewer|more) .*?Holm's p = ([\d.e-]+)", sentence):
        assert float(found) <= SETTINGS.alpha


def test_cards_show_the_verdicts_and_intervals_of_the_statistics(summary, sections):
    (cards,) = [block for block in sections[0].all_blocks() if isinstance(block, Cards)]
    assert [card.verdict for card in cards.cards] == summary["overall_verdict"].values.tolist()
    assert [card.question for card in cards.cards] == summary["question"].values.tolist()
    for card in cards.cards:
        for interval in card.intervals:
            ratio = parsed(interval.words.partition(", n =")[0].replace(", ", " "))[0]
            assert (interval.point < interval.one) == (ratio < 1) or ratio == pytest.approx(1, abs=5e-3)


def test_settings_and_limits_can_be_read_from_the_attributes(summary):
    assert StatisticsSettings.model_validate_json(summary.attrs["settings"]) == SETTINGS
    assert all(sentence.endswith(".") for sentence in json.loads(summary.attrs["limits"]))
