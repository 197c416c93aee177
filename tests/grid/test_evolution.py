"""What the grid says of models that evolve: refusals in the configuration's words, counts, plans and shapes."""

import pytest

from hornlib.errors import ConfigError
from hornlib.grid.evolution import EVOLUTION_KEYS
from hornlib.grid.shapes import distinct_shapes
from hornlib.models import MODELS
from hornlib.plan.estimates import training_forward_flops

EVOLVED = [name for name, model in MODELS.items() if model.trainer == "evolution"]
every_model = pytest.mark.parametrize("name", EVOLVED)


def one(model, **sections):
    """Return a sweep called `one` on digits."""
    lines = "\n".join(
        f"    {section}: {text}" for section, text in ({"data": "{name: digits}"} | sections).items()
    )
    return f"sweeps:\n  one:\n    model: {model}\n{lines}\n"


def refusal(grid_from, text):
    with pytest.raises(ConfigError) as caught:
        grid_from(text)
    return str(caught.value)


@every_model
@pytest.mark.parametrize(
    ("key", "value", "default"),
    [
        ("optimizer", "sgd", "adamw"),
        ("learning_rate", "0.1", "0.001"),
        ("weight_decay", "0.01", "0.0"),
        ("schedule", "constant", "cosine"),
        ("gradient_clip", "1.0", "0.0"),
        ("label_smoothing", "0.1", "0.0"),
        ("warmup_steps", "5", "0"),
        ("precision", "bf16", "fp32"),
        ("batch_norm_statistics", "recent", "precise"),
    ],
)
def test_what_a_gradient_needs_is_refused_before_training(grid_from, name, key, value, default):
    message = refusal(grid_from, one(f"{{name: {name}}}", training=f"{{{key}: {value}}}"))
    assert f"sweeps.one.model: training.{key}: " in message
    assert f"means nothing to {name}, which evolves without gradients" in message
    assert default in message and "Valid here: " + ", ".join(EVOLUTION_KEYS) in message


@every_model
def test_what_means_something_to_evolution_is_taken(grid_from, name):
    training = "{steps: 30, batch_size: 50, evaluate_at_epochs: 1, evaluation_examples: 100}"
    (cell,) = grid_from(one(f"{{name: {name}}}", training=training)).cells.values()
    assert {"steps", "batch_size", "evaluate_at_epochs", "evaluation_examples"} <= set(EVOLUTION_KEYS)
    assert cell.training.total_steps(cell.data.num_train) == 30


@every_model
def test_an_arm_may_take_back_what_the_others_need(grid_from, name):
    models = f"[{{name: mlp}}, {{name: {name}, training: {{optimizer: adamw, momentum: 0.9}}}}]"
    grid = grid_from(one(models, training="{optimizer: sgd, momentum: 0.5}"))
    assert len(grid.cells) == 2
    assert "optimizer: 'sgd' means nothing" in refusal(
        grid_from, one(f"[{{name: mlp}}, {{name: {name}}}]", training="{optimizer: sgd}")
    )


@every_model
@pytest.mark.parametrize(
    ("structure", "needed"),
    [
        ("growth", "rule: gradmax, times: 2, start_share: 0.2, every_share: 0.3"),
        ("unit_pruning", "drop_share: 0.1"),
        ("sparse_training", "rule: set, density: 0.5"),
        ("layer_insertion", "insert_at: 1"),
    ],
)
def test_a_structure_is_refused(grid_from, name, structure, needed):
    message = refusal(grid_from, one(f"{{name: {name}}}", structure=f"{{name: {structure}, {needed}}}"))
    assert f"structure: {structure} does not fit {name}, whose topology evolves; leave it out" in message


@every_model
def test_a_tuned_learning_rate_is_refused(grid_from, name):
    sections = {
        "training": "{learning_rate: {tune: {low: 1e-4, high: 1e-1, scale: log}}}",
        "tuning": "{trials: 4, seeds: 2}",
        "statistics": "{subject: mlp, baseline: mlp, claims: {}}",
    }
    text = one(f"[{{name: mlp}}, {{name: {name}}}]", **sections)
    assert f"learning_rate: 0.0001 means nothing to {name}" in refusal(grid_from, text)


@every_model
def test_nothing_is_matched_to_networks_without_a_size_nor_they_to_anything(grid_from, name):
    rival = f"[{{name: {name}}}, {{name: mlp, match: {{to: {name}, by: parameters}}}}]"
    assert f"to: {name}: {name} has no size before it is trained" in refusal(grid_from, one(rival))
    matched = f"[{{name: mlp}}, {{name: {name}, match: {{to: mlp, by: parameters}}}}]"
    assert f"sweeps.one.model[1].match: {name} has no size before it is trained" in refusal(
        grid_from, one(matched)
    )


def test_images_that_are_changed_at_random_are_refused(grid_from):
    message = refusal(grid_from, one("{name: wann}", data="{name: cifar10, augmentation: crop_flip}"))
    assert "data.augmentation: crop_flip means nothing to wann; give none" in message


def test_a_plan_counts_all_networks_of_all_generations(grid_from):
    def forward(model):
        (cell,) = grid_from(one(model, training="{steps: 10, batch_size: 100}")).cells.values()
        return training_forward_flops(cell), cell.model.cost(cell.task()).flops.total

    flops, of_network = forward("{name: wann, num_individuals: 50}")
    assert flops == 10 * 100 * 50 * 6 * of_network
    flops, of_network = forward("{name: neat, num_individuals: 50}")
    assert flops == 10 * 100 * 50 * of_network


def test_a_generation_has_a_shape_of_its_own(grid_from):
    grid = grid_from(one("{name: wann, num_individuals: [20, 40]}"))
    assert len(distinct_shapes(grid.cells.values())) == 2
