"""Simulate sweeps whose truth is known, and judge them as real sweeps are judged."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.parameters.statistics import Claim, StatisticsSettings
from hornlib.statistics.contenders import contenders
from hornlib.statistics.summary import core
from hornlib.statistics.verdicts import verdicts

__all__ = [
    "ARMS",
    "BASELINE",
    "CONTROLS",
    "RIVALS",
    "SUBJECT",
    "WORLD_SETTINGS",
    "PlantedArm",
    "World",
    "judge",
    "simulate",
]

SUBJECT, BASELINE = "horn_cnn", "cnn"
RIVALS = (BASELINE, "cnn_equal_flops")
CONTROLS = ("leaky_cnn", "overdamped", "tanh_cnn")
ARMS = (SUBJECT, *RIVALS, *CONTROLS)

WORLD_SETTINGS = StatisticsSettings(
    subject=SUBJECT,
    baseline=BASELINE,
    targets=(),
    claims={
        "faster": Claim(rivals=RIVALS),
        "because_of_oscillation": Claim(what="its oscillation", rivals=RIVALS, controls=CONTROLS),
        "cheaper": Claim(axes=("training_flops", "seconds"), rivals=RIVALS),
    },
    bootstrap=1000,
)
"""The default settings, with the fewest bootstrap draws that they allow: no verdict uses the bootstrap."""

JUDGED_AXES = ("samples", "training_flops", "seconds")

STEPS = np.array(sorted({round(10 ** (k / 12)) for k in range(37)}))
"""Evaluation steps of hornlib's training loop, up to 1,000."""

USUAL_TIME = 100.0
"""Median training steps to the level of the headline target."""

CHANCE, USUAL_GAIN = 0.1, 0.85
NOISE = 0.002
"""Standard deviation of an evaluation."""

STALLED = 0.8
"""Share of the gain at which a run ends that never reaches the target. The target lies at a share of .9."""


class PlantedArm(NamedTuple):
    """The truth about one arm. The defaults describe the usual arm.

    Attributes:
        speed: samples that the usual arm needs to the target, divided by the samples that this arm needs.
        cost: FLOPs and seconds of a step, as a multiple of the usual.
        length: training steps.
        every: the arm is evaluated at every so many of the usual evaluations, counted from the last one.
        spread: standard deviation of the log time to the target, as a multiple of the world's.
        noise: standard deviation of the metric at an evaluation, as a multiple of the usual.
        stalling: share of runs that never reach the target, although they do not diverge.
        diverging: share of runs that diverge, at a step that is drawn log-uniformly.
        end: final gain, as a share of the usual gain.
        shape: k of the learning curve 1 - exp(-(r s)^k). With k below 1 the curve rises early, and slowly after that.
    """

    speed: float = 1.0
    cost: float = 1.0
    length: int = 1000
    every: int = 1
    spread: float = 1.0
    noise: float = 1.0
    stalling: float = 0.0
    diverging: float = 0.0
    end: float = 1.0
    shape: float = 1.0


class World(NamedTuple):
    """The truth about one kind of sweep.

    Attributes:
        arms: arm -> the truth about it. An arm that is not in `ARMS` is trained, too, but no claim names it.
        truth: claim -> the right word, `yes` or `no`. It follows from the true ratios of restricted costs, in which a
            run that misses the target or diverges costs the budget. For a claim that is absent here, neither word is
            right.
        power: claim -> the smallest share of datasets that must get the right word.
        most: (claim, word) -> the largest share of sweeps that may get the wrong word, where it is not alpha.
        num_seeds: runs of each arm.
        sd: standard deviation of the log time to the target.
        num_datasets: datasets of each sweep.
        with_effect: the arms' speeds differ on so many of the first datasets. On the other datasets all arms are
            equally fast, and neither word is right. None: the speeds differ on all datasets.
    """

    arms: dict[str, PlantedArm] = {}  # noqa: RUF012  a NamedTuple's default; never changed
    truth: dict[str, str] = {}  # noqa: RUF012
    power: dict[str, float] = {}  # noqa: RUF012
    most: dict[tuple[str, str], float] = {}  # noqa: RUF012
    num_seeds: int = 10
    sd: float = 0.25
    num_datasets: int = 1
    with_effect: int | None = None

    def labels(self) -> tuple[str, ...]:
        """Return every arm of a sweep."""
        return tuple(dict.fromkeys((*ARMS, *self.arms)))

    def right(self, claim: str) -> list[str]:
        """Return the right word on each dataset, "" where neither word is right."""
        return [self.truth.get(claim, "") if differs else "" for differs in self.has_effect()]

    def has_effect(self) -> list[bool]:
        """Return whether the arms' speeds differ on each dataset."""
        number = self.num_datasets if self.with_effect is None else self.with_effect
        return [place < number for place in range(self.num_datasets)]


def simulate(world: World, num_sweeps: int, seed: int = 0) -> xr.Dataset:
    """Return simulated sweeps in the form of `open_results`, with the additional coordinate `sweep` on cell.

    The metric of a run after s steps is chance + gain g(s) + noise with g(s) = end (1 - exp(-(r s)^k)). The rate r is
    such that g reaches the target .9 after exp(sd z) 100 / speed steps, with z standard normal. The draws of an arm do
    not depend on the other arms.

    Args:
        world: the truth.
        num_sweeps: number of simulated sweeps.
        seed: seed of all draws.

    Returns:
        Dataset with the dimensions (cell, seed, step). The cells of all sweeps stand along one dimension.
    """
    arms = world.labels()
    curves = [_curves(world, arm, num_sweeps, seed) for arm in arms]
    metric, diverged_at = (np.stack(parts, axis=2) for parts in zip(*curves, strict=True))
    return _as_results(world, metric, diverged_at)


def judge(ds: xr.Dataset, settings: StatisticsSettings = WORLD_SETTINGS) -> xr.Dataset:
    """Judge simulated sweeps by the same functions as real sweeps.

    Holm's correction is computed within each sweep. The baseline's metric A, which sets the target's level, is given
    its true value: tuned sweeps know it from the tuning seeds.

    Args:
        ds: from `simulate`.
        settings: claims, target, alpha.

    Returns:
        On (sweep, dataset): `verdict` (.., claim); `lower_end`, whether the subject's final metric is shown to be worse
        than the baseline's; `diverged`, whether a run of the subject diverged; and, for the subject over the baseline
        in samples, `ratio`, `two_part`, `ratio_if_arrived`, `arrival_difference` and their intervals (.., bound).
    """
    runs = contenders(ds)
    labels = np.array(list(dict.fromkeys(runs["dataset"].values.tolist())), object)
    reference = xr.DataArray(np.full(len(labels), CHANCE + USUAL_GAIN), {"dataset": labels}, "dataset")
    result = core(runs, reference, settings, ("arm", "selected_for", "sweep"), JUDGED_AXES)
    by_label, _ = verdicts(result, SUBJECT, settings)
    shape = (len(np.unique(runs["sweep"].values)), -1)
    over_baseline = result.isel(contender=np.flatnonzero(result["arm"] == SUBJECT)).sel(rival=BASELINE)
    pair = over_baseline.sel(target=settings.target, axis="samples")
    words = by_label["verdict"].transpose("dataset", "claim").values
    place = ("sweep", "dataset")
    variables = {
        "verdict": ((*place, "claim"), words.reshape(*shape, words.shape[1])),
        "lower_end": (place, (over_baseline["non_inferior"] == "no").values.reshape(shape)),
        "diverged": (place, (over_baseline["num_diverged"] > 0).values.reshape(shape)),
    }
    for name in ("ratio", "two_part", "ratio_if_arrived", "arrival_difference"):
        variables[name] = (place, pair[name].values.reshape(shape))
    for name in ("ratio_bound", "ratio_if_arrived_bound", "arrival_difference_bound"):
        variables[name] = ((*place, "bound"), pair[name].transpose(..., "bound").values.reshape(*shape, 2))
    return xr.Dataset(variables, coords={"claim": by_label["claim"].values})


def _curves(world: World, arm: str, num_sweeps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the metric of an arm, (sweep, dataset, seed, step), and the step of each divergence, NaN for none."""
    planted = world.arms.get(arm, PlantedArm())
    shape = (num_sweeps, world.num_datasets, world.num_seeds)
    random = np.random.default_rng([seed, *shape, *f"planted worlds {arm}".encode()])
    speed = np.where(world.has_effect(), planted.speed, 1.0)[:, None]
    times = USUAL_TIME / speed * np.exp(world.sd * planted.spread * random.standard_normal(shape))
    rate = (-np.log(1 - 0.9 / planted.end)) ** (1 / planted.shape) / times
    gain = planted.end * (1 - np.exp(-((rate[..., None] * STEPS) ** planted.shape)))
    noise = NOISE * planted.noise * random.standard_normal((*shape, len(STEPS)))
    stalls = random.random(shape) < planted.stalling
    metric = CHANCE + USUAL_GAIN * gain * np.where(stalls, STALLED, 1.0)[..., None] + noise
    diverges = random.random(shape) < planted.diverging
    diverged_at = np.where(diverges, planted.length ** random.random(shape), np.nan)
    metric[diverged_at[..., None] <= STEPS] = np.nan
    return metric, diverged_at


def _as_results(world: World, metric: np.ndarray, diverged_at: np.ndarray) -> xr.Dataset:
    """Return curves (sweep, dataset, arm, seed, step) as a Dataset with the names of results.nc."""
    num_sweeps, num_datasets, num_arms, num_seeds, _ = metric.shape
    planted = [world.arms.get(arm, PlantedArm()) for arm in world.labels()]
    repeats = num_sweeps * num_datasets
    arms = np.tile(np.array(world.labels(), object), repeats)
    cost = np.tile([arm.cost for arm in planted], repeats)
    evaluated = np.tile([_evaluated(arm) for arm in planted], (repeats, 1))
    last = len(STEPS) - 1 - evaluated[:, ::-1].argmax(1)
    sweeps = np.repeat([f"sweep-{index:04d}" for index in range(num_sweeps)], num_datasets * num_arms)
    datasets = np.tile(np.repeat(np.arange(num_datasets), num_arms), num_sweeps)
    tasks = np.array([f"{sweep} data-{place}" for sweep, place in zip(sweeps, datasets, strict=True)], object)
    whole = metric.reshape(-1, num_seeds, len(STEPS))
    final = np.take_along_axis(whole, last[:, None, None], -1)[..., 0]
    curves = np.where(evaluated[:, None], whole, np.nan)
    diverged_at = diverged_at.reshape(-1, num_seeds)
    flops = np.where(np.isnan(curves), np.nan, (cost[:, None] * STEPS)[:, None])
    runs, dims = ("cell", "seed"), ("cell", "seed", "step")
    return xr.Dataset(
        {
            "validation_metric": (dims, curves),
            "test_metric": (dims, curves),
            "final_validation_metric": (runs, final),
            "final_test_metric": (runs, final),
            "training_flops": (dims, flops),
            "seconds": (dims, flops),
            "num_parameters": (dims, np.broadcast_to(1.0, curves.shape)),
            "samples": (("cell", "step"), np.where(evaluated, 64.0 * STEPS, np.nan)),
            "step_time": (("cell", "calibration_device"), cost[:, None]),
            "diverged_at_step": (runs, diverged_at),
            "status": (runs, np.where(np.isnan(diverged_at), "complete", "diverged").astype(object)),
        },
        coords={
            "cell": [f"{task}-{arm}" for task, arm in zip(tasks, arms, strict=True)],
            "seed": np.arange(num_seeds),
            "step": STEPS,
            "calibration_device": ["planted"],
            "arm": ("cell", arms),
            "model": ("cell", arms),
            "sweep": ("cell", sweeps.astype(object)),
            "dataset": ("cell", tasks),
            "direction": ("cell", np.full(len(arms), "maximise", object)),
            "chance_level": ("cell", np.full(len(arms), CHANCE)),
            "forward_flops": ("cell", cost),
        },
    )


def _evaluated(arm: PlantedArm) -> np.ndarray:
    """Return at which of `STEPS` an arm is evaluated, (step,): at its last step, and at every so many steps before."""
    within = np.flatnonzero(arm.length >= STEPS)
    return np.isin(np.arange(len(STEPS)), within[::-1][:: arm.every])
