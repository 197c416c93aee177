"""The list of faults: every fault has tests that exist, or a reason, and what they show is counted rightly."""

import ast
from pathlib import Path

import pytest
from fault_list import FAULTS, Fault
from faults import Outcomes, rows

REPOSITORY = Path(__file__).parents[2]


def functions_of(file):
    return {
        node.name
        for node in ast.parse((REPOSITORY / file).read_text()).body
        if isinstance(node, ast.FunctionDef)
    }


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.number for fault in FAULTS])
def test_every_fault_has_tests_that_exist_or_a_reason(fault):
    assert bool(fault.tests) != bool(fault.reason)
    for test in fault.tests:
        file, _, name = test.partition("::")
        assert name in functions_of(file), test


def test_no_number_is_given_twice_and_none_is_left_out():
    numbers = [fault.number for fault in FAULTS]
    assert len(set(numbers)) == len(numbers)
    for letter, highest in (("D", 14), ("W", 5)):
        assert {f"{letter}{number}" for number in range(1, highest + 1)} <= set(numbers)


def test_a_fault_is_stood_only_if_every_phase_of_every_test_passed():
    fault = Fault("D1", "it rains", "nobody gets wet", ("tests/a.py::test_one", "tests/b.py::test_two"))
    outcomes = Outcomes()

    def report(test, when, outcome):
        outcomes.pytest_runtest_logreport(
            pytest.TestReport(test, ("", 0, ""), {}, outcome, None, when, duration=1.0)
        )

    assert outcomes.of(fault).startswith("not run")
    report("tests/a.py::test_one[x]", "call", "passed")
    report("tests/a.py::test_one[y]", "call", "passed")
    assert outcomes.of(fault).startswith("not run")
    report("tests/b.py::test_two", "setup", "passed")
    report("tests/b.py::test_two", "call", "passed")
    assert outcomes.of(fault) == "passed, 4 s"
    report("tests/b.py::test_two", "teardown", "failed")
    assert outcomes.of(fault) == "failed, 5 s"
    *_, row = rows([fault], outcomes)
    assert row == "| D1 | it rains | nobody gets wet | `a.py::test_one`<br>`b.py::test_two` | failed, 5 s |"
