"""What the grid refuses or warns of: every mistake is told in the config's own words."""

import pytest

from hornlib.errors import ConfigError
from hornlib.grid import cell as cell_module
from hornlib.models.mlp.parameters import MlpParameters
from hornlib.results.coordinates import coordinate_values


def one(model, **sections):
    """Return a sweep called `one`, on digits unless told otherwise."""
    sections = {"data": "{name: digits}"} | sections
    lines = "\n".join(f"    {section}: {text}" for section, text in sections.items())
    return f"sweeps:\n  one:\n    model: {model}\n{lines}\n"


def refusal(grid_from, text):
    with pytest.raises(ConfigError) as caught:
        grid_from(text)
    message = str(caught.value)
    assert message.isprintable() or "\n" in message
    return message


def test_two_cells_that_would_share_a_name_are_refused(grid_from, monkeypatch):
    class Collision:
        def __init__(self, text):
            pass

        def hexdigest(self):
            return "0" * 64

    monkeypatch.setattr(cell_module.hashlib, "sha256", Collision)
    message = refusal(grid_from, one("{name: cnn, activation: [relu, tanh]}"))
    assert "sweeps.one.model: two cells share the name digits-cnn-000000000000" in message


def test_two_arms_with_the_same_cell_are_refused(grid_from):
    message = refusal(
        grid_from, one("\n      - {name: cnn}\n      - {name: cnn, arm: again, activation: relu}")
    )
    assert ":5: sweeps.one.model[1]: the arms 'cnn' and 'again' share the cell digits-cnn-" in message


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("{name: cnn, match: {to: cnn, by: flops}}", "cannot be matched to itself: cnn -> cnn"),
        (
            "[{name: cnn, match: {to: mlp, by: flops}}, {name: mlp, match: {to: cnn, by: flops}}]",
            "cannot be matched to itself: cnn -> mlp -> cnn",
        ),
        (
            "[{name: horn_cnn}, {name: cnn, match: {to: horn, by: flops}}]",
            "there is no arm 'horn' (did you mean 'horn_cnn'?); valid: horn_cnn",
        ),
        ("[{name: mlp}, {name: cnn, match: {to: mlp, by: seconds}}]", "by: unknown 'seconds'"),
        ("[{name: mlp}, {name: cnn, match: mlp}]", "expected {to: <arm>, by: parameters | forward_flops"),
        (
            "[{name: mlp}, {name: cnn, data: {name: mnist}, match: {to: mlp, by: flops}}]",
            "the arm 'mlp' has no cell on mnist",
        ),
        (
            "[{name: mlp}, {name: cnn, data: {image_size: 4}, match: {to: mlp, by: flops}}]",
            "the arm 'mlp' has no cell on digits at that image_size",
        ),
    ],
)
def test_an_impossible_match_is_refused(grid_from, model, told):
    message = refusal(grid_from, one(model))
    assert "sweeps.one.model" in message and ".match: " in message and told in message


MANY = str(list(range(1, 501)))


@pytest.mark.parametrize(
    ("model", "key", "told"),
    [
        (
            "{name: horn_cn}",
            "model.name",
            ["unknown model 'horn_cn'", "did you mean 'horn_cnn'?", "valid: ", "mlp"],
        ),
        ("{name: 3}", "model.name", ["unknown model 3"]),
        ("{name: [cnn, cn]}", "model.name", ["unknown model 'cn'"]),
        ("{timesteps: 3}", "model", ["a model needs a `name:`"]),
        (
            "{name: horn_cnn, timestep: 3}",
            "model.timestep",
            ["unknown parameter of model horn_cnn", "did you mean 'timesteps'?", "valid: ", "match"],
        ),
        ("{name: cnn, model: {name: mlp}}", "model.model", ["expected a value or a list, found a mapping"]),
        ("{name: cnn, seeds: 3}", "model.seeds", ["unknown parameter of model cnn"]),
        (
            "{name: horn_cnn, integrator: verlett}",
            "model.integrator",
            ["unknown 'verlett'", "valid: symplectic_euler, explicit_euler"],
        ),
        (
            "{name: horn_cnn, integrator: symplectic_eular}",
            "model.integrator",
            ["unknown 'symplectic_eular' (did you mean 'symplectic_euler'?)"],
        ),
        ("{name: horn_cnn, timesteps: 0}", "model.timesteps", ["got 0; must be at least 1"]),
        ("{name: horn_cnn, timesteps: [4, 0]}", "model.timesteps", ["got 0; must be at least 1"]),
        ("{name: horn_cnn, timesteps: true}", "model.timesteps", ["got true; expected an integer"]),
        ("{name: horn_cnn, timesteps: 2.5}", "model.timesteps", ["got 2.5; expected an integer"]),
        ("{name: horn_cnn, timesteps: '8'}", "model.timesteps", ["got '8'; expected an integer"]),
        ("{name: horn_cnn, timesteps: null}", "model.timesteps", ["got null; expected an integer"]),
        ("{name: horn_cnn, heterogeneity: .nan}", "model.heterogeneity", ["got .nan; "]),
        ("{name: horn_cnn, heterogeneity: .inf}", "model.heterogeneity", ["got .inf; "]),
        ("{name: horn_cnn, heterogeneity: false}", "model.heterogeneity", ["got false; expected a number"]),
        ("{name: horn_cnn, heterogeneity: -1}", "model.heterogeneity", ["got -1; must be at least 0"]),
        ("{name: horn_cnn, omega: 0}", "model.omega", ["got 0; must be at least 1e-06"]),
        ("{name: horn_cnn, omega: 1, num_cycles: 1}", "model", ["give omega or num_cycles, not both"]),
        ("{name: horn_cnn, timesteps: []}", "model.timesteps", ["the list is empty"]),
        ("{name: horn_cnn, timesteps: [4, 4]}", "model.timesteps", ["the value 4 stands twice"]),
        ("{name: horn_cnn, omega: [1e-3, 0.001]}", "model.omega", ["the value 0.001 stands twice"]),
        ("{name: horn_cnn, omega: [1, 1.0]}", "model.omega", ["the value 1.0 stands twice"]),
        ("{name: cnn, channels: [5, '5']}", "model", ["a value stands twice in a list, spelt in two ways"]),
        ("{name: cnn, channels: [[8, 16]]}", "model.channels", ["[8, 16] within an axis", "32-64-128"]),
        (
            "{name: cnn, channels: 8--16}",
            "model.channels",
            ["got '8--16'; a list of widths is written 32-64-128"],
        ),
        ("{name: cnn, channels: 0}", "model.channels", ["must be at least 1"]),
        ("{name: cnn, channels: true}", "model.channels", ["got true; expected widths such as 32-64-128"]),
        ("{name: cnn, activation: {tune: {low: 1}}}", "model.activation", ["ranges belong to a sweep"]),
        (
            "{name: cnn, activation: {a: 1}}",
            "model.activation",
            ["expected a value or a list, found a mapping"],
        ),
        ("{name: cnn, data: digits}", "model.data", ["expected parameters of data, found 'digits'"]),
        ("{name: cnn, data: []}", "model.data", ["expected parameters of data, found []"]),
        ("{name: cnn, arm: ''}", "model.arm", ["got ''; a label is a line of 1 to 64 characters"]),
        ("{name: cnn, arm: 3}", "model.arm", ["got 3; a label"]),
        ("{name: cnn, arm: [a, b]}", "model.arm", ["got ['a', 'b']; a label"]),
        ("{name: cnn, arm: ../up}", "model.arm", ["got '../up'; a label"]),
        ("{name: cnn, arm: /abs}", "model.arm", ["got '/abs'; a label"]),
        ('{name: cnn, arm: "a\\nb"}', "model.arm", ["got 'a\\nb'; a label"]),
        ('{name: cnn, arm: "\\e[31m"}', "model.arm", ["a label"]),
        (
            "[{name: cnn}, {name: cnn, activation: tanh}]",
            "model[1]",
            ["'cnn' is given twice", "add `arm: <label>`"],
        ),
        (
            "{name: cnn, data: [{train_subset: 100}, {train_subset: 100}]}",
            "model.data[1]",
            ["another entry of data says the same"],
        ),
        (
            "{name: cnn, data: {root: [a, b]}}",
            "model.data.root",
            ["not part of a cell's name", "give one value"],
        ),
        ("{name: horn, fast_path: [adjoint, autograd]}", "model.fast_path", ["not part of a cell's name"]),
        ("{name: horn_cnn, timesteps: 1000000000}", "model.timesteps", ["must be at most 100000"]),
        ("{name: horn_cnn, num_cycles: 1e-200}", "model.num_cycles", ["must be at least 1e-06"]),
        ("{name: horn, omega: 1e200}", "model.omega", ["must be at most 1e+06"]),
        ("{name: horn_cnn, damping: 1e-320}", "model", ["damping: got 1e-320; give 0, or at least 1e-06"]),
        ("{name: leaky_cnn, num_cycles: 1e300}", "model.num_cycles", ["must be at most 1e+06"]),
        ("{name: leaky_cnn, num_cycles: 1e5}", "model", ["num_cycles: 100000 within 8", "give fewer"]),
        (
            "{name: horn_cnn, gain: reference, integrator: explicit_euler, omega: 100, timesteps: 1000}",
            "model",
            ["gain: reference needs an oscillator that follows a constant drive"],
        ),
        ("{name: rnn}", "model", ["rnn does not take the presentation 'image' of digits; valid: rows"]),
        ("{name: cnn, channels: 2-2-2-2-2-2}", "model", ["6 stages halve an image of 8 pixels to nothing"]),
        (
            f"{{name: horn_cnn, omega: {MANY}, num_nodes: {MANY}}}",
            "model",
            ["its axes make 250,000 cells; 100,000"],
        ),
    ],
)
def test_a_mistake_in_a_model_names_sweep_key_value_and_what_is_valid(grid_from, model, key, told):
    message = refusal(grid_from, one(model))
    assert f":3: sweeps.one.{key}: " in message
    assert all(part in message for part in told), message


@pytest.mark.parametrize(
    ("section", "text", "key", "told"),
    [
        (
            "data",
            "{name: mnst}",
            "data.name",
            ["unknown dataset 'mnst'", "did you mean 'mnist'?", "valid: digits"],
        ),
        ("data", "{name: ../digits}", "data.name", ["unknown dataset '../digits'"]),
        ("data", "{presentation: image}", "data.name", ["data needs this parameter"]),
        (
            "data",
            "{name: digits, presentation: row}",
            "data.presentation",
            ["unknown 'row' (did you mean 'rows'?)"],
        ),
        ("data", "{name: digits, subset: 3}", "data.subset", ["unknown parameter of data"]),
        ("data", "{name: digits, train_subset: 100000}", "data", ["train_subset: 100000 is more than"]),
        (
            "data",
            "[{name: digits}, {name: [mnist, digits]}]",
            "data[1]",
            ["another entry of data says the same"],
        ),
        ("training", "{epoch: 3}", "training.epoch", ["did you mean 'epochs'?"]),
        ("training", "{epochs: true}", "training.epochs", ["got true; expected an integer"]),
        ("training", "{learning_rate: .inf}", "training.learning_rate", ["got .inf; "]),
        ("training", "{learning_rate: 0}", "training.learning_rate", ["got 0; must be above 0"]),
        ("training", "{label_smoothing: 1}", "training.label_smoothing", ["got 1; must be below 1"]),
        ("training", "{optimizer: adam}", "training.optimizer", ["unknown 'adam' (did you mean 'adamw'?)"]),
        ("training", "{evaluate_at_epochs: 0}", "training.evaluate_at_epochs", ["must be at least 1"]),
        ("data", "{name: digits, root: [a, b]}", "data.root", ["not part of a cell's name"]),
        (
            "data",
            "[{name: digits}, {name: digits, root: a}]",
            "data[1]",
            ["another entry of data says the same"],
        ),
        (
            "training",
            "{epochs: 2, batch_size: 100, evaluate_at_epochs: 1-50}",
            "model",
            [
                "training.evaluate_at_epochs: epoch 50 ends at step 650, and training ends at step 26 (epochs: 2)",
                "take it out",
            ],
        ),
        (
            "training",
            "{steps: 30, warmup_steps: 30}",
            "model",
            ["training.warmup_steps: got 30, but training ends at step 30", "at most 29"],
        ),
        (
            "training",
            "{optimizer: [adamw, sgd], beta1: 0.8}",
            "training",
            ["beta1 means nothing to optimizer: sgd"],
        ),
        ("training", "{acceleration: none}", "training", ["acceleration means nothing to optimizer: adamw"]),
        (
            "training",
            "{momentum: 0.5}",
            "training",
            ["momentum means nothing to optimizer: adamw; leave it out"],
        ),
        (
            "training",
            "{optimizer: beta_lasso, l1: 1e-4, momentum: 0.9}",
            "training",
            ["optimizer: beta_lasso has no momentum, got momentum: 0.9; give 0, or leave it out"],
        ),
        (
            "training",
            "{optimizer: beta_lasso, l1: 1e-4, acceleration: nesterov}",
            "training",
            ["optimizer: beta_lasso has no momentum, got acceleration: nesterov; give none"],
        ),
        ("training", "{optimizer: beta_lasso}", "training", ["beta_lasso needs `l1:`", "above 0"]),
        ("training", "{optimizer: sgd, l1: 1e-4}", "training", ["l1 means nothing to optimizer: sgd"]),
        ("structure", "{name: dynamic}", "structure.name", ["unknown structure 'dynamic'", "valid: static"]),
        ("structure", "{rate: 3}", "structure.rate", ["unknown parameter of structure"]),
    ],
)
def test_a_mistake_in_another_section_is_told_alike(grid_from, section, text, key, told):
    message = refusal(grid_from, one("{name: mlp}", **{section: text}))
    assert f"sweeps.one.{key}: " in message
    assert all(part in message for part in told), message


@pytest.mark.parametrize(
    ("model", "structure", "told"),
    [
        (
            "{name: mlp, activation: relu_one, readout_norm: none}",
            "{name: growth, times: 2}",
            ["{name: growth, rule: gradmax} adds"],
        ),
        (
            "{name: mlp}",
            "{name: layer_insertion, insert_at: 1}",
            ["structure: {name: layer_insertion} adds weights"],
        ),
        (
            "{name: mlp}",
            "{name: sparse_training, rule: set}",
            ["rule: set} adds weights that start at 0", "another"],
        ),
        ("{name: mlp}", "{name: sparse_training, storage: compressed}", ["give structure.storage: masked"]),
        (
            "{name: mlp, hidden_nodes: 8, connections: 20-9}",
            "{name: static}",
            ["leave model.connections out"],
        ),
    ],
)
def test_what_beta_lasso_cannot_train_is_refused(grid_from, model, structure, told):
    training = "{optimizer: beta_lasso, l1: 1e-4}"
    message = refusal(grid_from, one(model, structure=structure, training=training))
    assert "training.optimizer: beta_lasso" in message
    assert all(part in message for part in told), message


def test_beta_lasso_is_one_cell_whether_its_lack_of_momentum_is_given_or_not(grid_from):
    names = {
        *grid_from(one("{name: mlp}", training="{optimizer: beta_lasso, l1: 1e-4}")).cells,
        *grid_from(
            one("{name: mlp}", training="{optimizer: beta_lasso, l1: 1e-4, momentum: 0, acceleration: none}")
        ).cells,
    }
    assert len(names) == 1


def test_every_mistake_of_an_entry_is_told_at_once(grid_from):
    message = refusal(grid_from, one("{name: horn_cnn, timesteps: 0, num_node: 3}"))
    assert len(message.splitlines()) == 2


def test_a_mistake_in_the_defaults_is_told_with_the_line_in_the_defaults(grid_from):
    message = refusal(grid_from, "defaults:\n  training:\n    epochs: 0\n" + one("{name: mlp}"))
    assert ":3: sweeps.one.training.epochs: got 0" in message


@pytest.mark.parametrize(
    ("batch_size", "nearest"),
    [(1, "give 3"), (2, "give 3"), (4, "give 3 or 6"), (20, "give 19 or 21"), (100, "give 99 or 101")],
)
def test_a_batch_of_one_example_is_refused_where_the_batch_is_normalised(grid_from, batch_size, nearest):
    def text(model, **training):
        values = ", ".join(
            f"{key}: {value}" for key, value in ({"batch_size": batch_size} | training).items()
        )
        return one(model, data="{name: digits, train_subset: 401}", training=f"{{{values}}}")

    for model, key in (("{name: mlp}", "readout_norm"), ("{name: cnn, readout_norm: none}", "normalisation")):
        message = refusal(grid_from, text(model))
        assert f"training.batch_size: got {batch_size}, which leaves a batch of 1 of the 401" in message
        assert f"{key}: batch needs at least 2 examples in every batch" in message
        assert message.endswith(nearest)
    assert grid_from(text("{name: cnn, normalisation: group, readout_norm: none}")).cells
    if batch_size > 1:  # the epoch's last batch is never reached
        assert grid_from(text("{name: mlp}", steps=3)).cells


def test_one_training_example_cannot_be_normalised_at_any_batch_size(grid_from):
    message = refusal(grid_from, one("{name: mlp}", data="{name: digits, train_subset: 1}"))
    assert "data.train_subset: got 1, and readout_norm: batch needs at least 2" in message


@pytest.mark.parametrize(
    "model",
    [
        "{name: horn_cnn, omega: 100, timesteps: 400}",
        "{name: horn_cnn, omega: 1e6, integration_step: 1e6, timesteps: 100000, readout: [mean, rms, last]}",
        "{name: horn_cnn, integrator: explicit_euler, omega: 100, timesteps: 1000}",
        "{name: horn, timesteps: 8, omega: [1e-6, 1e6], integration_step: [1e-6, 1e6], damping: [0, 1e6]}",
        "{name: cnn_horn, num_cycles: [1e-6, 1e6], damping_ratio: [0, 1e-6, 1e6], dc_gain: [1e-6, 1e6]}",
        "{name: leaky_cnn, num_cycles: 1e-6, timesteps: 100000}",
    ],
)
def test_whatever_constants_are_admitted_have_coordinates(grid_from, model):
    grid = grid_from(one(model))
    for cell in grid.cells.values():
        values = coordinate_values(cell).values
        assert not any(value != value for value in values.values()), "nan stands for absent"


def test_an_arithmetic_error_of_a_model_is_a_refusal(grid_from, monkeypatch):
    def derived(self, task):
        raise ZeroDivisionError("float division by zero")

    monkeypatch.setattr(MlpParameters, "derived", derived)
    message = refusal(grid_from, one("{name: mlp, hidden_nodes: 3}"))
    assert ":3: sweeps.one.model: mlp: the values leave what a float can hold" in message


UNSTABLE = "{name: horn_cnn, omega: 3, timesteps: [4, 8]}"


def test_an_oscillator_predicted_to_be_unstable_is_warned_of(grid_from):
    grid = grid_from(one(UNSTABLE))
    assert [grid.cells[warning.cell].model.timesteps for warning in grid.warnings] == [4, 8]
    assert all("unstable" in warning.sentence for warning in grid.warnings)
    assert ":3: sweeps.one.model: horn_cnn" in grid.warnings[0].place


def test_strict_stability_makes_the_warning_an_error(grid_from):
    message = refusal(grid_from, "strict_stability: true\n" + one(UNSTABLE))
    assert ":4: sweeps.one.model: " in message
    assert "unstable" in message and "(strict_stability is on)" in message


def test_a_stable_oscillator_is_not_warned_of(grid_from):
    assert grid_from("strict_stability: true\n" + one("{name: horn_cnn, timesteps: 8}")).warnings == []
