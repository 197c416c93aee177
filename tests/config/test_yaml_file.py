"""Reading YAML: plain values, lines of keys, and mistakes with line and column."""

import json
import math
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornlib.config.yaml_file import dotted, parse_scalar, read_yaml
from hornlib.errors import ConfigError


def content(path):
    return read_yaml(path)[0]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("5", 5),
        ("-3", -3),
        ("010", 10),  # YAML 1.2: no octal by a leading zero
        ("1000-10-10", "1000-10-10"),
        ("2024-01-01", "2024-01-01"),
        ("2024-01-01 10:00:00", "2024-01-01 10:00:00"),
        ("8-16-32", "8-16-32"),
        ("yes", "yes"),
        ("off", "off"),
        ("true", True),
        ("~", None),
        ("", None),
        ("'5'", "5"),
        ("1:30", "1:30"),  # no base 60
    ],
)
def test_a_scalar_means_what_yaml_1_2_says_but_for_dates(config_file, text, value):
    read = content(config_file(f"key: {text}\n"))["key"]
    assert read == value and type(read) is type(value)
    assert parse_scalar(text) == value


def test_infinities_are_numbers_to_be_refused_by_whoever_validates_them(config_file):
    assert content(config_file("key: .inf\n"))["key"] == math.inf


def test_everything_read_is_a_plain_python_value(config_file):
    read = content(
        config_file("a: &flag true\nb: [1, 2.5, 'x', null, *flag]\nc:\n  d: 0x1F\n  e: |-\n    text\n")
    )
    assert read == {"a": True, "b": [1, 2.5, "x", None, True], "c": {"d": 31, "e": "text"}}
    kinds = [type(value) for value in (read, read["a"], *read["b"], *read["c"].values())]
    assert kinds == [dict, bool, int, float, str, type(None), bool, int, str]


def test_lines_are_those_of_the_keys(config_file):
    path = config_file("# comment\na: 1\nb:\n  - c: 2\n  - d:\n      e: 3\n")
    _, lines = read_yaml(path)
    found = {key: int(place.rpartition(":")[2]) for key, place in lines.items()}
    assert found == {("a",): 2, ("b",): 3, ("b", 0): 4, ("b", 0, "c"): 4, ("b", 1): 5, ("b", 1, "d"): 5} | {
        ("b", 1, "d", "e"): 6
    }


def test_anchors_and_merge_keys_are_resolved(config_file):
    read = content(config_file("base: &base {x: 1, y: 2}\nover:\n  <<: *base\n  y: 3\nsame: *base\n"))
    assert read["over"] == {"x": 1, "y": 3}
    assert read["same"] == {"x": 1, "y": 2}


def test_a_merged_key_has_the_line_where_it_is_written_and_an_overriding_key_its_own(config_file):
    path = config_file("base: &base {x: 1}\nmore: &more\n  <<: *base\n  y: 2\nover:\n  x: 5\n  <<: *more\n")
    read, lines = read_yaml(path)
    assert read["over"] == {"x": 5, "y": 2}
    assert lines["over", "x"] == f"{path}:6"
    assert lines["over", "y"] == f"{path}:4"


def test_of_several_merged_mappings_the_first_wins(config_file):
    read = content(config_file("a: &a {x: 1}\nb: &b {x: 2, y: 3}\nc: {<<: [*a, *b]}\n"))
    assert read["c"] == {"x": 1, "y": 3}


def test_a_byte_order_mark_and_crlf_are_read(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: two\r\n")
    assert content(path) == {"a": 1, "b": "two"}


@pytest.mark.parametrize(
    ("text", "line", "column", "problem"),
    [
        ("a: 1\nb: [1, 2\nc: 3\n", 3, 2, "expected ',' or ']'"),
        ("a: 1\n  b: 2\n", 2, 4, "mapping values are not allowed here"),
        ("a: *nowhere\n", 1, 4, "undefined alias"),
        ("a: 1\nb: 2\na: 3\n", 3, 1, "duplicate key 'a': line 1"),
        ("s:\n  x: {k: 1, k: 2}\n", 2, 13, "duplicate key 'k': line 2"),
        ("a: 1\n---\nb: 2\n", 2, 1, "one document"),
        ("%YAML 1.3\n---\na: 1\n", 1, 1, "the directive '%YAML 1.3' is not supported"),
        ("# %YAML 1.3\n%YAML 1.1\n---\na: 1\n", 2, 1, "the directive '%YAML 1.1' is not supported"),
        ("%TAG ! tag:example.org,2000:\n---\na: !x 1\n", 1, 1, "the directive '%TAG"),
        ("%NEW word\n---\na: 1\n", 1, 1, "the directive '%NEW word' is not supported"),
    ],
)
def test_a_syntax_error_is_told_with_line_and_column(config_file, text, line, column, problem):
    path = config_file(text)
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path}:{line}:{column}: ")
    assert problem in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "expected keys such as `sweeps:`, found nothing"),
        (b"# only a comment\n", "found nothing"),
        (b"- a\n- b\n", "found a list"),
        (b"just words\n", "found 'just words'"),
        (b"\x89PNG\r\n\x1a\n\x00\xff", "not text in UTF-8"),
        (b"a: \x00\n", "no YAML"),
        (b"1: one\n", ":1: the key 1 is no word"),
        (b"null: one\n", ":1: the key null is no word"),
        (b"a: 1\n[b]: one\n", ":2: the key a list or mapping is no word"),
        (b"a: 1\n? {b: 1}\n: one\n", ":2: the key a list or mapping is no word"),
        (b"a: {<<: 3}\n", ":1: `<<` takes another mapping"),
        (b"a: {<<: [{x: 1}, 2]}\n", ":1: `<<` takes another mapping"),
        (b"a: &a {<<: *a}\n", "`<<` takes another mapping"),
        (b"a: &a [*a]\n", "nested too deeply"),
        (b"a: &a {b: *a}\n", "nested too deeply"),
        (b"a: 1\nb: \x07\n", ":2: no YAML: unacceptable character #x0007"),
        (b"a: " + b"[" * 40 + b"]" * 40, "nested too deeply"),
        (b"a: " + b"[" * 700 + b"]" * 700, "nested too deeply"),
        (b"a: " + b"9" * 30, "an integer is at most"),
        (b"a: 0x" + b"f" * 6000, "an integer is at most"),
        (b"a: " + b"9" * 6000, "an integer is at most"),
    ],
)
def test_what_is_no_configuration_gets_one_clear_line(tmp_path, data, problem):
    path = tmp_path / "config.yaml"
    path.write_bytes(data)
    with pytest.raises(ConfigError, match="^" + re.escape(str(path))) as caught:
        read_yaml(path)
    assert problem in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 300


TAGS = (
    "!!str",
    "!!int",
    "!!float",
    "!!bool",
    "!!null",
    "!!set",
    "!!omap",
    "!!pairs",
    "!!binary",
    "!!timestamp",
)
TAGS += (
    "!!map",
    "!!seq",
    "!!merge",
    "!!python/object/apply:os.system",
    "!what",
    "!",
    "!<tag:yaml.org,2002:int>",
)


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("value", ["3", "word", "''", "", "[1, 2]", "{a: b}", "[a: 1]", "2020-01-01"])
def test_a_tag_is_refused_with_its_line_wherever_it_stands(config_file, tag, value):
    for text in (f"a: 1\nb: {tag} {value}\n", f"a: 1\n{tag} {value}: 2\n", f"a: 1\nb: [1, {tag} {value}]\n"):
        path = config_file(text)
        with pytest.raises(ConfigError) as caught:
            read_yaml(path)
        assert str(caught.value).startswith(f"{path}:2:") and "\n" not in str(caught.value)
        assert parse_scalar(f"{tag} {value}") == f"{tag} {value}"


def test_the_directive_of_yaml_1_2_changes_nothing(config_file):
    assert content(config_file("%YAML 1.2\n---\na: yes\n...\n")) == {"a": "yes"}


@pytest.mark.parametrize(
    "text", ["_", "0x", "0x_", "-", "+.inf", "1_000", "0b101", "0o17", "-0x1F", "1_0.5e1", "+7"]
)
def test_every_scalar_is_read_as_a_number_or_as_text(text):
    numbers = {
        "+.inf": math.inf,
        "1_000": 1000,
        "0b101": 5,
        "0o17": 15,
        "-0x1F": -31,
        "1_0.5e1": 105.0,
        "+7": 7,
    }
    assert parse_scalar(text) == numbers.get(text, text)


@pytest.mark.parametrize("first", ["{}", "{a: 1}"])
def test_merged_mappings_that_multiply_are_stopped(config_file, first):
    lines = [f"b0: &b0 {first}"]
    lines += [f"b{depth}: &b{depth} {{<<: [*b{depth - 1}, *b{depth - 1}]}}" for depth in range(1, 60)]
    with pytest.raises(ConfigError, match="do aliases repeat each other"):
        read_yaml(config_file("\n".join(lines)))


def test_aliases_that_multiply_are_stopped(config_file):
    laughs = "\n".join(f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 9)}]" for n in range(1, 12))
    with pytest.raises(ConfigError, match="do aliases repeat each other"):
        read_yaml(config_file(f"k0: &k0 [1, 2]\n{laughs}\n"))


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(ConfigError, match=r"missing\.yaml: there is no such file"):
        read_yaml(tmp_path / "missing.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        read_yaml(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(Path("a\0b"))


def test_a_value_that_is_no_scalar_stays_text():
    assert parse_scalar("[1, 2]") == "[1, 2]"
    assert parse_scalar("a: b") == "a: b"
    assert parse_scalar("{") == "{"


def test_a_path_is_written_as_people_say_it():
    assert dotted(("sweeps", "thesis", "model", 0, "timesteps")) == "sweeps.thesis.model[0].timesteps"
    assert dotted(("a", "b\n")) == "a.'b\\n'"


scalars = st.one_of(
    st.booleans(),
    st.none(),
    st.integers(-(2**63) + 1, 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(min_codepoint=32, max_codepoint=0x24F, exclude_categories=("Cc",)), max_size=12),
)
keys = st.text("abcdefghijklmnopqrstuvwxyz_0123456789- ", min_size=1, max_size=8)
documents = st.dictionaries(
    keys,
    st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)
    ),
    min_size=1,
    max_size=4,
)


@given(documents)
def test_json_is_read_as_what_it_says(tmp_path_factory, document):
    path = tmp_path_factory.getbasetemp() / "written.yaml"
    path.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")  # JSON is YAML 1.2
    assert content(path) == document
