"""`hornlib export`: the written network is the one that was evaluated, in torch and in ONNX."""

import sys

import pytest
import torch

from hornlib.cli import main
from hornlib.data.loading import load
from hornlib.evolution.network import evolved_network
from hornlib.grid.cell import parse_specification
from hornlib.grid.jobs import Range, weights_path
from hornlib.models.build import build_network
from hornlib.results.run_file import read_run_file
from hornlib.training.job import TrainOptions
from hornlib.training.train import train_job

SPARSE = {"name": "sparse_training", "density": 0.3}
CASES = {
    "mlp": ({"name": "mlp", "hidden_nodes": "8", "normalisation": "batch"}, SPARSE),
    "stored": ({"name": "mlp", "hidden_nodes": "8"}, {**SPARSE, "storage": "compressed"}),
    "oscillators": ({"name": "horn_cnn", "num_nodes": 4, "timesteps": 3}, {"name": "static"}),
}
EVOLVED = {
    "wann": {"name": "wann", "num_individuals": 20, "num_contestants": 4, "gradient_steps": 0},
    "neat": {"name": "neat", "num_individuals": 20, "split_mutation": 0.5},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a function that gives a cell and its run file with two seeds; each is trained once."""
    folder, outputs = tmp_path_factory.mktemp("results"), {}

    def train(name):
        if name not in outputs:
            model, structure = CASES[name] if name in CASES else (EVOLVED[name], {"name": "static"})
            training = {"steps": 10, "batch_size": 16}
            if name not in EVOLVED:
                training["learning_rate"] = 0.01
            cell = parse_specification(
                {
                    "data": {"name": "digits", "train_subset": 100},
                    "model": model,
                    "structure": structure,
                    "training": training,
                }
            )
            output = folder / "runs" / f"{cell.name}.seeds-0-1.nc"
            options = TrainOptions("auto", 1, "cpu", folder / "checkpoints", 60.0, keep_weights="last")
            train_job(cell, Range(0, 1), output, options)
            outputs[name] = cell, output
        return outputs[name]

    return train


def export(monkeypatch, *words):
    monkeypatch.setattr(sys, "argv", ["hornlib", "export", *map(str, words)])
    try:
        main()
    except SystemExit as stopped:
        return stopped.code
    return 0


@pytest.mark.parametrize("name", CASES)
def test_a_state_dict_loads_into_the_plain_network_and_scores_as_recorded(
    trained, monkeypatch, tmp_path, name
):
    cell, output = trained(name)
    path = tmp_path / "network.pt"
    assert export(monkeypatch, output, "--seed", 1, "--output", path) == 0
    network = build_network(cell.model, cell.task(), seed=0)
    network.load_state_dict(torch.load(path, weights_only=True))
    test = load(cell.data, torch.device("cpu")).test
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(network.eval()(test.inputs), test.targets)
    assert float(loss) == pytest.approx(read_run_file(output).variables["test_loss"][1, -1], rel=1e-5)
    connections = cell.structure.connections(cell.model, cell.task())
    state = network.state_dict()
    assert {weight: int((state[weight] != 0).sum()) for weight in connections} == connections


@pytest.mark.parametrize("name", EVOLVED)
def test_the_genome_in_a_state_dict_builds_the_network_that_was_evaluated(
    trained, monkeypatch, tmp_path, name
):
    cell, output = trained(name)
    path = tmp_path / "network.pt"
    assert export(monkeypatch, output, "--seed", 1, "--output", path) == 0
    tensors = torch.load(path, weights_only=True)
    assert len(tensors["hidden"])
    network = evolved_network(cell.model, cell.task(), tensors)
    test = load(cell.data, torch.device("cpu")).test
    with torch.no_grad():
        loss = torch.nn.functional.cross_entropy(network(test.inputs), test.targets)
    assert float(loss) == pytest.approx(read_run_file(output).variables["test_loss"][1, -1], rel=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_an_onnx_model_gives_the_same_outputs_for_any_number_of_examples(
    trained, monkeypatch, tmp_path, name
):
    pytest.importorskip("onnxscript", reason="the extra hornlib[onnx] is not installed")
    runtime = pytest.importorskip("onnxruntime", reason="the extra hornlib[onnx] is not installed")
    cell, output = trained(name)
    assert export(monkeypatch, output, "--seed", 0, "--output", tmp_path / "network.pt") == 0
    assert export(monkeypatch, output, "--seed", 0, "--format", "onnx", "--output", tmp_path / "n.onnx") == 0
    network = build_network(cell.model, cell.task(), seed=0).eval()
    network.load_state_dict(torch.load(tmp_path / "network.pt", weights_only=True))
    session = runtime.InferenceSession(tmp_path / "n.onnx")
    for number in (1, 2, 7):
        inputs = torch.randn(number, *cell.task().input_shape, generator=torch.Generator().manual_seed(0))
        (outputs,) = session.run(["outputs"], {"inputs": inputs.numpy()})
        with torch.no_grad():
            torch.testing.assert_close(torch.from_numpy(outputs), network(inputs), rtol=1e-4, atol=1e-5)


def test_without_the_packages_onnx_says_what_to_install(trained, monkeypatch, tmp_path, capsys):
    _, output = trained("mlp")
    monkeypatch.setattr("hornlib.training.exporting.find_spec", lambda name: None)
    assert export(monkeypatch, output, "--seed", 0, "--format", "onnx", "--output", tmp_path / "n") == 1
    assert "pip install 'hornlib[onnx]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_without_an_output_the_file_is_named_after_cell_and_seed(trained, monkeypatch, tmp_path, capsys):
    cell, output = trained("mlp")
    monkeypatch.chdir(tmp_path)
    assert export(monkeypatch, output, "--seed", 1) == 0
    assert [path.name for path in tmp_path.iterdir()] == [f"{cell.name}.seed-1.pt"]
    assert "inputs batch x 1 x 8 x 8, outputs batch x 10" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--seed", "7"), "has the seeds 0, 1"),
        (("--seed", "0", "--format", "tflite"), "--format 'tflite': valid: state_dict, onnx"),
    ],
)
def test_what_cannot_be_exported_is_refused(trained, monkeypatch, tmp_path, capsys, words, told):
    _, output = trained("mlp")
    assert export(monkeypatch, output, *words, "--output", tmp_path / "n") == 1
    assert told in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_missing_weights_name_the_setting(trained, monkeypatch, tmp_path, capsys):
    _, output = trained("mlp")
    lone = tmp_path / "runs" / output.name
    lone.parent.mkdir()
    lone.write_bytes(output.read_bytes())
    assert export(monkeypatch, lone, "--seed", 0) == 1
    assert "Write `keep_weights: last` at the top of config.yaml" in capsys.readouterr().err


def test_weights_of_another_run_file_are_refused(trained, monkeypatch, tmp_path, capsys):
    (_, output), (_, other) = trained("mlp"), trained("stored")
    lone = tmp_path / "runs" / output.name
    for source, target in ((output, lone), (weights_path(other), weights_path(lone))):
        target.parent.mkdir()
        target.write_bytes(source.read_bytes())
    assert export(monkeypatch, lone, "--seed", 0) == 1
    assert "it was renamed" in capsys.readouterr().err
