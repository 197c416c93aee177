"""Common slips in a YAML file get the line of the slip and the way to mend it."""

import pytest

from hornlib.config.yaml_file import read_yaml
from hornlib.config.yaml_slips import missing_space
from hornlib.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "place", "advice"),
    [
        pytest.param("a:\n\tb: 1\n", "2:1", "use spaces", id="a tab"),
        pytest.param("a:\n\t- 1\n", "2:1", "use spaces", id="a tab before a dash"),
        pytest.param("a:\n  c: 1\n  \tb: 2\n", "3:3", "use spaces", id="a tab after spaces"),
        pytest.param("a: 'x\nb: 1\n", "1:4", "opens here is never closed", id="an open quotation mark"),
        pytest.param(
            'b: 1\na: {q: "x, r: 1}\nc: 1\n', "2:8", "opens here is never closed", id="an open one in braces"
        ),
        pytest.param(
            "a: 'x\nb: 'y'\n", "1:4", "closed only in line 2", id="a quotation mark that swallows a line"
        ),
        pytest.param(
            "s:\n - {n: 'x, m: 3}\n - {n: 'y'}\n", "2:8", "closed only in line 3", id="the same in braces"
        ),
        pytest.param("a: 'it's'\n", "1:8", "other kind of quotation marks", id="an apostrophe"),
        pytest.param("a: 1\nb: [1, 2\nc: 3\n", "3:2", "the [ of line 2 is not closed", id="an open bracket"),
        pytest.param(
            "s:\n  m: {a: 1\n  n: {b: 2}\n", "3:4", "the { of line 2 is not closed", id="an open brace"
        ),
        pytest.param("a: [1]]\n", "1:7", "no bracket that this ] could close", id="a bracket too many"),
        pytest.param("a: {b: 1 c: 2}\n", "1:11", "is a comma missing", id="a missing comma"),
        pytest.param(
            "t:\n  epochs:3\n  b: 4\n", "2:1", "write `epochs: 3`", id="no space after a first colon"
        ),
        pytest.param(
            "t:\n  b: 4\n  epochs:3\n", "3:3", "write `epochs: 3`", id="no space after a last colon"
        ),
        pytest.param(
            "t: {epochs:3, b: 4}\n", "1", "write `epochs: 3`", id="no space after a colon in braces"
        ),
        pytest.param("seeds:3\nb: 4\n", "1:1", "write `seeds: 3`", id="no space after a top key"),
        pytest.param(
            "a: 1\n  b: 2\n", "2:4", "indented by the right number of spaces", id="indented too far"
        ),
        pytest.param("a:\n    b: 1\n  c: 2\n", "3:3", "right number of spaces", id="indented too little"),
        pytest.param("m:\n  - {a: 1}\n - {a: 2}\n", "3:2", "right number of spaces", id="a dash out of line"),
        pytest.param("m:\n  a: 1\n  - b\n", "3:3", "right number of spaces", id="a dash among keys"),
        pytest.param("q: what: now\n", "1:8", "in quotation marks", id="a colon in a text"),
        pytest.param("a: 1\nb\nc: 2\n", "2:1", "expected `key: value`", id="a key without a colon"),
        pytest.param("seeds = 3\na: 1\n", "1:1", "found an equals sign", id="an equals sign"),
        pytest.param("m:\n  -{a: 1}\n", "2", "a space is missing after the dash", id="no space after a dash"),
        pytest.param("a: @x\n", "1:4", "put it in quotation marks", id="a character that begins no value"),
        pytest.param("a: *.nc\n", "1:4", "begins with * needs quotation marks", id="a star"),
        pytest.param('a: "C:\\Users"\n', "1:9", "single quotation marks", id="a backslash"),
        pytest.param("a:\n\u00a0\u00a0b: 1\n", "2", "use plain spaces", id="a no-break space"),
        pytest.param("a: 1\nb: 2\na: 3\n", "3:1", "line 1 already has it", id="a key twice"),
    ],
)
def test_a_slip_is_named_with_its_place_and_with_what_mends_it(config_file, text, place, advice):
    path = config_file(text)
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}:{place}: ") and advice in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["cuda:0", "http://host", "a: b", "a:", "12:30", "a::b", "C:/data"])
def test_texts_with_a_colon_that_are_meant_are_left_alone(config_file, text):
    if text == "cuda:0":  # a device; only where a key is expected is it a slip
        assert read_yaml(config_file(f"device: {text}\n"))[0] == {"device": "cuda:0"}
    else:
        assert missing_space(text) == ""
