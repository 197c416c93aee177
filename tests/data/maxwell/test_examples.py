"""Claims about the file of examples, on the coarse mesh: reproducible, whole or not there, reduced as told."""

import sys
from functools import partial

import numpy as np
import pytest
import skfem
import torch
from skfem.helpers import curl, dot

from hornlib.data import DATASETS, MAXWELL_SMALL
from hornlib.data.loading import load
from hornlib.data.maxwell import examples as stored_examples
from hornlib.data.maxwell import problem
from hornlib.data.maxwell.edge_elements import EdgeElements
from hornlib.data.maxwell.examples import Examples, ensure
from hornlib.data.maxwell.loaders import examples_of
from hornlib.data.maxwell.solve import solve_all
from hornlib.data.parameters import DataParameters
from hornlib.data.prepare import prepare
from hornlib.data.reading import read
from hornlib.errors import DataError

TRAIN = MAXWELL_SMALL.num_train


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder with the small file, made as `hornlib data` makes it."""
    return prepare("maxwell_forward_small", tmp_path_factory.mktemp("maxwell") / "new")


@pytest.fixture(scope="module")
def examples(root):
    return examples_of(MAXWELL_SMALL, root)


@pytest.fixture
def altered(examples, tmp_path):
    """A function that writes the file with something else in it and returns its folder."""

    def write(**arrays):
        path = tmp_path / MAXWELL_SMALL.file
        about = stored_examples._about(*MAXWELL_SMALL[1:])
        np.savez(path, **{"about": about, **examples._asdict(), **arrays})
        return tmp_path

    return write


def relative(difference, whole):
    return np.linalg.norm(difference) / np.linalg.norm(whole)


def test_the_file_is_the_same_bit_for_bit_when_it_is_made_again(root, tmp_path, capsys):
    torch.manual_seed(3)
    ensure(tmp_path / MAXWELL_SMALL.file, *MAXWELL_SMALL[1:])
    assert (tmp_path / MAXWELL_SMALL.file).read_bytes() == (root / MAXWELL_SMALL.file).read_bytes()
    messages = capsys.readouterr().err.splitlines()
    assert messages[-1].startswith("maxwell_n3_40: 40 of 40 examples, ") and len(messages) == 10


def test_both_datasets_share_one_file_that_is_made_once(root):
    before = (root / MAXWELL_SMALL.file).stat().st_mtime_ns
    prepare("maxwell_inverse_small", root)
    ensure(root / MAXWELL_SMALL.file, *MAXWELL_SMALL[1:])
    assert (root / MAXWELL_SMALL.file).stat().st_mtime_ns == before
    assert DATASETS["maxwell_inverse_small"].files == DATASETS["maxwell_forward_small"].files


def test_what_is_stored_is_what_scikit_fem_solves_by_itself(examples):
    """The whole matrix assembled at once, scikit-fem's own boundary conditions, solver and interpolation."""
    own = EdgeElements(MAXWELL_SMALL.cells_a_side)
    for number in (0, TRAIN):
        xi = examples.xi[number]

        def form(u, v, w, xi=xi):
            nu = 1 + (np.exp(xi[4]) - 1) * problem.inclusion(np.asarray(w.x))
            return nu * dot(curl(u), curl(v)) + problem.ABSORPTION * dot(u, v)

        matrix = skfem.BilinearForm(form).assemble(own.basis)
        load = own.load(partial(problem.current_density, xi=xi))
        field = skfem.solve(*skfem.condense(matrix, load, D=own.basis.get_dofs()))
        inner, rotation = (
            read @ field
            for read in (own.sampling(problem.inner_sensors())[0], own.sampling(problem.face_sensors())[1])
        )
        np.testing.assert_allclose(examples.fields[number], inner, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(examples.readings[number], rotation[:100], rtol=1e-5, atol=1e-6)


def test_a_field_is_linear_in_the_strength_and_falls_with_the_contrast():
    xi = np.array([[0.5, 0.5, 0.5, 1, 0], [0.5, 0.5, 0.5, 1.5, 0], [0.5, 0.5, 0.5, 1, 1]])
    (one, stronger, stiffer), _ = solve_all(3, xi)
    np.testing.assert_allclose(stronger, 1.5 * one, rtol=1e-10, atol=1e-14)
    assert np.linalg.norm(stiffer) < np.linalg.norm(one)


def test_the_modes_are_orthonormal_and_no_20_others_project_the_training_fields_better(examples):
    np.testing.assert_allclose(examples.modes.T @ examples.modes, np.eye(20), atol=1e-12)
    train = examples.fields[:TRAIN].astype(float)
    left_out = np.linalg.norm(train - train @ examples.modes @ examples.modes.T)
    least = np.sqrt((np.linalg.svd(train, compute_uv=False)[20:] ** 2).sum())
    assert left_out == pytest.approx(least, rel=1e-3)


def test_targets_are_scaled_coefficients_with_the_relative_errors_of_the_projected_fields(examples):
    train, test = examples.fields[:TRAIN].astype(float), examples.fields[TRAIN:].astype(float)
    np.testing.assert_allclose(
        examples.coefficients * examples.scale, examples.fields @ examples.modes, rtol=1e-3, atol=1e-5
    )
    assert np.mean(examples.coefficients[:TRAIN].astype(float) ** 2) == pytest.approx(1, rel=1e-5)
    assert examples.pod_floor == pytest.approx(
        relative(test - test @ examples.modes @ examples.modes.T, test), rel=1e-3
    )
    assert 0 < examples.pod_floor < 0.2 and np.isfinite(train).all()
    answer = examples.coefficients[TRAIN:] + 0.1 * np.random.default_rng(0).standard_normal((8, 20))
    projected = test @ examples.modes
    in_space = relative(answer * examples.scale @ examples.modes.T - projected @ examples.modes.T, projected)
    by_targets = relative(answer - examples.coefficients[TRAIN:], examples.coefficients[TRAIN:])
    assert by_targets == pytest.approx(in_space, rel=1e-3)
    whole, floor = (
        relative(answer * examples.scale @ examples.modes.T - test, test),
        float(examples.pod_floor),
    )
    assert np.sqrt(floor**2 + (1 - floor**2) * by_targets**2) == pytest.approx(whole, rel=1e-3)


def test_the_forward_map_takes_parameters_to_coefficients(root, examples):
    data = DataParameters(name="maxwell_forward_small", root=str(root), validation=0, input_scaling="raw")
    splits = load(data, "cpu")
    np.testing.assert_allclose(splits.train.inputs, examples.xi[:TRAIN], rtol=1e-6)
    np.testing.assert_array_equal(splits.test.targets, examples.coefficients[TRAIN:])
    standard = load(DataParameters(name="maxwell_forward_small", root=str(root), validation=0), "cpu")
    assert standard.train.inputs.mean(0).abs().max() < 1e-6


def test_the_inverse_takes_readings_of_one_face_to_standardised_parameters(root, examples):
    data = DataParameters(name="maxwell_inverse_small", root=str(root), validation=0, input_scaling="raw")
    splits = load(data, "cpu")
    np.testing.assert_array_equal(splits.test.inputs, examples.readings[TRAIN:])
    np.testing.assert_allclose(
        splits.train.targets, problem.standardised(examples.xi[:TRAIN]), rtol=1e-4, atol=1e-6
    )


def test_a_missing_file_is_reported_with_the_command_that_makes_it(tmp_path):
    with pytest.raises(
        DataError, match=r"maxwell_n3_40\.npz.*`hornlib data maxwell_forward_small --root .*computes"
    ):
        load(DataParameters(name="maxwell_forward_small", root=str(tmp_path)), "cpu")


@pytest.mark.parametrize("share", [0, 0.5, 0.99])
def test_a_truncated_file_is_refused_with_its_name_and_left_alone(root, tmp_path, share):
    whole = (root / MAXWELL_SMALL.file).read_bytes()
    path = tmp_path / MAXWELL_SMALL.file
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(
        DataError, match=r"not readable in .*maxwell_n3_40\.npz.*To compute them again, delete them and run"
    ):
        prepare("maxwell_forward_small", tmp_path)
    assert path.stat().st_size == int(share * len(whole))


def test_a_flipped_bit_changes_no_number_and_is_refused_where_it_would(root, tmp_path):
    declaration = DATASETS["maxwell_inverse_small"]
    whole, expected, num_refused = (root / MAXWELL_SMALL.file).read_bytes(), read(declaration, root), 0
    for place in range(2000, len(whole) - 2000, len(whole) // 60):
        damaged = bytearray(whole)
        damaged[place] ^= 1
        (tmp_path / MAXWELL_SMALL.file).write_bytes(damaged)
        try:
            raw = read(declaration, tmp_path)
        except DataError as error:
            assert "maxwell_n3_40.npz" in str(error)
            num_refused += 1
        else:  # a bit of the archive that says nothing about the numbers
            assert all(map(torch.equal, raw, expected))
    assert num_refused > 50


def test_numbers_that_are_not_finite_are_refused(examples, altered):
    fields = examples.fields.copy()
    fields[3, 4] = np.nan
    with pytest.raises(DataError, match=r"maxwell_n3_40\.npz: fields holds numbers that are not finite"):
        load(DataParameters(name="maxwell_forward_small", root=str(altered(fields=fields))), "cpu")


def test_examples_of_another_problem_or_shape_are_refused(examples, altered):
    other = altered(about=stored_examples._about(4, 32, 8))
    with pytest.raises(DataError, match="made for another problem"):
        load(DataParameters(name="maxwell_forward_small", root=str(other)), "cpu")
    with pytest.raises(DataError, match=r"readings has the shape \(40, 99\), expected \(40, 100\)"):
        load(
            DataParameters(
                name="maxwell_forward_small", root=str(altered(readings=examples.readings[:, 1:]))
            ),
            "cpu",
        )


def test_a_solver_that_fails_leaves_no_file(tmp_path, monkeypatch):
    def broken(*arguments):
        return Examples(*[np.full((), np.nan)] * len(Examples._fields))

    monkeypatch.setattr(stored_examples, "make", broken)
    with pytest.raises(DataError, match=r"maxwell_n3_40\.npz.*has the shape"):
        prepare("maxwell_forward_small", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".maxwell_n3_40.npz.lock"]


def test_declarations_load_no_solver():
    import subprocess

    code = "import sys, hornlib.data.maxwell.loaders; print(*{'skfem', 'sklearn'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "\n"
