"""README.md names files and commands that exist."""

import re
from pathlib import Path

from hornlib.cli import COMMANDS

REPOSITORY = Path(__file__).resolve().parents[1]
README = (REPOSITORY / "README.md").read_text()


def test_every_file_and_folder_that_it_names_exists():
    named = re.findall(
        r"`((?:hornlib|workflow|config|cluster|profiles|docs|examples|benchmarks)/[^`<>*${}\s]*)`", README
    )
    linked = [link.partition("#")[0] for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    missing = [path for path in [*named, *linked] if not (REPOSITORY / path).exists()]
    assert len(named) > 30 and missing == []


def test_the_way_from_the_command_to_the_formula_has_ten_files_with_their_functions():
    rows = re.findall(r"^\| (\d+) \| `([^`]+)` \| (.+) \|$", README, re.M)
    assert [int(number) for number, _, _ in rows] == list(range(1, 11))
    for _, path, text in rows:
        code = (REPOSITORY / path).read_text()
        for name in re.findall(r"`(\w+)`", text):
            assert re.search(rf"(def|class) {name}\b", code), (path, name)


def test_every_command_that_it_names_exists():
    named = set(re.findall(r"(?:^|`)hornlib ([a-z]+)", README, re.M))
    commands = {command.__name__ for group in COMMANDS.values() for command in group}
    assert len(named) > 10 and named - commands - {"config", "trains", "runs", "evaluates"} == set()
