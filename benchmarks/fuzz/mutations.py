"""Ways to make a configuration wrong: in its tree of keys and values, and in its text."""

import copy
import io
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

from ruamel.yaml import YAML

__all__ = ["mutated"]

Tree = Any
KeyPath = tuple[Any, ...]


DEPTH = 400
"""Levels of a nested list or mapping."""


def _nested(is_list: bool) -> Tree:
    node: Tree = 1
    for _ in range(DEPTH):
        node = [node] if is_list else {"a": node}
    return node


COMMANDS = (
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned",
    "'; touch pwned; '",
    '"; touch pwned; "',
    "| touch pwned",
)
MARKUP = (
    "<img src=x onerror=alert(1)>",
    "<!--<script>",
    "a<b>",
    "{a}",
    "%j",
    "$x^$",
    "&amp;",
    "\\",
    "*",
    "?",
)
PATHS = (
    "../../../etc/passwd",
    "/dev/null",
    "/proc/self/mem",
    "/etc",
    "~nobody/x",
    "$HOME",
    "${NOTHING}",
    ".",
    "",
    " ",
)
LETTERS = ("é\u0301", "\u202e", "名前", "𝒳", "\x00", "\n", "\t", "\x1b[31m", "\ufeff", "x" * 100_000)
NUMBERS = (
    0,
    -1,
    1,
    10**40,
    -(10**40),
    2**63,
    0.0,
    -0.5,
    1e-320,
    1e308,
    float("nan"),
    float("inf"),
    -float("inf"),
)
NODES: tuple[Tree, ...] = (
    None,
    True,
    False,
    [],
    {},
    [None],
    [[1]],
    [{}],
    {"a": 1},
    {"name": "cnn"},
    [1, 2, 3],
)
RANGES: tuple[Tree, ...] = (
    {"tune": 3},
    {"tune": {"low": 1}},
    {"tune": {"low": 1e-3, "high": 1e-1, "scale": "log"}},
)
NESTED = (_nested(is_list=True), _nested(is_list=False))

VALUES: tuple[Tree, ...] = (
    *COMMANDS,
    *MARKUP,
    *PATHS,
    *LETTERS,
    *NUMBERS,
    *NODES,
    *RANGES,
    *NESTED,
    "auto",
    "1e-3",
    "4-8-16",
)
KEYS = (
    *COMMANDS,
    *MARKUP,
    *PATHS,
    *LETTERS,
    "name",
    "tune",
    "arm",
    "extends",
    "data",
    "match",
    "results",
    "seeds",
    7,
)


def _paths(node: Tree, path: KeyPath = ()) -> Iterator[KeyPath]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from _paths(value, (*path, key))


def _at(node: Tree, path: KeyPath) -> Tree:
    for key in path:
        node = node[key]
    return node


def _replace(tree: Tree, path: KeyPath, draw: random.Random) -> None:
    _at(tree, path[:-1])[path[-1]] = copy.deepcopy(draw.choice(VALUES))


def _delete(tree: Tree, path: KeyPath, draw: random.Random) -> None:
    del _at(tree, path[:-1])[path[-1]]


def _rename(tree: Tree, path: KeyPath, draw: random.Random) -> None:
    parent = _at(tree, path[:-1])
    if isinstance(parent, dict):
        key = str(path[-1])
        names = (*KEYS, key[:-1], key + key[-1:], key.upper())
        parent[draw.choice(names)] = parent.pop(path[-1])


def _add(tree: Tree, path: KeyPath, draw: random.Random) -> None:
    parent = _at(tree, path[:-1])
    if isinstance(parent, dict):
        parent[draw.choice(KEYS)] = copy.deepcopy(draw.choice(VALUES))
    else:
        parent.append(copy.deepcopy(draw.choice(VALUES)))


def _copy_elsewhere(tree: Tree, path: KeyPath, draw: random.Random) -> None:
    target = draw.choice(list(_paths(tree)))
    _at(tree, target[:-1])[target[-1]] = copy.deepcopy(_at(tree, path))


def _wrap(tree: Tree, path: KeyPath, draw: random.Random) -> None:
    parent, value = _at(tree, path[:-1]), _at(tree, path)
    parent[path[-1]] = draw.choice(
        [[value], [value, value], {"tune": value}, {"name": value}, {path[-1]: value}]
    )


def _scale(tree: Tree, path: KeyPath, draw: random.Random) -> None:
    parent, value = _at(tree, path[:-1]), _at(tree, path)
    if isinstance(value, int | float):
        parent[path[-1]] = value * draw.choice([-1, 0.5, 1e-6, 1000, 10**6, 10**12])
    else:
        parent[path[-1]] = str(value) * draw.choice([2, 3, 40])


IN_TREE: tuple[Callable[[Tree, KeyPath, random.Random], None], ...] = (
    *(_replace, _replace, _replace),
    *(_delete, _rename, _add, _copy_elsewhere, _wrap, _scale),
)
"""Replacing a value has the most variants, and so three shares."""

BOMB = "\n".join(
    ["bomb0: &b0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    + [f"bomb{depth}: &b{depth} [{', '.join([f'*b{depth - 1}'] * 10)}]" for depth in range(1, 10)]
)
"""Ten levels of ten aliases each: 10^10 values if every alias is followed."""

MAP_BOMB = "\n".join(
    ["bomb0: &b0 {a: 1}"]
    + [
        f"bomb{depth}: &b{depth} {{<<: [*b{depth - 1}, *b{depth - 1}], c{depth}: *b{depth - 1}}}"
        for depth in range(1, 25)
    ]
)

INSERTIONS = (
    *(
        "\t",
        "\x00",
        "\ufeff",
        "\u2028",
        "\x85",
        "é",
        "\x07",
        "'",
        '"',
        "{",
        "[",
        "]",
        "}",
        ": ",
        "- ",
        "#",
        "%",
        "@",
        "`",
    ),
    *(
        "&a ",
        "*a",
        "<<: *a",
        "<<: {a: 1}",
        "!!python/object/apply:os.system ['touch pwned'] ",
        "!!binary aGk= ",
    ),
    *(
        "!!set {a} ",
        "!include /etc/passwd ",
        "!!int word",
        "!!float 1",
        "!!null x",
        "--- \n",
        "...\n",
        "%YAML 2.0\n---\n",
    ),
    *(
        "? ",
        "| ",
        "> ",
        "=",
        "~",
        "0x",
        "1_0",
        "010",
        "1e400",
        "2001-01-01",
        ".nan",
        "-.inf",
        "1:30",
        "yes",
        "[" * DEPTH,
    ),
    *("{a: " * DEPTH, "__use_yte__: true\n__definitions__:\n  - import os\n  - os.system('touch pwned')\n"),
    *(f"{BOMB}\n", f"{MAP_BOMB}\n", "a: &a [*a]\n", "a: &a {b: *a}\n", "a: &a {<<: *a}\n"),
)


def _insert(text: str, draw: random.Random) -> str:
    insertion = draw.choice(INSERTIONS)
    lines = text.splitlines(keepends=True)
    if insertion.endswith("\n"):
        lines.insert(draw.randrange(len(lines) + 1), insertion)
        return "".join(lines)
    place = draw.randrange(len(text) + 1)
    return text[:place] + insertion + text[place:]


def _cut(text: str, draw: random.Random) -> str:
    start = draw.randrange(len(text) + 1)
    return text[:start] + text[start + draw.randrange(40) :]


def _truncate(text: str, draw: random.Random) -> str:
    return text[: draw.randrange(len(text) + 1)]


def _repeat_line(text: str, draw: random.Random) -> str:
    lines = text.splitlines(keepends=True) or ["\n"]
    place = draw.randrange(len(lines))
    count = draw.choice([1, 1, 1, 1000])
    return "".join([*lines[:place], *[lines[place]] * count, *lines[place:]])


def _indent(text: str, draw: random.Random) -> str:
    lines = text.splitlines(keepends=True) or ["\n"]
    place = draw.randrange(len(lines))
    lines[place] = (
        draw.choice([" ", "  ", "\t"]) + lines[place] if draw.random() < 0.5 else lines[place].lstrip()
    )
    return "".join(lines)


def _swap_lines(text: str, draw: random.Random) -> str:
    lines = text.splitlines(keepends=True) or ["\n"]
    one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return "".join(lines)


def _other_letter(text: str, draw: random.Random) -> str:
    place = draw.randrange(len(text) + 1)
    return text[:place] + chr(draw.choice([draw.randrange(128), draw.randrange(0xD800)])) + text[place + 1 :]


IN_TEXT: tuple[Callable[[str, random.Random], str], ...] = (
    *(_insert, _insert, _insert, _cut, _truncate, _repeat_line, _indent, _swap_lines, _other_letter),
)

ENCODINGS = ("utf-16", "latin-1", "utf-8-sig")


def mutated(text: str, draw: random.Random) -> bytes:
    """Return the bytes of a configuration after one to four changes, all in its tree or all in its text.

    Args:
        text: a right configuration.
        draw: the generator of all choices.
    """
    num_changes = draw.choice([1, 1, 1, 2, 3, 4])
    if draw.random() < 0.6:
        changed = _changed_tree(text, num_changes, draw)
    else:
        changed = text
        for _ in range(num_changes):
            changed = draw.choice(IN_TEXT)(changed, draw)
    encoding = draw.choice(ENCODINGS) if draw.random() < 0.02 else "utf-8"
    return changed.encode(encoding, "replace")


def _changed_tree(text: str, num_changes: int, draw: random.Random) -> str:
    tree, stream = YAML(typ="safe").load(text), io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.width = 10**6
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(100 * DEPTH)  # copying and writing need some frames for each level
    for _ in range(num_changes):
        if paths := list(_paths(tree)):
            draw.choice(IN_TREE)(tree, draw.choice(paths), draw)
    yaml.dump(tree, stream)
    sys.setrecursionlimit(limit)
    return stream.getvalue()
