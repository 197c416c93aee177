"""Fields that belong to some rules only: their published values where none is given, and errors elsewhere."""

from collections.abc import Iterable, Mapping
from typing import Any

from hornlib.parameters import Value

__all__ = ["with_rule_values"]

_PAIRS = (
    ("update_every", "update_every_epochs"),
    ("start_step", "start_share"),
    ("every_steps", "every_share"),
)
_ALTERNATIVES = {name: other for pair in _PAIRS for name, other in (pair, pair[::-1])}
"""Two fields that say the same in two units; only one of them is given."""


def with_rule_values(
    values: Any, table: Mapping[str, Mapping[str, Value]], default: str, field: str = "rule"
) -> Any:
    """Return the values of a parameter class, those of its rule filled in where none is given.

    Args:
        values: field -> value, as given; anything else is left to pydantic.
        table: rule -> fields that mean something to it, with their values.
        default: the rule where none is given.
        field: whose value is the rule.

    Raises:
        ValueError: a field is given that means nothing to the rule, or two that exclude each other.
    """
    if not isinstance(values, Mapping) or values.get(field, default) not in table:
        return values
    rule = values.get(field, default)
    given = {name for name, value in values.items() if value is not None}
    accepted = _with_alternatives(table[rule])
    foreign = _with_alternatives(name for row in table.values() for name in row) - accepted
    for name in sorted(given & foreign):
        raise ValueError(f"{name} means nothing to {field}: {rule}; leave it out")
    for pair in _PAIRS:
        if given.issuperset(pair):
            raise ValueError(f"give `{pair[0]}:` or `{pair[1]}:`, not both")
    filled = {
        name: value
        for name, value in table[rule].items()
        if name not in given and _ALTERNATIVES.get(name) not in given
    }
    return {**values, **filled}


def _with_alternatives(names: Iterable[str]) -> set[str]:
    """Return the fields, and those that say the same in other units."""
    names = set(names)
    return names | {_ALTERNATIVES[name] for name in names & _ALTERNATIVES.keys()}
