"""Planted worlds: simulated sweeps whose truth is known, to see how often the verdicts are right."""

from typing import NamedTuple

import numpy as np
import xarray as xr

from hornlib.statistics.contenders import contenders
from hornlib.statistics.restricted_mean import baseline_metric
from hornlib.statistics.settings import Claim, StatisticsSettings
from hornlib.statistics.summary import core
from hornlib.statistics.verdicts import CLAIMS, verdicts

__all__ = ["ARMS", "WORLDS", "WORLD_SETTINGS", "World", "judge", "simulate"]

SUBJECT = "horn_cnn"
RIVALS = ("cnn", "cnn_equal_flops")
CONTROLS = ("leaky_cnn", "overdamped", "tanh_cnn")
ARMS = (SUBJECT, *RIVALS, *CONTROLS)

WORLD_SETTINGS = StatisticsSettings(
    subject=SUBJECT,
    baseline="cnn",
    targets=(),
    claims={
        "faster": Claim(rivals=RIVALS),
        "because_of_oscillation": Claim(what="its oscillation", rivals=RIVALS, controls=CONTROLS),
        "cheaper": Claim(axes=("training_flops", "seconds"), rivals=RIVALS),
    },
    alpha=0.02,
    bootstrap=2000,
)

STEPS = np.array(sorted({round(10 ** (k / 12)) for k in range(37)}))

USUAL_TIME = 100.0
CHANCE, USUAL_GAIN = 0.1, 0.85
NOISE = 0.002
"""Standard deviation of an evaluation."""


class World(NamedTuple):
    """What is true in a world; where nothing is said, all arms are alike.

    Attributes:
        speed: arm -> how many times fewer samples it needs to the headline's level.
        cost: FLOPs and seconds of the subject's step, as multiples of the others'.
        end: the subject's final gain, as a share of the others'.
        shape: k of the subject's curve 1 - exp(-(r s)^k); below 1 it rises early and then slowly.
        diverging: share of the subject's runs that diverge, at a step drawn log-uniformly.
        wanted: (claim, verdict) -> (least, most) share of sweeps that may say so.
    """

    speed: dict[str, float] = {}  # noqa: RUF012  a NamedTuple's default; never changed
    cost: float = 1.0
    end: float = 1.0
    shape: float = 1.0
    diverging: float = 0.0
    wanted: dict[tuple[str, str], tuple[float, float]] = {}  # noqa: RUF012


NEARLY_ALWAYS, HARDLY_EVER = (0.95, 1.0), (0.0, 0.035)

WORLDS: dict[str, World] = {
    "1.5 times faster than all": World(
        speed={SUBJECT: 1.5},
        wanted={
            ("faster", "yes"): NEARLY_ALWAYS,
            ("because_of_oscillation", "yes"): (0.9, 1.0),  # all five rivals at once: less power
            ("cheaper", "yes"): NEARLY_ALWAYS,
        },
    ),
    "equal": World(
        wanted={(claim, "yes"): HARDLY_EVER for claim in CLAIMS} | {("faster", "no"): HARDLY_EVER}
    ),
    "faster than the CNNs, equal to leaky": World(
        speed={SUBJECT: 1.5, "leaky_cnn": 1.5},
        wanted={("faster", "yes"): NEARLY_ALWAYS, ("because_of_oscillation", "yes"): HARDLY_EVER},
    ),
    "faster in samples, slower in FLOPs": World(
        speed={SUBJECT: 1.5},
        cost=3.0,
        wanted={("faster", "yes"): NEARLY_ALWAYS, ("cheaper", "yes"): HARDLY_EVER},
    ),
    "early fast, equal at the target, lower end": World(
        end=0.95, shape=0.5, wanted={(claim, "yes"): HARDLY_EVER for claim in CLAIMS}
    ),
    "1.5 times faster, but 40 % of the runs diverge": World(
        speed={SUBJECT: 1.5}, diverging=0.4, wanted={(claim, "yes"): HARDLY_EVER for claim in CLAIMS}
    ),
    "1.1 times faster than all": World(
        speed={SUBJECT: 1.1}, wanted={("faster", "yes"): (0.0, 0.4), ("faster", "no"): HARDLY_EVER}
    ),
}


def simulate(
    world: World, num_sweeps: int, num_seeds: int = 15, sd: float = 0.2, seed: int = 0
) -> xr.Dataset:
    """Return sweeps of a world as `open_results` would give one; each stands as a dataset of its own.

    A run's metric is chance + A' g(s) + noise, g(s) = end (1 - exp(-(r s)^k)), with r such that g reaches the
    headline's level .9 after exp(sd z) x 100 / speed steps, z standard normal.

    Args:
        world: what is true.
        num_sweeps: simulated sweeps.
        num_seeds: runs of each arm.
        sd: standard deviation of the log time.
        seed: of all draws.
    """
    random = np.random.default_rng([seed, num_sweeps, num_seeds, *b"planted worlds"])
    shape = (num_sweeps, len(ARMS), num_seeds)
    subject = np.array([arm == SUBJECT for arm in ARMS])[None, :, None]
    speed = np.array([world.speed.get(arm, 1.0) for arm in ARMS])[None, :, None]
    times = USUAL_TIME / speed * np.exp(sd * random.standard_normal(shape))
    end, power = np.where(subject, world.end, 1.0), np.where(subject, world.shape, 1.0)
    rate = (-np.log(1 - 0.9 / end)) ** (1 / power) / times
    gain = end[..., None] * (1 - np.exp(-((rate[..., None] * STEPS) ** power[..., None])))
    metric = CHANCE + USUAL_GAIN * gain + NOISE * random.standard_normal((*shape, len(STEPS)))
    diverges = subject & (random.random(shape) < world.diverging)
    diverged_at = np.where(diverges, STEPS[-1] ** random.random(shape), np.nan)
    metric[diverged_at[..., None] <= STEPS] = np.nan
    return _as_results(metric, diverged_at, world.cost)


def judge(ds: xr.Dataset, settings: StatisticsSettings = WORLD_SETTINGS) -> xr.Dataset:
    """Return the `verdict` (dataset, claim) of each simulated sweep, by the statistics that real ones go through.

    Beside it, on (dataset): `lower_end` and `diverged`, whether the report would tell so of the subject.
    """
    runs = contenders(ds)
    reference = baseline_metric(runs, settings.baseline)
    axes = ("samples", "training_flops", "seconds")
    result = core(runs, reference, settings, ("arm", "selected_for", "dataset"), axes)
    judged, _ = verdicts(result["conclusion"], SUBJECT, settings)
    own = result.isel(contender=np.flatnonzero(result["arm"] == SUBJECT)).swap_dims(contender="dataset")
    judged["lower_end"] = own["non_inferior"].sel(rival=RIVALS[0], drop=True) == "no"
    judged["diverged"] = own["num_diverged"] > 0
    return judged.drop_vars([name for name in judged.coords if name not in ("dataset", "claim")])


def _as_results(metric: np.ndarray, diverged_at: np.ndarray, cost: float) -> xr.Dataset:
    """Return curves (sweep, arm, seed, step) under the names that results.nc has."""
    num_sweeps, _, num_seeds, _ = metric.shape
    curves = metric.reshape(-1, num_seeds, len(STEPS))
    diverged_at = diverged_at.reshape(-1, num_seeds)
    arms = np.tile(np.array(ARMS, object), num_sweeps)
    sweeps = np.repeat([f"sweep-{index:04d}" for index in range(num_sweeps)], len(ARMS)).astype(object)
    step_cost = np.where(arms == SUBJECT, cost, 1.0)
    flops = np.where(np.isnan(curves), np.nan, (step_cost[:, None] * STEPS)[:, None])
    runs, dims = ("cell", "seed"), ("cell", "seed", "step")
    return xr.Dataset(
        {
            "validation_metric": (dims, curves),
            "test_metric": (dims, curves),
            "final_validation_metric": (runs, curves[..., -1]),
            "final_test_metric": (runs, curves[..., -1]),
            "training_flops": (dims, flops),
            "seconds": (dims, flops),
            "num_parameters": (dims, np.broadcast_to(1.0, curves.shape)),
            "samples": (("cell", "step"), np.broadcast_to(64.0 * STEPS, (len(arms), len(STEPS)))),
            "step_time": (("cell", "calibration_device"), step_cost[:, None]),
            "diverged_at_step": (runs, diverged_at),
            "status": (runs, np.where(np.isnan(diverged_at), "complete", "diverged").astype(object)),
        },
        coords={
            "cell": [f"{sweep}-{arm}" for sweep, arm in zip(sweeps, arms, strict=True)],
            "seed": np.arange(num_seeds),
            "step": STEPS,
            "calibration_device": ["planted"],
            "arm": ("cell", arms),
            "model": ("cell", arms),
            "dataset": ("cell", sweeps),
            "direction": ("cell", np.full(len(arms), "maximise", object)),
            "chance_level": ("cell", np.full(len(arms), CHANCE)),
            "forward_flops": ("cell", step_cost),
        },
    )
