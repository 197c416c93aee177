"""Names in the library: a class has a name of its own, and variables are nouns for what they hold."""

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

LIBRARY = ROOT / "hornlib"

EXECUTOR = ROOT / "cluster" / "snakemake_executor_plugin_submitit"

PRONOUNS = {"found", "own", "told", "known", "those", "there", "kept"}
"""Words that do not say what a variable holds."""

NUM_FUNCTIONS_WITH_PRONOUNS = 0
"""Functions of the library with a variable of such a name. The number must fall with the count and never rise."""


def syntax_trees(folder):
    """Yield the path and the syntax tree of every module below a folder."""
    for path in sorted(folder.rglob("*.py")):
        yield path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))


def class_names(folder):
    """Return class name -> the modules that define it at their top level."""
    modules = {}
    for path, tree in syntax_trees(folder):
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                modules.setdefault(node.name, []).append(str(path))
    return modules


def variables(function):
    """Return the names that a function assigns to, its arguments among them."""
    assigned = {
        node.id
        for node in ast.walk(function)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    }
    return assigned | {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}


def functions_with_pronouns(folder):
    """Return module, line and name of every function with a variable that is called by a pronoun."""
    return [
        f"{path}:{node.lineno} {node.name}: {', '.join(sorted(PRONOUNS & variables(node)))}"
        for path, tree in syntax_trees(folder)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and PRONOUNS & variables(node)
    ]


@pytest.mark.parametrize("folder", [LIBRARY, EXECUTOR], ids=["library", "executor"])
def test_the_name_of_a_class_is_used_once(folder):
    shared = {name: modules for name, modules in class_names(folder).items() if len(modules) > 1}
    assert shared == {}


def test_no_class_of_the_executor_is_called_like_one_of_the_library():
    assert class_names(LIBRARY).keys() & class_names(EXECUTOR).keys() == set()


def test_no_module_defines_a_class_twice():
    for path, tree in syntax_trees(LIBRARY):
        counts = Counter(node.name for node in tree.body if isinstance(node, ast.ClassDef))
        assert [name for name, count in counts.items() if count > 1] == [], path


def test_the_number_of_functions_with_variables_called_by_pronouns_only_falls():
    functions = functions_with_pronouns(LIBRARY)
    listed = "\n".join(functions)
    assert len(functions) <= NUM_FUNCTIONS_WITH_PRONOUNS, f"name these variables by what they hold:\n{listed}"
    assert len(functions) == NUM_FUNCTIONS_WITH_PRONOUNS, (
        f"lower NUM_FUNCTIONS_WITH_PRONOUNS to {len(functions)}"
    )


def test_the_count_finds_arguments_and_assignments(tmp_path, monkeypatch):
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "module.py").write_text(
        "def one(found): ...\ndef two():\n    for own in (): ...\ndef three():\n    return [told for told in ()]\n"
        "def four(x):\n    print(there)\n    x.known = 1\n"
    )
    assert [line.split()[1] for line in functions_with_pronouns(tmp_path)] == ["one:", "two:", "three:"]
