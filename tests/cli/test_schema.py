"""The JSON schema: in step with the classes; accepts what the grid accepts, refuses what is mistyped."""

import json
from pathlib import Path

import jsonschema
import pytest

from hornlib.cli.schema import config_schema
from hornlib.config.settings import Settings
from hornlib.config.yaml_file import read_yaml
from hornlib.data.parameters import DataParameters
from hornlib.models import MODELS
from hornlib.parameters.training import TrainingParameters

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLES = [REPOSITORY / "config.yaml", *sorted((REPOSITORY / "config").glob("*.yaml"))]


@pytest.fixture(scope="module")
def schema():
    return config_schema()


@pytest.fixture(scope="module")
def validator(schema):
    return jsonschema.Draft7Validator(schema)


def test_the_committed_schema_is_in_step_with_the_classes(schema):
    committed = REPOSITORY / "workflow" / "schemas" / "config.schema.json"
    assert json.loads(committed.read_text()) == schema, "run `make schema`"


def test_the_schema_is_a_schema(schema):
    jsonschema.Draft7Validator.check_schema(schema)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_example_configurations_are_accepted(validator, path):
    assert [error.message for error in validator.iter_errors(read_yaml(path)[0])] == []


def test_every_parameter_is_described(schema):
    definitions = schema["$defs"]
    fields = [definitions["data_entry"]["properties"], definitions["training_entry"]["properties"]]
    assert [set(properties) for properties in fields] == [
        set(DataParameters.model_fields),
        set(TrainingParameters.model_fields),
    ]
    models = {part["if"]["properties"]["name"]["const"]: part for part in definitions["model_entry"]["allOf"]}
    assert list(models) == list(MODELS)
    for name, members in MODELS.items():
        properties = models[name]["then"]["properties"]
        assert set(members.model_fields) <= set(properties)
        fields.append({key: properties[key] for key in members.model_fields if key != "name"})
    fields.append({key: schema["properties"][key] for key in Settings.model_fields})
    for properties in fields:
        assert [key for key, field in properties.items() if not field.get("description")] == []


def document(**changes):
    sweep = {"model": {"name": "horn_cnn", "timesteps": 8}, "data": {"name": "digits"}}
    return {"sweeps": {"one": sweep | changes}}


@pytest.mark.parametrize(
    "accepted",
    [
        document(),
        document(model={"name": "horn_cnn", "timesteps": [1, 2], "heterogeneity": [0, 0.5]}),
        document(model={"name": "cnn", "channels": "8-16"}),
        document(model={"name": "cnn", "channels": [5, "8-16"]}),
        document(model={"name": ["cnn", "mlp"]}),
        document(model={"timesteps": 3}),  # the name may come from `extends` or `defaults`
        *(
            document(model=[{"name": "cnn"}, {"name": "mlp", "match": {"to": "cnn", "by": by}}])
            for by in ("flops", "forward_flops", "training_flops")
        ),
        document(model={"name": "rnn", "data": {"presentation": "rows"}, "training": {"epochs": [1, 2]}}),
        document(model={"name": "cnn", "arm": "tanh, wide"}),
        document(data=[{"name": ["mnist", "digits"]}, {"name": "cifar10", "image_size": None}]),
        document(seeds=3, extends="other", training={"evaluate_at_epochs": [5, "1-2"]}),
        document(seeds=[0, 5]) | {"lanes": 4, "per_job": 2, "device": "cuda:1", "seeds": 7},
        document() | {"lanes": "auto", "checkpoints": None, "defaults": {"training": {"epochs": 3}}},
    ],
    ids=str,
)
def test_what_the_grid_accepts_is_accepted(validator, accepted):
    assert [error.message for error in validator.iter_errors(accepted)] == []


@pytest.mark.parametrize(
    "refused",
    [
        {},
        {"sweeps": {}},
        {"sweeps": {"A": document()["sweeps"]["one"]}},
        {"sweeps": {"../up": document()["sweeps"]["one"]}},
        {"sweeps": {"train": document()["sweeps"]["one"]}},
        document() | {"per_jobs": 2},
        document() | {"per_job": 0},
        document() | {"per_job": True},
        document() | {"lanes": "fast"},
        document() | {"device": "gpu"},
        document() | {"statistics": {"base": "cnn"}},
        document(seeds=0),
        document(seeds=[]),
        document(seeds=[1, 1]),
        document(seeds=[1000]),
        document(models={"name": "cnn"}),
        document(model="cnn"),
        document(model=[]),
        document(model={"name": "horn_cn"}),
        document(model={"name": "horn_cnn", "timestep": 3}),
        document(model={"name": "horn_cnn", "timesteps": 0}),
        document(model={"name": "horn_cnn", "timesteps": []}),
        document(model={"name": "horn_cnn", "timesteps": [2, 2]}),
        document(model={"name": "horn_cnn", "timesteps": 2.5}),
        document(model={"name": "horn_cnn", "timesteps": True}),
        document(model={"name": "horn_cnn", "heterogeneity": "much"}),
        document(model={"name": "horn_cnn", "integrator": "verlett"}),
        document(model={"name": "cnn", "timesteps": 3}),  # a parameter of another model
        document(model={"timestep": 3}),
        document(model={"name": "cnn", "channels": "8--16"}),
        document(model={"name": "cnn", "match": {"to": "x"}}),
        document(model={"name": "cnn", "match": {"to": "x", "by": "seconds"}}),
        document(model={"name": "cnn", "arm": "../up"}),
        document(model={"name": "cnn", "arm": ""}),
        document(model={"name": "cnn", "training": {"epoch": 3}}),
        document(data={"name": "mnst"}),
        document(data={"name": "mnist", "presentation": "row"}),
        document(structure={"name": "growing"}),
        document(training={"learning_rate": 0}),
    ],
    ids=str,
)
def test_a_typical_mistake_is_refused(validator, refused):
    assert list(validator.iter_errors(refused))
