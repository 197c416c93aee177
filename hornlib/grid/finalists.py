"""The second stage of tuning: which arm's best trials are trained again, with which fresh seeds."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from hornlib.config.reading import FIRST_TUNING_SEED
from hornlib.errors import ConfigError
from hornlib.grid.cell import Cell, named
from hornlib.grid.tuned_arms import TunedArm
from hornlib.parameters.tuning import OBJECTIVES, FinalistParameters, Objective, TuningParameters

__all__ = ["FinalistStage", "finalist_stage"]


class FinalistStage(NamedTuple):
    """The finalists of one arm on one dataset: each objective's best trials, each distinct trial trained once.

    The stages of all arms have no cycle. Every arm's first stage needs nothing. A second stage for
    time_to_target needs the baseline's first stage, because the level of the target follows from it. The final
    choice needs the second stages of the arm and of the baseline.

    Attributes:
        name: `<dataset>-<model>-<12 hex digits>.finalists`; its file without the ending.
        arm: the first stage.
        baseline: name of the baseline's first stage; "" where time_to_target is no objective.
        target: share of the baseline's gain over chance; 0 where time_to_target is no objective.
        confirm: evaluations in a row that must reach it; 0 where time_to_target is no objective.
        objectives: each has its own finalists.
        trials: k, finalists of each objective.
        seeds: M, fresh seeds of each finalist.
    """

    name: str
    arm: TunedArm
    baseline: str
    target: float
    confirm: int
    objectives: tuple[Objective, ...]
    trials: int
    seeds: int

    @property
    def cell(self) -> Cell:
        """The arm's cell with its default values."""
        return self.arm.cell

    @property
    def most_trials(self) -> int:
        """Largest number of distinct finalists: the objectives may choose the same trials."""
        return min(self.arm.trials, self.trials * len(self.objectives))

    def document(self) -> dict[str, Any]:
        """Return the stage as plain values for JSON; the job is given these."""
        return {
            "arm": self.arm.document(),
            "baseline": self.baseline,
            "target": self.target,
            "confirm": self.confirm,
            "objectives": list(self.objectives),
            "trials": self.trials,
            "seeds": self.seeds,
        }

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> "FinalistStage":
        """Return the stage that `document` described.

        Raises:
            ConfigError: it is not understood.
        """
        try:
            second = FinalistParameters(trials=document["trials"], seeds=document["seeds"])
            arm = TunedArm.parse(document["arm"])
            rules = (str(document["baseline"]), float(document["target"]), int(document["confirm"]))
            objectives = tuple(word for word in OBJECTIVES if word in document["objectives"])
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ConfigError(f"--stage: not understood ({type(error).__name__}: {error})") from None
        return _stage(arm, *rules, objectives, second)

    def all_seeds(self) -> list[int]:
        """Return the seeds of every finalist: neither seeds of the first stage nor seeds of a sweep."""
        first = FIRST_TUNING_SEED + self.arm.seeds
        return list(range(first, first + self.seeds))


def finalist_stage(
    arm: TunedArm, baseline: TunedArm, protocol: TuningParameters, target: float, confirm: int
) -> FinalistStage:
    """Return the second stage of an arm.

    The baseline has finalists for final_metric whenever time_to_target is an objective, because the best of
    them sets the level of the target.

    Args:
        arm: the arm's first stage.
        baseline: the baseline's first stage; the same as `arm` for the baseline itself.
        protocol: objectives and finalists.
        target: share of the baseline's gain over chance.
        confirm: evaluations in a row that must reach the target.
    """
    second = protocol.finalists
    if second is None:
        raise ValueError("this protocol has no finalists")
    timed = "time_to_target" in protocol.objectives
    sets_level = timed and arm.name == baseline.name
    objectives = tuple(
        word for word in OBJECTIVES if word in protocol.objectives or (word == "final_metric" and sets_level)
    )
    rules = (baseline.name, target, confirm) if timed else ("", 0.0, 0)
    return _stage(arm, *rules, objectives, second)


def _stage(
    arm: TunedArm,
    baseline: str,
    target: float,
    confirm: int,
    objectives: tuple[Objective, ...],
    second: FinalistParameters,
) -> FinalistStage:
    hashed = json.dumps([arm.name, baseline, target, confirm, objectives, second.trials, second.seeds])
    name = f"{named(arm.cell.data, arm.cell.model, arm.cell.structure, hashed)}.finalists"
    return FinalistStage(name, arm, baseline, target, confirm, objectives, second.trials, second.seeds)
