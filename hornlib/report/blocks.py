"""What a page of the report is made of: paragraphs, verdict cards, figures, tables, and what is missing."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import altair as alt

__all__ = [
    "Block",
    "Card",
    "Cards",
    "Chart",
    "Entry",
    "Facts",
    "Heading",
    "Interval",
    "Missing",
    "Paragraph",
    "Picture",
    "Section",
    "Sentences",
    "Swatch",
    "Table",
]


@dataclass(frozen=True)
class Heading:
    """A heading within a section.

    Attributes:
        title: its words.
        anchor: what a link names.
    """

    title: str
    anchor: str
    kind: ClassVar[str] = "heading"


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of plain text.

    Attributes:
        text: the words.
        lead: "lead" for the answer, which stands larger; else "".
    """

    text: str
    lead: str = ""
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True)
class Sentences:
    """A list of sentences, one a line."""

    sentences: Sequence[str]
    kind: ClassVar[str] = "sentences"


@dataclass(frozen=True)
class Facts:
    """A list of words with what they stand for, (word, meaning)."""

    facts: Sequence[tuple[str, str]]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Missing:
    """What a section lacks, and the command that makes it ("" where no command does)."""

    what: str
    command: str = ""
    kind: ClassVar[str] = "missing"


@dataclass(frozen=True)
class Interval:
    """A ratio with its interval, drawn on a logarithmic line; places are per cent of the line's width.

    Attributes:
        label: what is compared.
        told: ratio, interval and n in words.
        point, low, high: places of the ratio and of the interval's ends.
        one: place of the ratio 1.
    """

    label: str
    told: str
    point: float
    low: float
    high: float
    one: float


@dataclass(frozen=True)
class Card:
    """One claim with its verdict.

    Attributes:
        question: the claim as a question.
        verdict: the word: yes, no, mixed, not shown, too few arrivals, not enough data, not measured.
        sentence: what decides it, with numbers.
        intervals: what it rests on.
        note: how the intervals were made, with n.
    """

    question: str
    verdict: str
    sentence: str
    intervals: Sequence[Interval]
    note: str

    @property
    def tone(self) -> str:
        """Return yes, no, mixed or open: what colour and sign the card has."""
        return self.verdict if self.verdict in ("yes", "no", "mixed") else "open"


@dataclass(frozen=True)
class Cards:
    """Cards beside each other."""

    cards: Sequence[Card]
    kind: ClassVar[str] = "cards"


LONG = 60
"""Letters of a table's entry that still stand in one line."""

PATHS = {
    "circle": "M12.5 6a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
    "square": "M13 2h8v8h-8z",
    "triangle-up": "M17 1.5l5 9h-10z",
    "triangle-down": "M17 10.5l5-9h-10z",
    "diamond": "M17 .5l5 5.5l-5 5.5l-5-5.5z",
    "cross": "M15.3 1.5h3.4v2.8h2.8v3.4h-2.8v2.8h-3.4v-2.8h-2.8v-3.4h2.8z",
}
"""Mark of vega -> its outline in the legend."""


@dataclass(frozen=True)
class Swatch:
    """How a series is drawn, told by its colour, its dashes and its shape together.

    Attributes:
        label: the series.
        colour: #rrggbb.
        dash: lengths of dash and gap; empty for a full line.
        shape: a mark of vega: circle, square, ...
    """

    label: str
    colour: str
    dash: tuple[int, ...]
    shape: str

    @property
    def path(self) -> str:
        """Return its mark as a path of SVG, around (17, 6)."""
        return PATHS[self.shape]


@dataclass(frozen=True)
class Chart:
    """An interactive chart, which is written as SVG and PNG too.

    Attributes:
        name: anchor, and name of the files.
        title: what it shows.
        caption: how it was made: n and estimator.
        alternative: what it shows in words, for those who do not see it.
        chart: its description for vega; without width, which is the page's.
        legend: the series, where there are several.
        marked: whether the legend shows marks, because the chart does.
        spread: "wide" for the page's whole width, "half" beside others, "small" for thumbnails.
    """

    name: str
    title: str
    caption: str
    alternative: str
    chart: "alt.LayerChart | alt.FacetChart"
    legend: Sequence[Swatch] = ()
    marked: bool = False
    spread: str = "half"
    kind: ClassVar[str] = "chart"

    @cached_property
    def specification(self) -> dict[str, Any]:
        """Return its description as vega-lite reads it."""
        # Checking against the schema of vega-lite takes longer than drawing; the tests do it.
        return self.chart.to_dict(validate=False)

    @property
    def height(self) -> int:
        """Return the pixels that the page keeps free for it before it is drawn."""
        return int(self.chart.height) + 45


@dataclass(frozen=True)
class Picture:
    """A drawing that stands in the page as it is.

    Attributes:
        name: anchor.
        title, caption, alternative: as in a chart.
        address: the image as a data: address.
    """

    name: str
    title: str
    caption: str
    alternative: str
    address: str
    kind: ClassVar[str] = "picture"


@dataclass(frozen=True)
class Entry:
    """An entry of a table: what is shown, and by what it is sorted (text or a number)."""

    shown: str
    key: str | float

    @property
    def is_number(self) -> bool:
        """Return whether it is sorted by size."""
        return not isinstance(self.key, str)

    @property
    def is_long(self) -> bool:
        """Return whether it may be broken into lines."""
        return len(self.shown) > LONG


@dataclass(frozen=True)
class Table:
    """Numbers in rows; the page shows the first of them, the download has all.

    Attributes:
        name: anchor.
        caption: what it shows, with n and estimator.
        columns: headings.
        rows: one entry a column.
        csv: the download as a data: address.
        file: what the download is called.
        num_hidden: rows that only the download has.
    """

    name: str
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Entry]]
    csv: str
    file: str
    num_hidden: int = 0
    kind: ClassVar[str] = "table"


Block = Heading | Paragraph | Sentences | Facts | Missing | Cards | Chart | Picture | Table


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Attributes:
        anchor: what links name.
        title: its heading.
        blocks: what it holds, in order.
    """

    anchor: str
    title: str
    blocks: Sequence[Block]
