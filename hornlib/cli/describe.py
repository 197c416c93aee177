"""`hornlib describe`: what config.yaml may say, on the terminal and as docs/parameters.md."""

import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from hornlib.data import DATASETS, DatasetDeclaration
from hornlib.errors import ConfigError, nearest

if TYPE_CHECKING:
    from hornlib.cli.parameters import Description
    from hornlib.parameters import Parameters

__all__ = ["describe", "parameters_page"]

WIDTH = 100

TOPICS = {
    "model": "networks that can be trained; `hornlib describe model NAME` lists the parameters of one",
    "structure": "what changes a network while it trains",
    "dataset": "datasets, with their sizes, metrics and origin",
    "data": "the section `data`: presentation, subsets, noise",
    "training": "the section `training`: steps, optimiser, learning rate, evaluation",
    "statistics": "the section `statistics`: baseline, target, errors, looks",
    "claims": "one entry of `statistics: {claims: ...}`",
    "tuning": "the section `tuning`: trials and their seeds",
    "finalists": "`tuning: {finalists: ...}`, the second stage of tuning",
    "tune": "`{tune: {low: 1e-3, high: 1e-1, scale: log}}` in place of a number",
    "probes": "`probes:`, what is recorded inside the networks",
    "importance": "`importance:`, what single connections of trained networks are worth",
    "settings": "keys at the top of config.yaml: folders, lanes, threads, device",
}


def complete_topic(incomplete: str) -> list[str]:
    """Return the topics that begin so, for the completion of a shell."""
    return [topic for topic in TOPICS if topic.startswith(incomplete)]


def describe(
    topic: Annotated[
        str | None,
        typer.Argument(
            help=f"One of {', '.join(TOPICS)}; or the name of a model, a dataset or a parameter.",
            autocompletion=complete_topic,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Argument(help="A model, a structure or a dataset; or a parameter of the section.")
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print docs/parameters.md, which has everything.")
    ] = False,
) -> None:
    """Explain what config.yaml may say: meaning, unit, values, default and source of every parameter."""
    if markdown:
        print(parameters_page(), end="")
        return
    if topic and name is None and "." in topic:
        topic, _, name = topic.partition(".")
    for line in _lines(topic, name):
        print(line)


def _lines(topic: str | None, name: str | None) -> Iterator[str]:
    from hornlib.cli.parameters import SECTIONS, TABLES, all_descriptions, descriptions_of

    if topic is None:
        yield "hornlib describe TOPIC, where TOPIC is"
        yield from _listed(TOPICS)
        yield "or the name of a model, a structure, a dataset or a parameter, e.g. `hornlib describe learning_rate`."
    elif topic == "dataset":
        yield from _dataset(name) if name else _listed({key: _in_brief(one) for key, one in DATASETS.items()})
    elif topic in TABLES and name is None:
        yield from _listed({key: _first_sentence(kind) for key, kind in TABLES[topic].items()})
        yield f"`hornlib describe {topic} NAME` lists the parameters of one."
    elif topic in TABLES and name is not None and name in TABLES[topic]:
        yield from _entry(topic, name)
    elif topic in SECTIONS and name is None:
        yield from textwrap.wrap(_first_sentence(SECTIONS[topic]), WIDTH)
        for description in descriptions_of(topic):
            yield from _parameter(description)
    elif topic in SECTIONS or topic in TABLES:
        descriptions = [one for one in all_descriptions() if one.section == topic]
        yield from _named(str(name), descriptions, list(TABLES.get(topic, ())))
    elif name is None:
        sections = [section for section, table in TABLES.items() if topic in table]
        for section in sections:
            yield from _entry(section, topic)
        if topic in DATASETS:
            yield from _dataset(topic)
        elif not sections:
            yield from _named(topic, list(all_descriptions()), [*TOPICS, *DATASETS, *TABLES["model"]])
    else:
        raise ConfigError(f"there is no topic {topic!r}{nearest(topic, TOPICS)}; valid: {', '.join(TOPICS)}")


def _listed(entries: Mapping[str, str]) -> Iterator[str]:
    """Yield a name and its sentence on each line, wrapped at `WIDTH`."""
    column = max(map(len, entries)) + 4
    for name, sentence in entries.items():
        yield from textwrap.wrap(
            f"  {name}".ljust(column) + sentence, WIDTH, subsequent_indent=" " * column, drop_whitespace=True
        )


def _entry(section: str, name: str) -> Iterator[str]:
    """Yield a model or a structure: its docstring, where its code is, and its parameters."""
    from hornlib.cli.parameters import TABLES, descriptions_of

    kind = TABLES[section][name]
    yield f"{section} {name}"
    yield from (f"  {line}".rstrip() for line in (inspect.getdoc(kind) or "").splitlines())
    code = getattr(kind, "network", None) or getattr(kind, "code", None)
    yield f"  Parameters: {kind.__module__}.{kind.__name__}" + (f"; code: {code}" if code else "")
    if presentations := getattr(kind, "presentations", ()):
        yield f"  Presentations of data that it takes: {', '.join(presentations)}"
    for description in descriptions_of(section, name):
        yield from _parameter(description)


def _named(name: str, descriptions: Sequence["Description"], others: Iterable[str]) -> Iterator[str]:
    """Yield every parameter of a name; the same meaning once, with all its owners.

    Raises:
        ConfigError: there is none.
    """
    owners: dict[tuple, list[str]] = {}
    for one in descriptions:
        if one.name == name:
            owners.setdefault(one[2:], []).append(" ".join(filter(None, one[:2])))
    if not owners:
        valid = list(dict.fromkeys([*others, *(one.name for one in descriptions)]))
        raise ConfigError(
            f"there is nothing called {name!r}{nearest(name, valid)}; `hornlib describe` lists the topics"
        )
    for fields, places in owners.items():
        yield from textwrap.wrap(", ".join(places), WIDTH)
        yield from _parameter(next(one for one in descriptions if one[2:] == fields))


def _parameter(description: "Description") -> Iterator[str]:
    yield ""
    unit = f"; unit: {description.unit}" if description.unit else ""
    head = f"  {description.name}: {description.values}; default {description.default}{unit}"
    yield from textwrap.wrap(head, WIDTH, subsequent_indent="      ")
    yield from textwrap.wrap(description.meaning, WIDTH, initial_indent="    ", subsequent_indent="    ")


def _dataset(name: str) -> Iterator[str]:
    if name not in DATASETS:
        raise ConfigError(
            f"there is no dataset {name!r}{nearest(name, DATASETS)}; valid: {', '.join(DATASETS)}"
        )
    dataset = DATASETS[name]
    yield name
    yield from textwrap.wrap(dataset.description, WIDTH, initial_indent="  ", subsequent_indent="  ")
    for word, fact in _facts(dataset).items():
        yield from textwrap.wrap(f"  {word}: {fact}", WIDTH, subsequent_indent="      ")


def _facts(dataset: DatasetDeclaration) -> dict[str, str]:
    outputs = "classes" if dataset.loss == "cross_entropy" else "numbers"
    files = ", ".join(dataset.files[:4]) + (", ..." if len(dataset.files) > 4 else "")
    return {
        "example": f"{' x '.join(map(str, dataset.example_shape))} to {dataset.num_outputs} {outputs}",
        "examples": f"{dataset.num_train:,} for training and validation, {dataset.num_test:,} for the test",
        "loss and metric": f"{dataset.loss}, {dataset.metric} ({dataset.direction}; chance {dataset.chance:g})",
        "origin": _origin(dataset),
        **({"files": files} if files else {}),
    }


ORIGINS = {
    "served": "is downloaded by `hornlib data`",
    "computed": "is computed by `hornlib data`",
    "given": "must be put into the data folder",
}


def _origin(dataset: DatasetDeclaration) -> str:
    return ORIGINS[dataset.origin] if dataset.files else "needs no files"


def _in_brief(dataset: DatasetDeclaration) -> str:
    shape = " x ".join(map(str, dataset.example_shape))
    return f"{shape}, {dataset.num_train:,} examples; {_origin(dataset)}"


def _first_sentence(kind: "type[Parameters]") -> str:
    return " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())


def parameters_page() -> str:
    """Return docs/parameters.md: every section, model, structure and dataset, with all parameters in tables."""
    from hornlib.cli.parameters import SECTIONS, TABLES, descriptions_of

    lines = [
        "# What config.yaml may say",
        "`make schema` writes this page from the parameter classes; `hornlib describe` prints the same on a terminal.",
        "Every value of the sections `data`, `model`, `structure` and `training` may be a list, which makes an axis.",
        "Every number of them may be a range `{tune: {low: 1e-3, high: 1e-1, scale: log}}` in a tuned sweep. The",
        "meaning of a parameter names the source of its default where there is one.",
    ]
    for section, kind in SECTIONS.items():
        lines += ["", f"## {section}", f"{_capital(TOPICS[section])}. {_escaped(_first_sentence(kind))}", ""]
        lines += _table(descriptions_of(section))
    for section, table in TABLES.items():
        lines += [
            "",
            f"## {section}",
            f"{_capital(TOPICS[section].partition(';')[0])}. Each is chosen by its `name`.",
        ]
        for name, kind in table.items():
            lines += ["", f"### {name}", _escaped(_first_sentence(kind)), ""]
            lines += _table(descriptions_of(section, name)) or ["It has no parameters."]
    lines += [
        "",
        "## dataset",
        f"{_capital(TOPICS['dataset'])}. Each is chosen by `data: {{name: ...}}`.",
        "",
    ]
    rows = [
        (f"`{name}`", *map(_escaped, (dataset.description, *list(_facts(dataset).values())[:4])))
        for name, dataset in DATASETS.items()
    ]
    lines += _markdown(("name", "what it is", "an example", "examples", "loss and metric", "origin"), rows)
    return "\n".join(lines) + "\n"


def _table(descriptions: Sequence["Description"]) -> list[str]:
    rows = [
        (f"`{one.name}`", *map(_escaped, (one.meaning, one.unit, one.values, one.default)))
        for one in descriptions
    ]
    return _markdown(("parameter", "meaning", "unit", "values", "default"), rows) if rows else []


def _markdown(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(headings)} |",
        f"|{'---|' * len(headings)}",
        *(f"| {' | '.join(row)} |" for row in rows),
    ]


def _escaped(text: str) -> str:
    """Return a text that Markdown shows as it is, on one line of a table."""
    for sign in "\\|*_<>[]":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
