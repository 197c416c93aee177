"""Sphinx configuration: the pages of docs/ and one page for every package, made from its docstrings."""

import re

from hornlib import __version__

project = "hornlib"
author = "The hornlib authors"
version = release = __version__
html_theme = "furo"
html_title = f"hornlib {__version__}"
html_static_path = ["static"]
html_css_files = ["summary.css"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.apidoc",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["build"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

apidoc_modules = [
    {
        "path": "../hornlib",
        "destination": "api",
        "module_first": True,
        "automodule_options": {"members", "undoc-members", "show-inheritance", "ignore-module-all"},
    }
]
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
napoleon_use_ivar = True
napoleon_use_rtype = False


def escape(app, what, name, obj, options, lines):
    """Read docstrings as what they are, plain text with `code`; only Google's sections have a meaning."""
    if what in ("attribute", "data", "property"):
        lines.insert(
            0, "\\ "
        )  # nothing; napoleon would read what stands before a colon in the first line as a type
    escaped: list[str] = []
    bullet: int | None = None  # indent of the list that the last line belongs to
    for line in lines:
        indent = len(line) - len(line.lstrip())
        is_item = line.lstrip().startswith("- ")
        if line.strip() and (
            is_item if bullet is None else indent < bullet or (indent == bullet and not is_item)
        ):
            escaped.append("")  # reStructuredText wants an empty line around lists
        if line.strip():
            bullet = indent if is_item else bullet if bullet is not None and indent > bullet else None
        # of "low, high: bounds" sphinx would take all names but the last for a type
        line = re.sub(r"^( +\w+(?:, \w+)+): ", lambda names: names[0].replace(", ", ","), line)
        is_plain = line == "\\ "
        escaped.append(line if is_plain or line.lstrip().startswith(">>>") else _escaped(line))
    lines[:] = escaped


def skip_imported(app, what, name, obj, skip, options):
    """Leave out what a module only imports; it is described where it is defined."""
    documented = app.env.current_document.autodoc_module
    return (
        True if callable(obj) and what == "module" and getattr(obj, "__module__", "") != documented else None
    )


def _escaped(line: str) -> str:
    parts = line.split("`")
    if len(parts) % 2 == 0:  # a span that goes on in the next line
        return line.replace("`", "")
    plain = [re.sub(r"([\\*|]|_(?=\W|$))", r"\\\1", part) for part in parts[::2]]
    code = [f"``{part}``" if part else "" for part in parts[1::2]]
    return "".join(part for pair in zip(plain, [*code, ""], strict=True) for part in pair)


def setup(app):
    """Register the reading of docstrings, before napoleon's."""
    app.connect("autodoc-process-docstring", escape, priority=100)
    app.connect("autodoc-skip-member", skip_imported)
