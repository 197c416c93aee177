"""What validation found, in the words of config.yaml: what was got, what is valid, the nearest spelling."""

import re
from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from hornlib.errors import nearest

__all__ = ["counted", "describe_validation_error", "said"]

_EXPECTED = {
    "int_type": "expected an integer",
    "int_from_float": "expected an integer",
    "float_type": "expected a number",
    "string_type": "expected a word",
    "bool_type": "expected true or false",
    "tuple_type": "expected widths such as 32-64-128",
    "finite_number": "expected a finite number",
    "string_too_short": "expected at least one character",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
}


def describe_validation_error(
    error: ValidationError, fields: Sequence[str], owner: str
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Turn each finding of pydantic into (key path, sentence).

    Args:
        error: what pydantic raised.
        fields: keys that are valid here.
        owner: whose keys they are, e.g. `model cnn`.
    """
    for finding in error.errors():
        key = tuple(finding["loc"][:1])
        got, kind, context = said(finding["input"]), finding["type"], finding.get("ctx", {})
        if kind == "extra_forbidden":
            yield key, f"unknown parameter of {owner}{nearest(key[0], fields)}; valid: {', '.join(fields)}"
        elif kind == "missing":
            yield key, f"{owner} needs this parameter"
        elif kind == "literal_error":
            valid = re.findall(r"'([^']*)'", context["expected"])
            yield key, f"unknown {got}{nearest(finding['input'], valid)}; valid: {', '.join(valid)}"
        elif kind == "value_error":
            yield key, f"got {got}; {context['error']}" if key else str(context["error"])
        elif kind in _EXPECTED:
            yield key, f"got {got}; {_EXPECTED[kind].format(**context)}"
        else:
            yield key, f"got {got}; {finding['msg'][:1].lower()}{finding['msg'][1:]}"


def said(value: object) -> str:
    """Return a value as config.yaml spells it, cut where it is long."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def counted(number: int, word: str) -> str:
    """Return a number of things: 1 cell, 2,000 cells."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"
