"""Common slips in a YAML file: tabs, quotation marks, brackets, indentation, and how an error names them."""

import re
from collections.abc import Iterator

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.tokens import ScalarToken

__all__ = ["describe_syntax_error", "missing_space", "slip_in_key"]

_NO_SPACE = re.compile(r"\s*(?:- )?(?P<key>[A-Za-z_][A-Za-z0-9_]*):(?P<value>[^\s:/]\S*)")

_ESCAPE = "a backslash in double quotation marks begins an escape; write \\\\, or use single quotation marks"

_INDENTATION = "this line does not continue the block above it; is it indented by the right number of spaces?"


def missing_space(text: str) -> str:
    """Return the advice for `epochs:3`, nothing for any other text."""
    match = _NO_SPACE.fullmatch(text)
    return f"a space is missing after the colon: write `{match['key']}: {match['value']}`" if match else ""


def slip_in_key(key: str, has_value: bool) -> str:
    """Return what is wrong with a key that YAML accepts and nobody means, nothing for any other key.

    Args:
        key: as it stands in the file.
        has_value: whether something follows the colon.
    """
    if not has_value and (advice := missing_space(key)):
        return advice
    if not key.isprintable():
        return (
            f"the key {key!r} has a character that cannot be seen, such as a no-break space; use plain spaces"
        )
    if key.startswith("-"):
        return f"a space is missing after the dash of the key {key!r}"
    return ""


def describe_syntax_error(error: MarkedYAMLError, text: str) -> tuple[int, int, str]:
    """Return the line and column (from 1) of the slip that most likely caused an error, and a sentence.

    Args:
        error: what the YAML reader raised.
        text: the whole file.
    """
    problem, context = error.problem or error.context or "no YAML", error.context or ""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return 1, 1, problem
    lines = text.splitlines()
    here = (mark.line + 1, mark.column + 1)
    opened = (error.context_mark.line + 1, error.context_mark.column + 1) if error.context_mark else here
    if "'\\t'" in problem:
        return (*here, "a tab cannot indent a line; use spaces")
    if "cannot start any token" in problem:
        return (
            *here,
            f"a value cannot begin with {text.splitlines()[mark.line][mark.column]!r}; put it in "
            "quotation marks",
        )
    if "scalar" in context and "quoted" in context:
        if "escape" in problem:
            return (*here, _ESCAPE)
        return (*opened, "the quotation mark that opens here is never closed")
    if problem.endswith("'<scalar>'") and (quoted := _quoted_before(text, mark.index)):
        line, column, last = quoted
        if last > line:
            return (
                line,
                column,
                f"the quotation mark that opens here is closed only in line {last}; is one missing?",
            )
        return (
            *here,
            "text follows the closing quotation mark; use the other kind of quotation marks around the whole",
        )
    if "mapping values are not allowed" in problem:
        return _unexpected_colon(lines, *here)
    if "could not find expected ':'" in problem:
        return (*opened, missing_space(lines[opened[0] - 1].strip()) or "expected `key: value` in this line")
    if "flow" in context:
        bracket = "{" if "mapping" in context else "["
        if here[0] == opened[0]:
            return (*here, f"{problem}; is a comma missing, or a bracket?")
        return (*here, f"{problem}: the {bracket} of line {opened[0]} is not closed")
    if "expected <block end>" in problem:
        token = problem.split("'")[1]
        return (
            *here,
            f"there is no bracket that this {token} could close" if token in "]}" else _INDENTATION,
        )
    if "another document" in problem:
        return (*here, "a configuration is one document; remove this `---`")
    if "undefined alias" in problem:
        return (*here, f"{problem}; a text that begins with * needs quotation marks")
    return (*here, problem.splitlines()[0])


def _unexpected_colon(lines: list[str], line: int, column: int) -> tuple[int, int, str]:
    """Return the slip behind a colon where YAML expects none; it is often in the line before."""
    before = next((number for number in range(line - 1, 0, -1) if lines[number - 1].strip()), line)
    if advice := missing_space(lines[before - 1].strip()):
        return before, 1, advice
    if re.fullmatch(r"\s*[A-Za-z_]\w*\s*=.*", lines[before - 1]):
        return before, 1, "expected `key: value`, found an equals sign"
    if lines[line - 1][: column - 1].count(":"):
        return (
            line,
            column,
            "mapping values are not allowed here: put a text that contains `: ` in quotation marks",
        )
    return line, column, f"mapping values are not allowed here: {_INDENTATION}"


def _quoted_before(text: str, index: int) -> tuple[int, int, int] | None:
    """Return line and column of the last text in quotation marks before a place in the file, and its last line."""
    tokens = [
        token for token in _tokens(text) if isinstance(token, ScalarToken) and token.end_mark.index <= index
    ]
    if not tokens or tokens[-1].plain:
        return None
    start, end = tokens[-1].start_mark, tokens[-1].end_mark
    return start.line + 1, start.column + 1, end.line + 1


def _tokens(text: str) -> Iterator[object]:
    """Yield the tokens of a text up to the first error."""
    try:
        yield from YAML().scan(text)
    except YAMLError:
        return
