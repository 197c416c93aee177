"""The list of planted worlds: the truth of each, the right words, and how often the verdicts must be right."""

from typing import Any

from planted.worlds import ARMS, BASELINE, SUBJECT, PlantedArm, World

__all__ = ["BYSTANDER", "WORLDS", "unseen"]

BYSTANDER = "bystander"
"""An arm that no claim names."""

ALL_YES = {"faster": "yes", "because_of_oscillation": "yes", "cheaper": "yes"}
ALL_NO = dict.fromkeys(ALL_YES, "no")

FASTER = PlantedArm(speed=1.5)
PRECISE: dict[str, Any] = {"num_seeds": 15, "sd": 0.2}

POWER = {
    (7, 0.25): (0.55, 0.34),
    (7, 0.35): (0.26, 0.1),
    (10, 0.25): (0.8, 0.65),
    (10, 0.35): (0.46, 0.25),
    (15, 0.2): (0.99, 0.99),
}
"""(seeds, standard deviation) -> power of a subject that is 1.5 times faster: against two rivals, and against two
rivals and three controls.

It was computed without hornlib: times were drawn 20,000 times and rounded up to evaluations. The power is the share of
draws in which the t-tests of log times reject at 5 % against every rival."""

POWER_OF_THREE = (0.73, 0.55)
"""The same power for ten seeds, a standard deviation of .25 and Holm's correction over three datasets."""


def _power(two_rivals: float, with_controls: float) -> dict[str, float]:
    return {"faster": two_rivals, "because_of_oscillation": with_controls, "cheaper": two_rivals}


USUAL_POWER = _power(*POWER[10, 0.25])

DIVERGING = 0.15
"""Share of runs that diverge, in the worlds that have diverging runs of one arm."""


def unseen(num_seeds: int) -> float:
    """Return the probability that none of `num_seeds` runs diverges if each diverges with probability `DIVERGING`."""
    return float((1 - DIVERGING) ** num_seeds)


WORLDS: dict[str, World] = {
    "1.5 times faster than all": World(
        {SUBJECT: FASTER},
        truth=ALL_YES,
        power=_power(*POWER[15, 0.2]),
        **PRECISE,
    ),
    "equal": World(**PRECISE),
    "faster than the CNNs, equal to leaky": World(
        {SUBJECT: FASTER, "leaky_cnn": FASTER},
        truth={"faster": "yes", "cheaper": "yes"},
        power={"faster": POWER[15, 0.2][0], "cheaper": POWER[15, 0.2][0]},
        **PRECISE,
    ),
    "faster in samples, slower in FLOPs": World(
        {SUBJECT: PlantedArm(speed=1.5, cost=3.0)},
        truth=ALL_YES | {"cheaper": "no"},
        power=_power(*POWER[15, 0.2]),
        **PRECISE,
    ),
    "early fast, equal at the target, lower end": World(
        {SUBJECT: PlantedArm(end=0.95, shape=0.5)}, **PRECISE
    ),
    "1.5 times faster, but 40 % of the runs diverge": World(
        {SUBJECT: PlantedArm(speed=1.5, diverging=0.4)}, truth=ALL_NO, **PRECISE
    ),
    "1.1 times faster than all": World({SUBJECT: PlantedArm(speed=1.1)}, truth=ALL_YES, **PRECISE),
}

for _num_seeds, _sd in ((7, 0.25), (7, 0.35), (10, 0.25), (10, 0.35)):
    _design: dict[str, Any] = {"num_seeds": _num_seeds, "sd": _sd}
    _name = f"{_num_seeds} seeds, deviation {_sd:g}"
    WORLDS[f"equal, {_name}"] = World(**_design)
    WORLDS[f"1.5 times faster than all, {_name}"] = World(
        {SUBJECT: FASTER}, truth=ALL_YES, power=_power(*POWER[_num_seeds, _sd]), **_design
    )

WORLDS |= {
    "1.5 times faster; a bystander's whole training costs a twentieth": World(
        {SUBJECT: FASTER, BYSTANDER: PlantedArm(cost=0.05)}, truth=ALL_YES, power=USUAL_POWER
    ),
    "1.5 times faster; a bystander is evaluated at every 8th evaluation": World(
        {SUBJECT: FASTER, BYSTANDER: PlantedArm(every=8)}, truth=ALL_YES, power=USUAL_POWER
    ),
    "1.5 times faster; a bystander trains for 100 steps of 1,000": World(
        {SUBJECT: FASTER, BYSTANDER: PlantedArm(length=100)}, truth=ALL_YES, power=USUAL_POWER
    ),
    "1.5 times faster; a control is evaluated at every 4th evaluation": World(
        {SUBJECT: FASTER, "tanh_cnn": PlantedArm(every=4)},
        truth=ALL_YES,
        power={claim: USUAL_POWER[claim] for claim in ("faster", "cheaper")},
    ),
    "equal; a control is evaluated at every 8th evaluation": World({"tanh_cnn": PlantedArm(every=8)}),
    "equal; a control trains for 100 steps of 1,000": World({"tanh_cnn": PlantedArm(length=100)}),
    "equal, but 30 % of the subject's runs never arrive": World(
        {SUBJECT: PlantedArm(stalling=0.3)}, truth=ALL_NO
    ),
    "1.5 times faster, but 30 % of the subject's runs never arrive": World(
        {SUBJECT: PlantedArm(speed=1.5, stalling=0.3)}, truth=ALL_NO
    ),
    "equal; half of all runs never arrive": World({arm: PlantedArm(stalling=0.5) for arm in ARMS}),
    "1.5 times faster; half of all runs never arrive": World(
        {arm: PlantedArm(speed=1.5 if arm == SUBJECT else 1.0, stalling=0.5) for arm in ARMS}, truth=ALL_YES
    ),
    "equal, but 15 % of the subject's runs diverge": World(
        {SUBJECT: PlantedArm(diverging=DIVERGING)}, truth=ALL_NO
    ),
    "1.5 times faster, but 15 % of the subject's runs diverge": World(
        {SUBJECT: PlantedArm(speed=1.5, diverging=DIVERGING)},
        most={(claim, "yes"): unseen(10) + 0.05 for claim in ALL_YES},
    ),
    "1.5 times faster, but 15 % of the subject's runs diverge, 20 seeds": World(
        {SUBJECT: PlantedArm(speed=1.5, diverging=DIVERGING)},
        most={(claim, "yes"): unseen(20) + 0.05 for claim in ALL_YES},
        num_seeds=20,
    ),
    "equal, but 15 % of the baseline's runs diverge": World({BASELINE: PlantedArm(diverging=DIVERGING)}),
    "1.5 times faster; 15 % of the baseline's runs diverge": World(
        {SUBJECT: FASTER, BASELINE: PlantedArm(diverging=DIVERGING)}, truth=ALL_YES
    ),
    "equal, but the subject's log times spread twice as far": World({SUBJECT: PlantedArm(spread=2.0)}),
    "equal, but the subject's evaluations are five times as noisy": World({SUBJECT: PlantedArm(noise=5.0)}),
    "equal; three datasets": World(num_datasets=3),
    "1.5 times faster than all on three datasets": World(
        {SUBJECT: FASTER}, truth=ALL_YES, power=_power(*POWER_OF_THREE), num_datasets=3
    ),
    "1.5 times faster than all on one dataset of three": World(
        {SUBJECT: FASTER}, truth=ALL_YES, num_datasets=3, with_effect=1
    ),
}
