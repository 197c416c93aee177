"""The configuration: files united, defaults and extensions merged, seeds, and what bad input gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hornlib.config.reading import merge, parse_seeds, read_config
from hornlib.config.settings import Settings, parse_settings
from hornlib.errors import ConfigError

MODEL = "sweeps: {one: {model: {name: cnn}}}\n"


def refusal(*paths):
    with pytest.raises(ConfigError) as caught:
        read_config(paths)
    return str(caught.value)


# merging


def test_defaults_are_merged_deeply_and_the_sweep_wins(config_file):
    config = read_config(
        [
            config_file("""
            defaults:
              data: {name: mnist, presentation: image}
              training: {epochs: 20, batch_size: 128}
            sweeps:
              one: {model: {name: cnn}, training: {epochs: 5}}
              two: {model: {name: cnn}, data: {name: digits}}
            """)
        ]
    )
    assert config.sweeps["one"]["training"] == {"epochs": 5, "batch_size": 128}
    assert config.sweeps["one"]["data"] == {"name": "mnist", "presentation": "image"}
    assert config.sweeps["two"]["data"] == {"name": "digits", "presentation": "image"}


def test_a_sweep_extends_another_and_what_that_one_extends(config_file):
    config = read_config(
        [
            config_file("""
            sweeps:
              last: {extends: middle, training: {batch_size: 3}}
              first: {seeds: 2, model: {name: cnn}, training: {epochs: 1, batch_size: 1}}
              middle: {extends: first, training: {batch_size: 2, learning_rate: 0.1}}
            """)
        ]
    )
    assert config.sweeps["last"]["training"] == {"epochs": 1, "batch_size": 3, "learning_rate": 0.1}
    assert config.sweeps["last"]["seeds"] == (0, 1)
    assert config.sweeps["middle"]["training"]["batch_size"] == 2


def test_several_entries_are_each_merged_with_the_mapping_on_the_other_side():
    base = {"training": {"epochs": 5, "batch_size": 2}, "data": [{"name": "mnist"}, {"name": "digits"}]}
    over = {"training": [{"epochs": 6}, {"optimizer": "sgd"}], "data": {"presentation": "rows"}}
    assert merge(base, over) == {
        "training": [{"epochs": 6, "batch_size": 2}, {"epochs": 5, "batch_size": 2, "optimizer": "sgd"}],
        "data": [{"name": "mnist", "presentation": "rows"}, {"name": "digits", "presentation": "rows"}],
    }


def test_a_model_of_another_name_does_not_inherit_parameters():
    base = {"model": {"name": "horn_cnn", "timesteps": 8}}
    over = {"model": [{"name": "cnn"}, {"name": "horn_cnn", "num_nodes": 4}]}
    assert merge(base, over)["model"] == [
        {"name": "cnn"},
        {"name": "horn_cnn", "timesteps": 8, "num_nodes": 4},
    ]


def test_defaults_without_a_model_name_reach_every_model():
    merged = merge({"model": {"readout_norm": "none"}}, {"model": [{"name": "cnn"}, {"name": "mlp"}]})
    assert merged["model"] == [
        {"readout_norm": "none", "name": "cnn"},
        {"readout_norm": "none", "name": "mlp"},
    ]


trees = st.recursive(
    st.integers() | st.lists(st.integers(), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abcd"), inner, max_size=3),
).filter(lambda tree: isinstance(tree, dict))


@given(trees, trees, trees)
def test_merging_is_associative_and_an_empty_side_changes_nothing(first, second, third):
    assert merge(first, {}) == first and merge({}, first) == first
    assert merge(first, first) == first
    if _same_shapes(first, second) and _same_shapes(second, third) and _same_shapes(first, third):
        assert merge(merge(first, second), third) == merge(first, merge(second, third))


def _same_shapes(first, second):
    """A scalar that replaces a mapping forgets what a later mapping would have been merged with."""
    shared = first.keys() & second.keys()
    kinds = all(isinstance(first[key], dict) == isinstance(second[key], dict) for key in shared)
    return kinds and all(
        _same_shapes(first[key], second[key]) for key in shared if isinstance(first[key], dict)
    )


# files


def test_sections_of_several_files_are_united(config_file):
    settings = config_file("results: there\nper_job: 3\n", "settings.yaml")
    one = config_file("sweeps: {one: {model: {name: cnn}}}\n", "one.yaml")
    two = config_file("per_job: 3\nsweeps: {two: {model: {name: cnn}}}\n", "two.yaml")
    config = read_config([settings, one, two])
    assert list(config.sweeps) == ["one", "two"]
    assert (config.settings.results, config.settings.per_job) == ("there", 3)


def test_a_value_given_twice_in_two_files_is_refused_and_not_overwritten(config_file):
    first = config_file(MODEL + "defaults:\n  training: {epochs: 3}\n", "first.yaml")
    second = config_file("defaults:\n  training: {epochs: 4}\n", "second.yaml")
    message = refusal(first, second)
    assert message.startswith(f"{second}:2: defaults.training: an earlier file gives this key another value")


def test_no_file_is_refused():
    assert refusal() == "no configuration file was named"


# seeds


def test_a_count_and_a_list_of_seeds(config_file):
    config = read_config(
        [
            config_file("""
            seeds: 3
            sweeps:
              common: {model: {name: cnn}}
              own: {seeds: 1, model: {name: cnn}}
              listed: {seeds: [7, 0, 999], model: {name: cnn}}
            """)
        ]
    )
    assert config.seeds == (0, 1, 2)
    assert {name: sweep["seeds"] for name, sweep in config.sweeps.items()} == {
        "common": (0, 1, 2),
        "own": (0,),
        "listed": (0, 7, 999),
    }


@pytest.mark.parametrize(
    ("seeds", "told"),
    [
        ("0", "got 0"),
        ("-1", "got -1"),
        ("1001", "got 1001"),
        ("true", "got true"),
        ("2.0", "got 2.0"),
        ("'3'", "got '3'"),
        ("null", "got null"),
        ("[]", "got []"),
        ("{a: 1}", "got {a: 1}"),
        ("[0, -1]", "got -1 among the seeds"),
        ("[0, 1000]", "got 1000 among the seeds; a seed is an integer from 0 to 999"),
        ("[0, true]", "got true among the seeds"),
        ("[0, 1.5]", "got 1.5 among the seeds"),
        ("[0, [1]]", "got [1] among the seeds"),
        ("[3, 1, 3]", "got the seed 3 twice"),
        (".inf", "got .inf"),
    ],
)
def test_impossible_seeds_are_refused(config_file, seeds, told):
    message = refusal(config_file(f"{MODEL}seeds: {seeds}\n"))
    assert ":2: seeds: " in message and told in message
    message = refusal(config_file(f"sweeps:\n  one:\n    model: {{name: cnn}}\n    seeds: {seeds}\n"))
    assert ":4: sweeps.one.seeds: " in message and told in message


@given(st.sets(st.integers(0, 999), min_size=1, max_size=20).map(list))
def test_listed_seeds_come_back_in_order(seeds):
    assert parse_seeds(seeds) == tuple(sorted(seeds))


# what bad input gets


@pytest.mark.parametrize(
    ("text", "place", "told"),
    [
        ("sweep: {}\n" + MODEL, ":1: sweep: ", ["unknown key", "did you mean 'sweeps'?", "valid: results"]),
        ("per_jobs: 2\n" + MODEL, ":1: per_jobs: ", ["did you mean 'per_job'?"]),
        ("statistics: {base: cnn}\n" + MODEL, ":1: statistics", ["did you mean 'baseline'?"]),
        ("statistics: {target: 2}\n" + MODEL, ":1: statistics.target: ", ["must be below 1"]),
        ("results: out\n", "config.yaml: sweeps: ", ["there must be at least one sweep"]),
        ("sweeps: {}\n", ":1: sweeps: ", ["at least one sweep"]),
        ("sweeps: [1]\n", ":1: sweeps: ", ["at least one sweep"]),
        ("sweeps:\n  one: 3\n", ":2: sweeps.one: ", ["found 3"]),
        ("sweeps:\n  one:\n", ":2: sweeps.one: ", ["found null"]),
        ("sweeps:\n  one: {seeds: 2}\n", ":2: sweeps.one: ", ["needs a `model:`"]),
        (
            "sweeps:\n  one:\n    training:\n      epochs:3\n",
            ":3: sweeps.one.training: ",
            ["write `epochs: 3`"],
        ),
        ("sweeps:\n  one: {models: {name: cnn}}\n", ":2: sweeps.one.models: ", ["did you mean 'model'?"]),
        (
            "sweeps:\n  one: {model: {name: cnn}, per_job: 2}\n",
            ":2: sweeps.one.per_job: ",
            ["unknown key", "extends"],
        ),
        ("sweeps:\n  one: {model: cnn}\n", ":2: sweeps.one.model: ", ["expected parameters", "found 'cnn'"]),
        ("sweeps:\n  one: {model: []}\n", ":2: sweeps.one.model: ", ["the list is empty"]),
        ("sweeps:\n  one:\n    model:\n      - cnn\n", ":4: sweeps.one.model[0]: ", ["found 'cnn'"]),
        (
            "sweeps:\n  one:\n    model:\n    - {name: cnn}\n    - {name: cnn}\n",
            ":5: sweeps.one.model[1]: ",
            ["says the same"],
        ),
        (
            "sweeps:\n  one: {model: {name: cnn}, tuning: {trial: 3}}\n",
            ":2: sweeps.one.tuning",
            ["did you mean 'trials'?"],
        ),
        (
            "sweeps:\n  one: {model: {name: cnn}, tuning: 16}\n",
            ":2: sweeps.one.tuning: ",
            ["expected keys such as"],
        ),
        (MODEL + "defaults: {trainings: {}}\n", ":2: defaults.trainings: ", ["did you mean 'training'?"]),
        (MODEL + "defaults: {extends: one}\n", ":2: defaults.extends: ", ["valid: data, model"]),
        (MODEL + "defaults:\n", ":2: defaults: ", ["found null"]),
        (
            "sweeps:\n  one: {extends: two, model: {name: cnn}}\n  twos: {model: {name: cnn}}\n",
            ":2: sweeps.one.extends: ",
            ["there is no sweep 'two'", "did you mean 'twos'?", "valid: twos"],
        ),
        (
            "sweeps:\n  one: {extends: one, model: {name: cnn}}\n",
            ":2: sweeps.one.extends: ",
            ["cannot extend itself: one -> one"],
        ),
        (
            "sweeps:\n  a: {extends: b}\n  b: {extends: c}\n  c: {extends: b}\n",
            ":2: sweeps.a.extends: ",
            ["cannot extend itself: a -> b -> c -> b"],
        ),
        ("sweeps:\n  a: {extends: [b]}\n  b: {model: {}}\n", ":2: sweeps.a.extends: ", ["no sweep ['b']"]),
    ],
)
def test_a_mistake_is_told_with_file_line_key_and_what_is_valid(config_file, text, place, told):
    message = refusal(config_file(text))
    assert place in message
    assert all(part in message for part in told), message
    assert "\n" not in message


@pytest.mark.parametrize(
    "name",
    [
        "../up",
        "/abs",
        "a b",
        "A",
        "1st",
        "",
        "a.b",
        "é",
        "x" * 65,
        "a/b",
        r'"a\nb"',
        r'"\e[31m"',
        "train",
        "all",
    ],
)
def test_a_sweep_name_is_a_plain_word_and_no_rule(config_file, name):
    key = name if name.startswith('"') else f'"{name}"'
    message = refusal(config_file(f"sweeps:\n  {key}: {{model: {{name: cnn}}}}\n"))
    assert ":2: sweeps." in message and ("a sweep's name is a word" in message or "name of a rule" in message)
    assert message.isprintable()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("per_job: 0", "got 0; must be at least 1"),
        ("per_job: true", "got true; expected an integer"),
        ("per_job: 2.5", "got 2.5; expected an integer"),
        ("per_job: [1, 2]", "got [1, 2]; expected an integer"),
        ("threads: -1", "got -1; must be at least 1"),
        ("lanes: 0", "got 0; valid: auto, or an integer from 1 on"),
        ("lanes: true", "got true; valid: auto"),
        ("lanes: fast", "got 'fast'; valid: auto"),
        ("lanes: .inf", "got .inf; valid: auto"),
        ("device: cpuu", "unknown device (did you mean 'cpu'?); valid: auto, cpu"),
        ("device: 'cuda:x'", "got 'cuda:x'; unknown device"),
        ("device: 3", "got 3; expected a word"),
        ("results: ''", "got ''; expected at least one character"),
        (r'results: "a\nb"', "no control characters"),
        (r'results: "a\0b"', "no control characters"),
        ("results: -rf", "no - or space in front"),
        ("results: 'a{b}'", "none of {}"),
        (r'checkpoints: "\e[0m"', "no control characters"),
        ("checkpoint_minutes: 0", "got 0; must be above 0"),
        ("checkpoint_minutes: '1e-3'", "got '1e-3'; expected a number without quotation marks"),
        ("checkpoint_minutes: '0,5'", "got '0,5'; expected a number with a point, such as 0.5"),
        ("per_job: '3'", "got '3'; expected an integer without quotation marks"),
        ("strict_stability: yes", "got 'yes'; expected true or false"),
        ("strict_stability: off", "got 'off'; expected true or false"),
        ("per_job: [null, true, {a: .inf}]", "got [null, true, {a: .inf}]; expected an integer"),
        ("checkpoint_minutes: .nan", "got .nan; expected a finite number"),
        ("checkpoint_minutes: .inf", "got .inf; expected a finite number"),
        ("strict_stability: 1", "got 1; expected true or false"),
    ],
)
def test_a_setting_says_what_it_takes(config_file, line, told):
    message = refusal(config_file(MODEL + line + "\n"))
    assert f":2: {line.split(':')[0]}: " in message and told in message
    assert message.isprintable()


def test_the_home_folder_may_be_written_as_a_tilde(monkeypatch):
    monkeypatch.setenv("HOME", "/somewhere")
    assert Settings(results="~/out").results == "/somewhere/out"


def test_settings_from_the_command_line_are_checked_alike():
    assert parse_settings(lanes=4, device="cuda:1").lanes == 4
    with pytest.raises(ConfigError, match=r"lanes: got 'x'; valid: auto"):
        parse_settings(lanes="x")


def test_an_error_in_an_inherited_key_names_the_line_where_it_stands(config_file):
    config = read_config(
        [
            config_file(
                "defaults:\n"
                "  training:\n"
                "    epochs: 1\n"
                "sweeps:\n"
                "  parent:\n"
                "    model:\n"
                "      - {name: cnn}\n"
                "    training:\n"
                "      batch_size: 3\n"
                "  child: {extends: parent}\n"
            )
        ]
    )

    def line(*path):
        return int(str(config.error(path, "x")).split(":")[1])

    assert line("sweeps", "child", "training", "epochs") == 3
    assert line("sweeps", "child", "training", "batch_size") == 9
    assert line("sweeps", "child", "model", 0, "name") == 7
    assert line("sweeps", "child", "model", 0, "unknown") == 10  # nowhere: the nearest key above


@pytest.mark.parametrize(
    ("looks", "seeds", "told"),
    [
        ("[7, 15, 10, 20]", 20, "a look at 10 seeds follows one at 15"),
        ("[7, 10, 10]", 20, "a look at 10 seeds follows one at 10"),
        ("[5, 10]", 20, "`min_seeds` is 7; valid: looks from 7 on"),
        ("[7, 10, 15, 20]", 15, "a look at 20 seeds, but the sweep one has 15; valid: looks up to 15"),
        ("[7, ten]", 20, "valid: numbers of seeds from 2 on"),
        ("[7.0, 10]", 20, "valid: numbers of seeds from 2 on"),
        ("10", 20, "got 10; valid: numbers of seeds from 2 on, such as [7, 10, 15, 20]"),
    ],
)
@pytest.mark.parametrize("own", [True, False])
def test_looks_that_decide_nothing_are_refused_with_line_and_key(config_file, looks, seeds, told, own):
    here = f"statistics:\n      sequential: {looks}"
    text = (
        f"sweeps:\n  one:\n    model: {{name: cnn}}\n    seeds: {seeds}\n    {here}\n"
        if own
        else f"statistics:\n  sequential: {looks}\nsweeps: {{one: {{model: {{name: cnn}}, seeds: {seeds}}}}}\n"
    )
    said = refusal(config_file(text))
    place = ("6", "sweeps.one.statistics.sequential") if own else ("2", "statistics.sequential")
    assert f"config.yaml:{place[0]}: {place[1]}" in said and told in said


def test_looks_may_end_before_the_last_seed_and_their_least_may_be_lowered(config_file):
    text = "statistics: {sequential: [3, 6], min_seeds: 3}\nseeds: 8\n" + MODEL
    assert read_config([config_file(text)]).sweeps["one"]["statistics"].sequential == (3, 6)
