"""Commands that messages advise: they name the configuration that was read."""

import re
import shlex
from pathlib import Path

import pytest

import hornlib
from hornlib.cli import COMMANDS
from hornlib.config.commands import READERS, completed, with_configuration


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("hornlib statistics", "hornlib statistics --configfile a.yaml --configfile 'b c.yaml'"),
        ("snakemake --cores N arms", "HORNLIB_CONFIG='a.yaml:b c.yaml' snakemake --cores N arms"),
        ("hornlib data mnist --root data", "hornlib data mnist --root data"),
        ("hornlib migrate", "hornlib migrate"),
        ("hornlib describe model", "hornlib describe model"),
        ("hornlib gather --configfile x.yaml", "hornlib gather --configfile x.yaml"),
        ("statistics: {baseline: cnn}", "statistics: {baseline: cnn}"),
        ("hornlib planning", "hornlib planning"),
    ],
)
def test_a_command_that_reads_the_configuration_names_every_file(command, expected):
    files = ["a.yaml", Path("b c.yaml")]
    assert completed(command, files) == expected
    assert with_configuration(f"no file; `{command}` makes it, and so on", files) == (
        f"no file; `{expected}` makes it, and so on"
    )


@pytest.mark.parametrize("files", [[], ["config.yaml"], [Path("config.yaml")]])
def test_the_default_configuration_is_not_named(files):
    assert with_configuration("`hornlib report` writes it", files) == "`hornlib report` writes it"


def test_every_command_with_a_configuration_is_known_as_a_reader():
    import inspect

    commands = [command for group in COMMANDS.values() for command in group]
    takes = {one.__name__ for one in commands if "configfile" in inspect.signature(one).parameters}
    assert takes == set(READERS)


def test_every_advised_command_of_the_library_stands_whole_between_backticks():
    """A command that runs on past its backticks, or that has none, would not get the configuration."""
    for file in Path(hornlib.__file__).parent.rglob("*.py"):
        for command in re.findall(r"`((?:hornlib|snakemake) [^`{}]*)`", file.read_text()):
            shlex.split(command)
