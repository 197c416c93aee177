"""Faults that hornlib must stand: runs the tests of each and prints the table, as Markdown.

python benchmarks/faults.py [--only D1 W2 ...]

pytest's own output goes to standard error. The tests need some 30 minutes, those in `tests/cluster` a test bed.
"""

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from fault_list import FAULTS, Fault

__all__ = ["Outcomes", "rows"]

REPOSITORY = Path(__file__).resolve().parents[1]


class Outcomes:
    """The words and the durations of tests, which pytest reports to this plugin."""

    def __init__(self) -> None:
        self.words: dict[str, set[str]] = defaultdict(set)
        self.seconds: dict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note one phase of a test; all parameters of a test count together."""
        test = report.nodeid.partition("[")[0]
        self.seconds[test] += report.duration
        if report.outcome != "passed" or report.when == "call":
            self.words[test].add(report.outcome)

    def of(self, fault: Fault) -> str:
        """Return what became of the tests of a fault, with their time."""
        if not fault.tests:
            return "no test"
        words = set().union(*(self.words.get(test, {"not run"}) for test in fault.tests))
        word = next(word for word in ("failed", "not run", "skipped", "passed") if word in words)
        return f"{word}, {sum(self.seconds[test] for test in fault.tests):.0f} s"


def rows(faults: Iterable[Fault], outcomes: Outcomes) -> Iterator[str]:
    """Yield the lines of the table.

    Args:
        faults: what is shown.
        outcomes: of their tests.
    """
    yield "| number | fault | expected | tests | outcome |"
    yield "|---|---|---|---|---|"
    for fault in faults:
        tests = "<br>".join(f"`{test.removeprefix('tests/')}`" for test in fault.tests) or fault.reason
        yield f"| {fault.number} | {fault.fault} | {fault.expected} | {tests} | {outcomes.of(fault)} |"


def _chosen(numbers: Sequence[str]) -> list[Fault]:
    valid = [fault.number for fault in FAULTS]
    if unknown := [number for number in numbers if number not in valid]:
        sys.exit(f"unknown: {', '.join(unknown)}; valid: {', '.join(valid)}")
    return [fault for fault in FAULTS if not numbers or fault.number in numbers]


def main() -> None:
    """Run the tests and print the table; the exit status is 1 where a fault is not stood."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", default=[], metavar="NUMBER", help="Only these faults.")
    faults = _chosen(parser.parse_args().only)
    tests = dict.fromkeys(test for fault in faults for test in fault.tests)
    outcomes = Outcomes()
    os.chdir(REPOSITORY)
    with redirect_stdout(sys.stderr):
        pytest.main(["-q", "-p", "no:xdist", *tests], plugins=[outcomes])
    print(*rows(faults, outcomes), sep="\n")
    sys.exit(any(fault.tests and not outcomes.of(fault).startswith("passed") for fault in faults))


if __name__ == "__main__":
    main()
