"""Mistakes that validation finds, in the words of config.yaml: the value, what is valid, the nearest spelling."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from hornlib.errors import nearest

if TYPE_CHECKING:
    from pydantic import ValidationError

__all__ = ["counted", "describe_validation_error", "spelled"]

_EXPECTED = {
    "int_type": "expected an integer",
    "int_from_float": "expected an integer",
    "float_type": "expected a number",
    "string_type": "expected a word",
    "bool_type": "expected true or false",
    "tuple_type": "expected widths such as 32-64-128",
    "finite_number": "expected a finite number",
    "string_too_short": "expected at least one character",
    "too_short": "expected at least one value",
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be at most {le}",
}

_NUMBER = re.compile(r"[-+]?([0-9]+([.,][0-9]*)?|[.,][0-9]+)(e[-+]?[0-9]+)?", re.IGNORECASE)


def describe_validation_error(
    error: "ValidationError", fields: Sequence[str], owner: str
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Turn each mistake that pydantic reports into (key path, sentence).

    Args:
        error: what pydantic raised.
        fields: keys that are valid here.
        owner: whose keys they are, e.g. `model cnn`.
    """
    for mistake in error.errors():
        key, value = tuple(mistake["loc"][:1]), mistake["input"]
        kind, context = mistake["type"], mistake.get("ctx", {})
        if kind == "extra_forbidden":
            yield key, f"unknown parameter of {owner}{nearest(key[0], fields)}; valid: {', '.join(fields)}"
        elif kind == "missing":
            yield key, f"{owner} needs this parameter"
        elif kind == "literal_error":
            valid = re.findall(r"'([^']*)'", context["expected"])
            yield key, f"unknown {spelled(value)}{nearest(value, valid)}; valid: {', '.join(valid)}"
        elif kind == "value_error":
            yield key, f"got {spelled(value)}; {context['error']}" if key else str(context["error"])
        elif kind in _EXPECTED:
            bounds = {
                name: f"{bound:g}" if isinstance(bound, float) else bound for name, bound in context.items()
            }
            yield key, f"got {spelled(value)}; {_EXPECTED[kind].format(**bounds)}{_advice(kind, value)}"
        else:
            yield key, f"got {spelled(value)}; {mistake['msg'][:1].lower()}{mistake['msg'][1:]}"


def _advice(kind: str, value: object) -> str:
    """Return how to mend a number that was written as text; nothing for other mistakes."""
    if kind not in ("int_type", "float_type") or not isinstance(value, str) or not _NUMBER.fullmatch(value):
        return ""
    return " without quotation marks" if "," not in value else " with a point, such as 0.5"


def spelled(value: object) -> str:
    """Return a value as config.yaml spells it, cut where it is long."""
    text = _spelled(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _spelled(value: object) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, float) and not math.isfinite(value):
        return ".nan" if math.isnan(value) else ".inf" if value > 0 else "-.inf"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_spelled, value))}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_spelled(item)}' for key, item in value.items())}}}"
    return repr(value)


def counted(number: int, word: str) -> str:
    """Return a number of things: 1 cell, 2,000 cells.

    Args:
        number: how many.
        word: one of them; its plural ends in s.
    """
    return f"{number:,} {word}{'' if number == 1 else 's'}"
